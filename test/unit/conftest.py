"""What every unit test gets: no way out of this process, and an environment that is nobody's."""

import ipaddress
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ci.catalog.limits import ReportLimits

REPOSITORY = Path(__file__).parents[2]

# a runner that is busy with something else is no failure
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")

_STARTS_A_PROCESS = frozenset(
    {
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "pty.spawn",
    }
)
_REACHES_A_HOST = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})

_CALLERS_VARIABLES = (
    "CI",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "NOX_CURRENT_SESSION",
    "AMD_CI_SPEC",
)


class _Guard:
    """An audit hook: it sees what C code and threads do as well, and nothing can be imported past it."""

    def __init__(self) -> None:
        self.on = False
        self.processes = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _STARTS_A_PROCESS and not self.processes:
            what = f"a unit test starts a process ({event}); mark it `processes` if a process is what it is about"
            raise RuntimeError(what)
        if event in _REACHES_A_HOST:
            address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
            host = address[0] if isinstance(address, tuple) else address
            if not _is_here(host):
                raise RuntimeError(f"a unit test reaches for {host!r} ({event})")


def _is_here(host: object) -> bool:
    """Loopback, or a socket in the file system or without an address."""
    if host is None or isinstance(host, bytes) or (isinstance(host, str) and host[:1] in ("", "/", "\0")):
        return True
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


_GUARD = _Guard()
sys.addaudithook(_GUARD)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "write what the reports say now to test/data/golden instead of comparing with it"
    parser.addoption("--regenerate-golden", action="store_true", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "processes: starts child processes, because they are what it tests")


@pytest.fixture(autouse=True)
def no_outside_world(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets beyond loopback and, without the marker `processes`, child processes raise RuntimeError."""
    _GUARD.processes = request.node.get_closest_marker("processes") is not None
    _GUARD.on = True
    yield
    _GUARD.on = False


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def neutral_env(monkeypatch: pytest.MonkeyPatch, _home: Path) -> Iterator[None]:
    """No CI, no colours, no width, an empty home, and a time zone in which local time is seen to be wrong."""
    for name in list(os.environ):
        if name in _CALLERS_VARIABLES or name.startswith(("GITHUB_", "RUNNER_", "SLURM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_home))
    monkeypatch.setenv("TZ", "<+0530>-05:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def report_limits() -> ReportLimits:
    """Limits of a size that the recorded events reach."""
    return ReportLimits(
        progress_every_s=15, tail_lines=40, case_lines=12, summary_bytes=921_600, annotations_max=10
    )


@pytest.fixture
def regenerate_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written."""
    return bool(request.config.getoption("--regenerate-golden"))
