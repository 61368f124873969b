"""Which traceback of a server's log says what ended it."""

from pathlib import Path

import pytest

from harness.server_log import fatal_traceback, tail

pytestmark = pytest.mark.in_container

CAUGHT = """Traceback (most recent call last):
  File "/s/moe.py", line 3, in load
    import aiter
ModuleNotFoundError: no aiter
Ignore import error when loading
"""
SCHEDULER = """[2026-11-25 22:28:01] Scheduler hit an exception: Traceback (most recent call last):
  File "/s/scheduler.py", line 40, in run_scheduler_process
    scheduler = Scheduler()
  File "/s/backend.py", line 7, in __init__
    raise ValueError(
ValueError: triton is not allowed
"""
CHAINED = """
During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/s/scheduler.py", line 44, in run_scheduler_process
    stop()
RuntimeError: cannot stop
"""
LATER = """kill_process_tree called
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/s/launch_server.py", line 9, in <module>
    run()
RuntimeError: the scheduler is gone
"""
CHILD = """Process SpawnProcess-1:
Traceback (most recent call last):
  File "/p/process.py", line 314, in _bootstrap
    self.run()
KeyError: 'x'
"""


def found(tmp_path: Path, text: str) -> str:
    log = tmp_path / "server.log"
    log.write_text(text)
    return fatal_traceback(log)


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (CAUGHT + SCHEDULER + LATER, "ValueError: triton is not allowed"),
        (CAUGHT + SCHEDULER + CHAINED + LATER, "RuntimeError: cannot stop"),
        (CAUGHT + CHILD + SCHEDULER, "KeyError: 'x'"),
        (CAUGHT + LATER, "RuntimeError: the scheduler is gone"),
    ],
    ids=["scheduler", "chained", "child", "program"],
)
def test_the_first_process_that_an_exception_ended_is_shown(tmp_path: Path, text: str, last: str) -> None:
    shown = found(tmp_path, text).splitlines()
    assert shown[-1] == last
    assert shown[0].endswith("Traceback (most recent call last):")


@pytest.mark.parametrize("text", ["", "ready\n", CAUGHT], ids=["empty", "no traceback", "caught"])
def test_what_ended_no_process_is_not_shown(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == ""


def test_a_log_that_is_cut_and_one_that_is_deep_are_shown_as_far_as_they_fit(tmp_path: Path) -> None:
    assert found(tmp_path, SCHEDULER.rpartition("ValueError")[0]).endswith("raise ValueError(")
    frames = "".join(f'  File "/s/a.py", line {number}, in f\n    f()\n' for number in range(1000))
    shown = found(
        tmp_path, f"Scheduler hit an exception: Traceback (most recent call last):\n{frames}RecursionError\n"
    )
    assert len(shown.splitlines()) < 50
    assert shown.endswith("RecursionError")


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"one\ntwo\n\xff three\n")
    assert tail(log, 2) == "two\n\ufffd three"
