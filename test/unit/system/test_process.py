"""Child processes: what they print and how they end reaches the caller; what is missing or hangs is an answer too."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from ci.system.process import attached, become, capture, kill_group, start

pytestmark = pytest.mark.processes

PYTHON = sys.executable


def program(text: str) -> list[str]:
    return [PYTHON, "-c", text]


def test_what_a_command_prints_and_how_it_ends(tmp_path: Path) -> None:
    text = "import os, sys; print(os.getcwd()); print(os.environ['X']); sys.stderr.write('no'); sys.exit(3)"
    done = capture(program(text), cwd=tmp_path, env={"X": "1"})
    assert (done.code, done.text, done.stderr, done.why) == (3, f"{tmp_path}\n1", b"no", "")


def test_a_command_has_our_environment_unless_it_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMD_CI_X", "ours")
    text = "import os; print(os.environ.get('AMD_CI_X', 'none'))"
    assert capture(program(text)).text == "ours"
    assert capture(program(text), env={}).text == "none"


def test_a_command_cannot_wait_for_somebody_to_type() -> None:
    assert capture(program("import sys; print(repr(sys.stdin.read()))")).text == "''"


def test_a_command_can_be_kept_from_the_terminals_ctrl_c() -> None:
    session = "import os; print(os.getsid(0))"
    assert capture(program(session)).text == str(os.getsid(0))
    assert capture(program(session), own_session=True).text != str(os.getsid(0))


def test_bytes_that_are_no_text_do_not_break_the_text() -> None:
    assert capture(program("import sys; sys.stdout.buffer.write(b'a\\xffb\\n\\n')")).text == "a\ufffdb"


def test_a_command_that_is_missing_is_an_answer(tmp_path: Path) -> None:
    done = capture([str(tmp_path / "none")])
    assert (done.code, done.text) == (None, "")
    assert "No such file" in done.why


def test_a_command_that_hangs_is_ended_and_says_for_how_long() -> None:
    began_s = time.monotonic()
    done = capture(program("import time; time.sleep(60)"), timeout_s=0.5)
    assert done.code is None
    assert "no answer within 0.5 s" in done.why
    assert time.monotonic() - began_s < 30


def test_a_started_command_is_talked_to_by_pipes_and_leads_a_session(tmp_path: Path) -> None:
    text = "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.readline(), os.getcwd(), end='')"
    with (tmp_path / "err").open("wb") as errors:
        process = start(program(text), cwd=tmp_path, env={"X": "1"}, stderr=errors)
        out, _ = process.communicate(b"hello", timeout=30)
    assert out.decode() == f"True hello {tmp_path}"
    assert process.returncode == 0


def test_its_whole_group_can_be_ended_also_when_it_has_ended(tmp_path: Path) -> None:
    text = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); child.wait()"
    )
    with (tmp_path / "err").open("wb") as errors:
        process = start(program(text), cwd=tmp_path, env={}, stderr=errors)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        kill_group(process)
        assert process.returncode == -signal.SIGKILL
        wait_for_end(child)
        kill_group(process)
        process.communicate()


def wait_for_end(pid: int) -> None:
    """Until the process is gone or a zombie that nobody takes."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still runs")


@pytest.mark.parametrize(
    ("text", "code"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_the_exit_code_of_an_attached_command(tmp_path: Path, text: str, code: int) -> None:
    assert attached(program(text), cwd=tmp_path, env={}, stop_s=1, poll_s=0.01) == code


def test_an_attached_command_writes_for_people_or_for_a_pipe(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    for people in (False, True):
        attached(program("print('x')"), cwd=tmp_path, env={}, stop_s=1, poll_s=0.01, for_people=people)
        assert capfd.readouterr() == (("", "x\n") if people else ("x\n", ""))


@pytest.mark.parametrize("stubborn", [False, True])
def test_an_interrupt_ends_the_attached_command_with_its_group(tmp_path: Path, *, stubborn: bool) -> None:
    """One that ends on SIGTERM gets the time for it; one that ignores it is killed."""
    note = tmp_path / "note"
    stop = "pass" if stubborn else f"open({str(note)!r}, 'a').write(' stopped'); raise SystemExit"
    text = (
        "import os, signal, time\n"
        f"def stop(*_):\n    {stop}\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "while True: time.sleep(0.05)\n"
    )

    def interrupt() -> None:
        while not (note.exists() and note.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    stop_s = 0.3 if stubborn else 30
    # the one that this suite was started with may ignore it, or take it once
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    began_s = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            attached(program(text), cwd=tmp_path, env={}, stop_s=stop_s, poll_s=0.02)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began_s < 25
    words = note.read_text().split()
    assert words[1:] == ([] if stubborn else ["stopped"])
    wait_for_end(int(words[0]))


def test_a_process_can_become_a_program(tmp_path: Path) -> None:
    text = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ci.system.process import become;"
        "become([sys.executable, '-c', 'import os; print(os.getpid(), sorted(os.environ)[0])'], {'A': '1'})"
    )
    repository = str(Path(__file__).parents[3])
    with (tmp_path / "err").open("wb") as errors:
        process = start([*program(text), repository], cwd=tmp_path, env={}, stderr=errors)
        out, _ = process.communicate(timeout=60)
    assert out.decode().split() == [str(process.pid), "A"]
    with pytest.raises(OSError, match="No such file"):
        become([str(tmp_path / "none")], {})
