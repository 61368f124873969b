"""What every unit test gets: no way out of this process, an environment without a caller, and the fixture catalog."""

import functools
import gc
import ipaddress
import os
import shutil
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ci.catalog.catalog import Catalog, load_catalog, read_catalog
from ci.catalog.limits import ReportLimits
from ci.errors import Problem
from ci.github.workflows.render import write
from support import catalog_files
from support.catalog_files import CATALOG_DIR, ENVS_DIR, CatalogCopy
from support.trees import write_own_tree

REPOSITORY = Path(__file__).parents[2]

# A runner that is busy with something else is no failure, and the same commit has the same examples everywhere; others are tried
# with `--hypothesis-profile=explore`.
hypothesis.settings.register_profile("unit", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("unit")

# Collecting 6,000 tests makes a million objects that stay: with the usual thresholds the collector looks through them again and
# again, two fifths of that time.
gc.set_threshold(100_000, 50, 100)

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

_LIVE_ROWS = tuple(f"{REPOSITORY / folder}{os.sep}" for folder in ("ci/catalog", "envs"))

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
        self.live_rows = False

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
        if event == "open" and not self.live_rows and _is_live_row(arguments[0]):
            what = f"a unit test reads {arguments[0]}: use the rows of test/support/catalog, or mark it `live_rows`"
            raise RuntimeError(what)


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


def _is_live_row(path: object) -> bool:
    """A table that maintainers edit: a test that copies its values fails on a correct edit."""
    return (
        isinstance(path, str | os.PathLike)
        and (text := os.fspath(path)).endswith(".toml")
        and text.startswith(_LIVE_ROWS)
    )


_GUARD = _Guard()
sys.addaudithook(_GUARD)


def pytest_collection_finish() -> None:
    """What is there now stays until the end: the collector need not look through it."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "write what the reports say now to test/data/golden instead of comparing with it"
    parser.addoption("--regenerate-golden", action="store_true", help=help_text)


@pytest.fixture(autouse=True)
def no_outside_world(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets beyond loopback and, without their markers, child processes and the repository's rows raise RuntimeError."""
    _GUARD.processes = request.node.get_closest_marker("processes") is not None
    _GUARD.live_rows = request.node.get_closest_marker("live_rows") is not None
    _GUARD.on = True
    yield
    _GUARD.on = False


@pytest.fixture(scope="session", autouse=True)
def _one_trust_store() -> Iterator[None]:
    """Every client of HTTP reads the authorities that it trusts, 25 ms; no unit test speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


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


@pytest.fixture(autouse=True)
def fixture_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that loads the catalog gets that of the tests, which is read once."""
    for load in (load_catalog, read_catalog):
        monkeypatch.setattr(load, "__defaults__", (CATALOG_DIR, ENVS_DIR))
    monkeypatch.setattr("ci.catalog.catalog.read_catalog", _read_once)


def _read_once(folder: Path, envs: Path) -> tuple[Catalog, tuple[Problem, ...]]:
    """What `load_catalog` reads."""
    return _fixture_rows() if (folder, envs) == (CATALOG_DIR, ENVS_DIR) else read_catalog(folder, envs)


@functools.cache
def _fixture_rows() -> tuple[Catalog, tuple[Problem, ...]]:
    return read_catalog(CATALOG_DIR, ENVS_DIR)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The catalog of the tests."""
    return catalog_files.catalog()


@pytest.fixture
def catalog_copy(tmp_path: Path) -> CatalogCopy:
    """The files of the tests' catalog, to be edited."""
    return CatalogCopy(tmp_path)


@pytest.fixture(scope="session")
def _own_tree(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Path:
    tree = write_own_tree(tmp_path_factory.mktemp("own-tree"))
    write(catalog, tree)
    return tree


@pytest.fixture
def own_tree(tmp_path: Path, _own_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What commands take for this repository: the tests that the tests' catalog names, and the workflows of its rows."""
    tree = tmp_path / "own-tree"
    shutil.copytree(_own_tree, tree)
    for module in ("ci.facts.gather", "ci.cli.check", "ci.cli.workflows", "ci.repro.command"):
        monkeypatch.setattr(f"{module}.REPOSITORY", tree)
    return tree


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
