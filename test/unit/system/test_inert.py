"""What is printed in Actions: no text is a workflow command, whatever it is made of and however it is written."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci.system.inert import InertStream, guard_output, guarded, inert, inert_json, send_command
from support.actions_runner import strict_commands, wide_commands

ROOT = Path(__file__).parents[3]

ACTIONS = {"GITHUB_ACTIONS": "true"}

# Pieces of commands, and what could stand between them.
PIECES = (
    *(
        ":",
        "::",
        "#",
        "##",
        "[",
        "##[",
        "]",
        "error",
        "add-mask",
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\x0b",
        "\x0c",
    ),
    *(
        "\x1b[31m",
        "\x1b[0m",
        "\x1b",
        "\x1b]0;title\x07",
        "\x1b]",
        "\x07",
        "\x00",
        "\x7f",
        "\x85",
        "\xa0",
        "\xad",
    ),
    *("\u200b", "\u200d", "\ufeff", "\u202e", "\u2028", "\u2029", "\u3000", "\x1c", "\x1e", "\ud800", "x"),
    *("\U000e0001", "\u2060", "::set-output name=a::b", "::error::x", "##[group]y", "::stop-commands::z"),
)
pieces = st.lists(st.sampled_from(PIECES), max_size=14)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ": :error::x"),
        ("  \t::error file=a::x", "  \t: :error file=a::x"),
        ("a ::error::x", "a ::error::x"),
        ("test/a.py::test_x PASSED", "test/a.py::test_x PASSED"),
        ("std::vector", "std::vector"),
        ("a\r::error::x", "a\r: :error::x"),
        ("x ##[add-mask]y", "x ## [add-mask]y"),
        ("## heading", "## heading"),
        ("####[x]", "#### [x]"),
        ("\x1b[31m::error::x", "\x1b[31m: :error::x"),
        ("\ufeff::error::x", "\ufeff: :error::x"),
        ("#\u200b#[error]", "#\u200b# [error]"),
    ],
)
def test_a_command_becomes_text_that_still_reads_well(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(parts=pieces)
def test_no_reader_finds_a_command_in_inert_text(parts: list[str]) -> None:
    text = inert("".join(parts))
    assert strict_commands(text) == []
    assert wide_commands(text) == []
    assert inert(text) == text


@given(parts=pieces)
def test_only_spaces_are_added(parts: list[str]) -> None:
    text = "".join(parts)
    assert inert(text).replace(" ", "") == text.replace(" ", "")


@given(parts=pieces)
@example(parts=["##", "\x1b[31m", "["])
def test_text_in_pieces_is_as_inert_as_text_in_one(parts: list[str]) -> None:
    stream = io.StringIO()
    InertStream(stream).writelines(parts)
    assert stream.getvalue() == inert("".join(parts))


@pytest.mark.parametrize("lead", ["", " ", "\x1b[31m", "x"])
def test_a_long_line_in_pieces_is_inert(lead: str) -> None:
    stream = io.StringIO(newline="")
    guard = InertStream(stream)
    for part in (*[lead] * 10_000, ":", ":error::x #", "#", "[error]"):
        guard.write(part)
    assert wide_commands(stream.getvalue()) == []


@given(parts=pieces)
def test_json_keeps_its_meaning(parts: list[str]) -> None:
    value = {"".join(parts): ["".join(parts)]}
    text = inert_json(json.dumps(value, indent=1))
    assert json.loads(text) == value
    assert wide_commands(text) == []
    assert inert(text) == text


def test_a_command_of_ours_stands_on_a_line_of_its_own() -> None:
    stream = io.StringIO()
    guard = guarded(stream)
    guard.write("unfinished ")
    send_command(guard, "::endgroup::")
    guard.write("::error::x\n")
    assert stream.getvalue() == "unfinished \n::endgroup::\n: :error::x\n"
    assert guarded(guard) is guard


def test_outside_actions_nothing_is_changed() -> None:
    before = (sys.stdout, sys.stderr)
    guard_output({})
    assert (sys.stdout, sys.stderr) == before


def test_in_actions_prints_and_log_handlers_are_guarded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        guard_output(ACTIONS)
        guard_output(ACTIONS)
        sys.stdout.write("::error::out\n")
        logging.getLogger().warning("::error::log")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr() == (": :error::out\n", ": :error::log\n")


@pytest.mark.processes
def test_a_traceback_and_the_program_that_a_session_starts_are_guarded() -> None:
    program = "raise SystemError('first\\n::error::second ##[error]third')"
    done = subprocess.run(
        [sys.executable, "-c", f"from ci.system.inert import guard_output as g; g({ACTIONS}); {program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ": :error::second ## [error]third" in done.stderr
    assert strict_commands(done.stderr) == []


@pytest.mark.processes
def test_a_pytest_that_a_session_starts_is_guarded(tmp_path: Path) -> None:
    talk = "x\\n::add-path::/evil\\n##[group]x\\n"
    file = tmp_path / "test_talk.py"
    file.write_text(
        f"import os, pytest, sys\n@pytest.mark.parametrize('name', ['{talk}'])\ndef test_it(name):\n"
        f"    print('{talk}')\n    sys.stderr.write('{talk}')\n    os.write(1, b'{talk}')\n    assert name == '{talk}y', '{talk}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ci.system.signals", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", str(file)],
        cwd=ROOT, env={**os.environ, **ACTIONS}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert ": :add-path::/evil" in done.stdout
    assert strict_commands(done.stdout + done.stderr) == []
