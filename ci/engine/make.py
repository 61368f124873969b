"""Making an engine's environment: once, shared, and whole or not at all."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ci.engine.environment import (
    KERNEL_STUB,
    SCRIPT,
    SERVER_ARGUMENTS,
    SERVER_ARGUMENTS_NAME,
    EngineEnvironment,
    Size,
    is_usable,
)
from ci.engine.folders import free_bytes, holding, whole
from ci.engine.uv_process import run_uv
from ci.errors import InfrastructureError
from ci.nox.environments import find_python
from ci.system import clock, process

__all__ = ["Progress", "RunUv", "prepare"]

_MIB: Final = 2**20
# uv downloads a Python in this time or not at all.
_FIND_PYTHON_S: Final = 600.0

_SIZE: Final = re.compile(r"Downloading (\S+) \(([\d.]+)([KMG])iB\)")
_DONE: Final = re.compile(r" Downloaded (\S+)")
_MIB_PER: Final = {"K": 1 / 1024, "M": 1.0, "G": 1024.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is: the step, since when, and what uv has said of its downloads; 0 before it has said anything."""

    step: str
    elapsed_s: float
    done_mib: float = 0
    known_mib: float = 0
    line: str = ""
    ended: bool = False


class RunUv(Protocol):
    """Runs a command of uv's and raises when it fails."""

    def __call__(
        self, argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None: ...


def prepare(
    wanted: EngineEnvironment,
    *,
    uv: str,
    environ: Mapping[str, str],
    tell: Callable[[Progress], None],
    run: RunUv = run_uv,
    free: Callable[[Path], int] = free_bytes,
    python: Path | None = None,
) -> None:
    """Make an environment unless it is there; when another process is making one, wait for that.

    What is not finished, after an error, an interrupt or a kill, is removed at once or at the next call.

    Args:
        wanted: what to make.
        uv: the path of uv.
        environ: our own environment, for uv.
        tell: takes the progress.
        run: runs uv.
        free: the free bytes of a folder's file system.
        python: the Python to make it with; found, or downloaded by uv, when None.

    Raises:
        InfrastructureError: no Python of that version, no network, no space, or a folder that cannot be written.
    """
    if wanted.is_ready():
        wanted.note_use()
        return
    steps = _Steps(tell)
    with holding(wanted.engines, steps.say):
        if wanted.is_ready():
            return
        _check_space(wanted.engines, wanted.size(), free)
        maker = _Maker(wanted, uv=uv, environ=environ, run=run, steps=steps, python=python)
        for folder, make in ((wanted.base_folder, maker.base), (wanted.folder, maker.layer)):
            if not is_usable(folder):
                whole(folder, make, recording=lambda: steps.step("checksums of its files"))


def _check_space(folder: Path, size: Size, free: Callable[[Path], int]) -> None:
    available = free(folder) / _MIB
    if available < size.disk_mib:
        raise InfrastructureError(
            f"the engine's environment takes {size.disk_mib / 1024:.1f} GiB, and {available / 1024:.1f} GiB are free"
            f" in {folder}",
            cause="torch for x86-64 comes with its NVIDIA libraries",
            then=f"df -h {folder.parent}; ./inv engine.remove; AMD_CI_CACHE=DIR names a cache on another disk",
        )


class _Steps:
    """The progress of one step after the other."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell = tell
        self._step = ""
        self._since_s = clock.monotonic_s()
        self._sizes: dict[str, float] = {}
        self._done: set[str] = set()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        self._step, self._since_s = text, clock.monotonic_s()
        self._sizes, self._done = {}, set()
        self.say("")
        yield
        self.say("", ended=True)

    def line(self, text: str) -> None:
        """Take a line of uv's."""
        if found := _SIZE.match(text):
            self._sizes[found[1]] = float(found[2]) * _MIB_PER[found[3]]
        elif found := _DONE.match(text):
            self._done.add(found[1])
        elif text.startswith(" + "):
            return
        self.say(text.strip())

    def say(self, line: str, *, ended: bool = False) -> None:
        self._tell(
            Progress(
                step=self._step,
                elapsed_s=clock.monotonic_s() - self._since_s,
                done_mib=sum(self._sizes.get(name, 0) for name in self._done),
                known_mib=sum(self._sizes.values()),
                line=line,
                ended=ended,
            )
        )


class _Maker:
    """Fills the two folders of one environment."""

    def __init__(
        self,
        wanted: EngineEnvironment,
        *,
        uv: str,
        environ: Mapping[str, str],
        run: RunUv,
        steps: _Steps,
        python: Path | None,
    ) -> None:
        self._wanted, self._uv, self._environ, self._run, self._steps = wanted, uv, environ, run, steps
        self._python = python

    def base(self, folder: Path) -> None:
        """Install torch and what all layers share."""
        wanted = self._wanted
        self._venv(folder, self._found_python())
        self._install(
            folder, wanted.base_pins, f"{wanted.base_name}: {wanted.base_size.disk_mib / 1024:.1f} GiB"
        )

    def layer(self, folder: Path) -> None:
        """Install one SGLang, and a path that leads on to the base: what both have is taken from here."""
        wanted = self._wanted
        self._venv(folder, Path(os.path.realpath(wanted.base_folder / "bin" / "python3")))
        self._install(folder, wanted.layer.pins, wanted.layer.name)
        packages = _packages(folder, wanted.python_minor)
        shutil.copytree(
            KERNEL_STUB, packages, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
        # Appended after the layer's own packages. Relative to this folder, as both stand in one.
        beyond = _packages(wanted.base_folder, wanted.python_minor)
        line = os.path.relpath(beyond, wanted.engines / "x" / packages.relative_to(folder))
        (packages / "base.pth").write_text(f"{line}\n", encoding="utf-8")
        if wanted.layer.scripts:
            name = SERVER_ARGUMENTS_NAME
            (packages / f"{name}.py").write_text(SERVER_ARGUMENTS, encoding="utf-8")
            (packages / f"{name}.pth").write_text(f"import {name}\n", encoding="utf-8")
        for name, target in wanted.layer.scripts.items():
            module, _, function = target.partition(":")
            script = folder / "bin" / name
            script.write_text(SCRIPT.format(module=module, function=function), encoding="utf-8")
            script.chmod(0o755)

    def _found_python(self) -> Path:
        if self._python is None:
            with self._steps.step(f"Python {self._wanted.python_minor}"):
                self._python = find_python(
                    self._wanted.python_minor,
                    uv=self._uv,
                    environ=self._environ,
                    output=self._output,
                ).executable
        return self._python

    def _output(self, argv: Sequence[str]) -> str:
        done = process.capture(argv, timeout_s=_FIND_PYTHON_S, env=self._environ, cwd=Path("/"))
        return done.text if done.code == 0 else ""

    def _venv(self, folder: Path, python: Path) -> None:
        # relocatable: it gets its name when it is finished
        self._uv_run(
            [*("venv", "--quiet", "--relocatable", "--no-project", "--python", str(python)), str(folder)]
        )

    def _install(self, folder: Path, pins: str, what: str) -> None:
        file = folder / "pins.txt"
        file.write_text(pins, encoding="utf-8")
        with self._steps.step(what):
            # `sync` installs what the file lists and no dependency. Wheels only: no package's code runs.
            # Bytecode: a container sees the folder read-only, and would compile torch at each start.
            self._uv_run(
                [
                    *("pip", "sync", "--require-hashes", "--no-build", "--compile-bytecode"),
                    *("--python", str(folder / "bin" / "python3"), str(file)),
                ]
            )

    def _uv_run(self, arguments: Sequence[str]) -> None:
        argv = [self._uv, *arguments]
        self._run(argv, cwd=self._wanted.engines, environ=self._environ, on_line=self._steps.line)


def _packages(folder: Path, python_minor: str) -> Path:
    return folder / "lib" / f"python{python_minor}" / "site-packages"
