"""The test process: the agent's second mode, which becomes the test."""

import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path

from .messages import Channel
from .options import pytest_options, try_options
from .processes import PR_SET_PDEATHSIG, prctl
from .pytest_plugin import CaseReporter
from .spec import Spec, Test, parse_spec


def be_the_test(kind: str, parent: str, spec_path: str, suite_id: str, test_id: str) -> int:
    """The second mode: become the test process, and end with its exit code."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # the agent ended before the kernel had our request
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        # a shell's `&` and nohup have signals ignored, and children inherit that
        if number != signal.SIGPIPE and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # a dump of a crash is gigabytes, in the tree
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    spec = parse_spec(Path(spec_path).read_text(encoding="utf-8"))
    test = next(t for suite in spec.suites if suite.id == suite_id for t in suite.tests if t.id == test_id)
    if kind == "options":
        return _say_what_is_wrong(spec, test)
    if kind == "script":
        # A new program and not runpy: `__main__`, `sys.path` and what multiprocessing spawns are then those of
        # `python FILE`. The parent-death signal and the events socket survive the exec.
        os.execv(sys.executable, [sys.executable, str(spec.root / test.path)])  # noqa: S606 - no shell
    return run_pytest(spec, test, Channel(int(os.environ["AMD_CI_EVENTS_FD"])))


def _say_what_is_wrong(spec: Spec, test: Test) -> int:
    """Print what is wrong with the arguments for pytest, as a JSON list."""
    try:
        import pytest  # noqa: PLC0415 - see below
    except ImportError:
        return 1
    text = json.dumps(try_options(spec, test, pytest))
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()
    return 0


def run_pytest(spec: Spec, test: Test, channel: Channel) -> int:
    """Run one test file under pytest, reporting to the agent; pytest's exit code."""
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or 2, all_threads=True)
    # Python put the agent's own file first; nothing in it may be imported by a test.
    program = Path(sys.argv[0]).resolve()
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != program]
    try:
        import pytest  # noqa: PLC0415 - the agent itself needs the standard library alone
    except ImportError as error:
        message = f"pytest is not in {sys.executable} ({error}); next: {sys.executable} -m pip install pytest"
        channel.send(type="case", case=test.path, outcome="failed", message=message, verdict="infra")
        return 1
    reporter = CaseReporter(channel, spec, test, pytest)
    sys.argv[:] = ["pytest", test.path]
    code = int(pytest.main([*pytest_options(spec), *(test.cases or [test.path])], plugins=[reporter]))
    channel.send(type="session", exit_code=code, problems=reporter.problems())
    channel.close()
    return code
