"""What the deps verbs show: every step with its reason, phases as they go, and what is installed."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ci.install.installed import Installed
from ci.plan.container.aiter import AiterDecision
from ci.plan.container.guards import Fingerprint
from ci.plan.container.install import InstallSteps, Step
from ci.record.events import Event, Note, PhaseEnded, PhaseProgress, PhaseStarted, RunEnded
from ci.record.values import PhaseOutcome
from ci.report.views.deps import show_checked, show_event, show_steps

WIDE = {"COLUMNS": "200"}


def step(name: str, **changes: Any) -> Step:
    values: dict[str, Any] = {
        "id": name,
        "text": f"install {name}",
        "commands": (("pip", "install", "a b"), ("true",)),
        "files": {"/tmp/x": "text"},
        "cwd": "/",
        "env": {"FLAGS": "-a -b"},
        "timeout_s": 1,
        "attempts": 1,
        "wait_s": 0,
        "index_variable": "",
        "announces": (),
        "again_after": (),
        "optional": False,
        "product": False,
        "why": "tests need it",
        "era": "2026",
        "source": "fixture#2",
        "skip": "",
        "digest": "d",
    }
    return Step(**{**values, **changes})


def steps(*rows: Step, decision: AiterDecision | None = None) -> InstallSteps:
    return InstallSteps(
        flavour="rocm700", stage="gfx942", installer="uv", decision=decision, steps=rows, notes=("a note",)
    )


def shown(made: InstallSteps, capsys: pytest.CaptureFixture[str], notes: Sequence[str] = ()) -> list[str]:
    show_steps(WIDE, made, notes, as_json=False)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_step_is_shown_with_its_reason_and_lines_that_can_be_copied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown(steps(step("eval"), step("aiter", skip="it is there")), capsys, ["one more"])
    assert lines == [
        "+ eval: install eval",
        "    tests need it (fixture#2; 2026)",
        "    writes /tmp/x",
        "    FLAGS='-a -b' pip install 'a b'",
        "    FLAGS='-a -b' true",
        "- aiter: left out, it is there",
        "1 of 2 steps for rocm700 images, with uv",
        "AITER: nothing to decide",
        "note: a note",
        "note: one more",
    ]


def test_the_decision_about_aiter_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    decision = AiterDecision(rebuild=True, commit="abc", rule="newer", because="the pin moved")
    assert "AITER: rebuild at abc (newer): the pin moved" in shown(steps(decision=decision), capsys)


def test_machines_get_all_notes(capsys: pytest.CaptureFixture[str]) -> None:
    show_steps(WIDE, steps(step("eval")), ["one more"], as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["notes"] == ["a note", "one more"]
    assert data["steps"][0]["id"] == "eval"


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (PhaseStarted(phase="install", text="eval"), ["install: eval"]),
        (
            PhaseEnded(
                phase="install", outcome=PhaseOutcome.FAILED, duration_s=1.5, text="no", details=("x", "y")
            ),
            ["install: failed after 1.5 s no", "    x", "    y"],
        ),
        (Note(text="hello"), ["hello"]),
        (PhaseProgress(phase="install", text="half", done=1, total=2), ["half"]),
        (RunEnded(exit_code=0), []),
    ],
)
def test_phases_are_lines_on_standard_error(
    event: Event, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show_event(WIDE, event)
    out, err = capsys.readouterr()
    assert (out, [line.rstrip() for line in err.splitlines()]) == ("", lines)


def fingerprint(name: str, version: str) -> Fingerprint:
    imported = {"/a": "/lib/x.py", "/b": "/lib/x.py", "/c": "/c/x.py"}
    return Fingerprint(
        distribution=name, version=version, record="abcd", location="/lib", imported=imported, shadowed={}
    )


@pytest.mark.parametrize("compared", [True, False])
def test_what_is_installed_is_a_table_and_what_is_not_is_left_out(
    capsys: pytest.CaptureFixture[str], *, compared: bool
) -> None:
    found = Installed(
        protected=(fingerprint("torch", "2.9"), fingerprint("gone", "")), lines=("a line",), compared=compared
    )
    show_checked(WIDE, found, as_json=False)
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if "torch" in line)
    for cell in ("2.9", "abcd", "/lib/x.py, /c/x.py"):
        assert cell in row
    assert "gone" not in text
    assert "a line" in text
    assert ("not compared" in text) is not compared
    show_checked(WIDE, found, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert (data["compared"], [row["distribution"] for row in data["protected"]]) == (
        compared,
        ["torch", "gone"],
    )
