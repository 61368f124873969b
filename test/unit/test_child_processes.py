"""What the tests start gets default signals, however the tests were started."""

import signal
import subprocess
import sys

import pytest

from support.child_processes import not_ignored

pytestmark = pytest.mark.processes

ASK = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)"


def child_of_ours() -> str:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_child_hears_what_we_were_started_to_ignore() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert child_of_ours() == "False", "ignored, as under nohup"
        with not_ignored(signal.SIGHUP):
            assert child_of_ours() == "True"
            signal.raise_signal(signal.SIGHUP)  # and we outlive it
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
