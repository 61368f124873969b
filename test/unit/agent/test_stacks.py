"""The stacks that faulthandler and py-spy print."""

from pathlib import Path

from ci.agent.stacks import Hang, parse_stacks

FAULTHANDLER = """\
some output
Thread 0x00007f3a2c5ff6c0 [client] (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 359 in wait
  File "/tree/test_a.py", line 4 in poll

Current thread 0x00007f3a30a4b740 (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 355 in wait
  File "/tree/harness/client.py", line 70 in ask
  File "/tree/test_a.py", line 9 in test_a
  File "/tmp/agent.pyz/amd_ci_agent/child.py", line 60 in run_pytest
more output
"""
PY_SPY = """\
Process 12: sglang::scheduler
Python v3.12.3 (/usr/bin/python3.12)

Thread 15 (active+gil): "worker"
    work (/tree/python/sglang/worker.py:7)
Thread 12 (idle): "MainThread"
    recv (zmq/sugar/socket.py:1)
    event_loop (/tree/python/sglang/scheduler.py:12)
"""


def test_threads_that_lead_come_first() -> None:
    current, other = parse_stacks(FAULTHANDLER)
    assert [frame.function for frame in current.frames] == ["wait", "ask", "test_a", "run_pytest"]
    assert [(frame.line, frame.function) for frame in other.frames] == [(359, "wait"), (4, "poll")]
    main, worker = parse_stacks(PY_SPY)
    assert [(frame.file, frame.line) for frame in main.frames][1] == ("/tree/python/sglang/scheduler.py", 12)
    assert worker.frames[0].function == "work"


def test_text_without_stacks_has_none() -> None:
    assert (
        parse_stacks('Thread 12 is idle\n  File "x.py", line 1 in y\nThread 0x1 (most recent call first):\n')
        == []
    )


def hang(text: str, test: str = "test_a.py") -> Hang:
    found = Hang(Path("/tree"), test, py_spy="/nowhere")
    found.feed(text.encode())
    return found


def test_the_tests_own_line_is_named_even_when_it_waits_in_a_library() -> None:
    (line,) = hang(FAULTHANDLER).evidence()
    assert line == "hangs in test_a (/tree/test_a.py:9), inside wait (usr/lib/python3.12/threading.py:355)"


def test_without_a_line_of_its_own_the_trees_is() -> None:
    (line,) = hang(FAULTHANDLER, "test_b.py").evidence()
    assert line.startswith("hangs in ask (")


def test_servers_follow() -> None:
    _, server = hang(FAULTHANDLER).evidence(server_logs=[PY_SPY])
    assert server == "the server: recv (zmq/sugar/socket.py:1)"
    assert hang("nothing").evidence() == ()
