"""Tracebacks in a stream of output: which process an exception ended first, by the structure of what is printed."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.judge.tracebacks import ProcessEnd, ProcessEnds
from ci.agent.logs import first_end_in

pytestmark = pytest.mark.in_container

LOGS = Path(__file__).parents[3] / "data" / "sglang_logs"

CAUGHT = """Traceback (most recent call last):
  File "/srt/utils.py", line 3, in retry
    return fn()
RuntimeError: caught and printed
"""
CHILD = """Process SpawnProcess-1:
Traceback (most recent call last):
  File "/python/multiprocessing/process.py", line 314, in _bootstrap
    self.run()
ValueError: the child's
"""
LAUNCHER = """Traceback (most recent call last):
  File "/bin/sglang", line 8, in <module>
    sys.exit(main())
  File "/srt/args.py", line 9, in check
    raise ValueError("wrong")
ValueError: wrong
"""


def ends(*texts: str) -> ProcessEnds:
    read = ProcessEnds()
    for text in texts:
        read.feed(text.encode())
    read.close()
    return read


def first(*texts: str) -> ProcessEnd:
    end = ends(*texts).first_of_case()
    assert end is not None
    return end


@pytest.mark.parametrize(
    ("name", "error", "function", "who"),
    [
        (
            "deterministic-inference-refused",
            "RuntimeError: No supported accelerator (CUDA/XPU) available",
            "get_dispatch_device_backend",
            "Scheduler",
        ),
        (
            "dp2-scheduler-dies",
            "AssertionError: SGLANG_CPU_OMP_THREADS_BIND is not set, in this case",
            "init_threads_binding",
            "Scheduler",
        ),
    ],
)
def test_sglangs_own_log_shows_the_scheduler_that_ended_first(
    name: str, error: str, function: str, who: str
) -> None:
    end = first((LOGS / f"{name}.log").read_text())
    assert end.who == who
    assert end.errors[0].text().startswith(error)
    assert end.errors[0].frames[-1].function == function
    assert end.text().startswith(f"{who} ended first: {error}")


def test_the_launcher_that_a_scheduler_took_along_is_not_the_first() -> None:
    text = (LOGS / "dp2-scheduler-dies.log").read_text()
    launcher = text[text.index("\nTraceback (most recent call last):") :]
    end = first(launcher)
    assert [error.raises for error in end.errors] == ["RuntimeError", "EOFError"]
    assert "OS OOM killer" in end.errors[0].message
    assert "OOM" not in first(text).text()


@pytest.mark.parametrize(
    ("code", "says"), [(-9, "signal SIGKILL"), (-200, "signal 200"), (3, "exit code 3, without an exception")]
)
def test_a_process_of_sglang_that_ended_without_an_exception_is_named(code: int, says: str) -> None:
    crash = f"[2026-11-25 22:40:58] Subprocess scheduler_0 (pid=7) crashed with exit code {code}. Triggering SIGQUIT ...\n"
    end = first(CAUGHT + crash + "Process x:\n" + CAUGHT)
    assert (end.text(), end.errors) == (f"scheduler_0 ended first: {says}", ())


def test_a_fatal_error_is_named_with_the_line_that_ran_then() -> None:
    text = """Fatal Python error: Bus error

Thread 0x00007f29576ff6c0 (most recent call first):
  File "/x/site-packages/sglang/srt/utils/watchdog.py", line 147 in _watchdog_once

Current thread 0x00007f2a32b56b80 (most recent call first):
  File "/x/site-packages/sglang/srt/managers/load_snapshot.py", line 340 in __init__
  File "/x/site-packages/sglang/srt/managers/scheduler.py", line 845 in init_ipc_channels

Extension modules: numpy
"""
    launcher = "Traceback (most recent call last):\n" + '  File "<frozen runpy>", line 1, in x\nEOFError\n'
    assert first(text + launcher).text() == (
        "the process ended first: Fatal Python error: Bus error (sglang/srt/managers/load_snapshot.py:340, __init__)"
    )
    without_frame = "Fatal Python error: Aborted\n\n<no Python frame>\n"
    assert first(without_frame + launcher).errors[0].raises == "EOFError"


@given(st.integers(1, 4000))
def test_the_pieces_in_which_output_comes_change_nothing(size: int) -> None:
    text = (LOGS / "deterministic-inference-refused.log").read_text()
    assert first(*(text[at : at + size] for at in range(0, len(text), size))) == first(text)


def test_an_exception_that_was_caught_and_printed_ended_nothing() -> None:
    assert ends(CAUGHT).first_of_case() is None
    assert first(CAUGHT, LAUNCHER).errors[0].message == "wrong"


def test_a_child_and_a_launcher_are_ended_by_what_nothing_caught() -> None:
    assert (first(CHILD).who, first(CHILD).errors[0].message) == ("SpawnProcess-1", "the child's")
    assert first(LAUNCHER).errors[0].frames[-1].file == "/srt/args.py"
    assert first(f"\x1b[31m{LAUNCHER}\x1b[0m") == first(LAUNCHER)


@pytest.mark.parametrize(
    "text",
    [
        "RuntimeError: no accelerator\n",
        "[12:00] the server said: RuntimeError: no accelerator\n",
        "x Traceback (most recent call last):\n" + LAUNCHER.partition("\n")[2],
        CAUGHT.replace("/srt/utils.py", "/python/threading.py").replace("retry", "_bootstrap_inner"),
        LAUNCHER.replace("ValueError: wrong\n", "[12:00] another process wrote here\nValueError: wrong\n"),
        LAUNCHER.rpartition("ValueError")[0],
    ],
)
def test_what_is_not_a_whole_traceback_of_a_process_proves_nothing(text: str) -> None:
    assert ends(text).first_of_case() is None


def test_each_start_of_a_server_and_each_case_begins_anew() -> None:
    read = ends(CHILD)
    read.begin_case()
    assert read.first() is None
    read.feed(b"command=sglang serve\n" + LAUNCHER.encode())
    found = read.first_of_case()
    assert found is not None
    assert found.errors[0].message == "wrong"
    read.begin_case()
    # the next case waits for the same server
    assert read.first_of_case() is None
    assert read.first() == found
    read.feed(b"command=sglang serve\n")
    assert read.first() is None


def test_a_server_that_is_started_beside_another_makes_nobody_forget_how_that_ended() -> None:
    prefill, decode = (
        f"command=sglang serve --disaggregation-mode {role}\n" for role in ("prefill", "decode")
    )
    read = ends(prefill, LAUNCHER, decode)
    found = read.first_of_case()
    assert found is not None
    assert found.errors[0].message == "wrong"
    read.feed(prefill.encode())
    assert read.first_of_case() is None


def test_the_newest_log_of_a_server_is_read(tmp_path: Path) -> None:
    older, newer = tmp_path / "server-1.log", tmp_path / "server-2.log"
    older.write_text(CHILD)
    newer.write_text(LAUNCHER)
    os.utime(older, (1, 1))
    found = first_end_in([older, newer])
    assert found is not None
    assert found.errors[0].message == "wrong"
    assert first_end_in([]) is None
    assert first_end_in([tmp_path / "gone.log"]) is None


def test_a_flood_without_a_traceback_is_read_as_fast_as_it_comes() -> None:
    """A search from every place of a line takes seconds for each: 60 such lines would take minutes."""
    ends = ProcessEnds()
    for _ in range(60):
        ends.feed(b"x" * 62500 + b"\n")
    ends.close()
    assert ends.first() is None
