"""The layer of any SGLang: pinned here when it has a row, else resolved on this machine and kept in the cache."""

import hashlib
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final, Protocol

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from ci.catalog.sglang import SglangRows
from ci.engine.environment import REQUIREMENTS, Layer, base_pins, pinned_layer, tree_layer
from ci.engine.trees import TreeWants, applicable, bare
from ci.engine.uv_process import UvFailedError, failure_of
from ci.errors import InfrastructureError, UsageError
from ci.nox.pin_blocks import beyond, joined, version_of
from ci.nox.pins import ENGINE_PLATFORM
from ci.system import process
from ci.system.process import Completed

__all__ = ["Capture", "Resolver"]

# Its pyproject.toml says that SGLang's own requirements do not count.
_ROOT: Final = Path(__file__).parents[2]
# In this project's cache.
_RESOLVED: Final = "engine-pins"
_TIMEOUT_S: Final = 300.0
_NO_SUCH_VERSION: Final = re.compile(r"there is no version of|was not found in the package registry")


class Capture(Protocol):
    """Runs a command to its end and keeps what it printed."""

    def __call__(
        self, argv: Sequence[str], *, timeout_s: float, cwd: Path, env: Mapping[str, str]
    ) -> Completed: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Finds layers. `cache` is this project's cache folder, `uv` the path of uv, `environ` our own environment for it."""

    rows: SglangRows
    cache: Path
    uv: str
    environ: Mapping[str, str]
    capture: Capture = process.capture
    requirements: Path = REQUIREMENTS

    def release(self, version: str) -> Layer:
        """The layer of a release.

        Raises:
            UsageError: it is not a version, or none of SGLang's.
            InfrastructureError: it has no row, was not resolved before, and the index cannot be reached.
        """
        if layer := pinned_layer(self.rows, version, self.requirements):
            return layer
        try:
            wanted = f"sglang=={Version(version)}"
        except InvalidVersion:
            raise UsageError(
                f"--sglang {version} is not a version",
                cause=self._rows(),
                then=f"the same command with --sglang {self.rows.newest}",
            ) from None
        pins = self._kept(wanted) or self._resolve_release(version, wanted)
        return Layer(name=f"sglang-{version}", pins=pins, pinned_here=False)

    def checkout(self, wants: TreeWants) -> Layer:
        """The layer for a checkout, without an SGLang.

        Raises:
            UsageError: its requirements exclude each other.
            InfrastructureError: no row has its transformers, it was not resolved before, and the index cannot be reached.
        """
        if layer := tree_layer(
            self.rows, transformers=wants.transformers, scripts=wants.scripts, requirements=self.requirements
        ):
            return layer
        key = "\n".join(wants.requirements)
        pins = self._kept(key) or self._resolve(key, wants.requirements, source=wants.where)
        name = f"sglang-tree-{version_of(joined(self._base, pins), 'transformers')}"
        return Layer(name=name, pins=pins, pinned_here=False, scripts=wants.scripts)

    def _resolve_release(self, version: str, wanted: str) -> str:
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".sglang-") as folder:
            # its wheel is needed anyway, and uv keeps it
            argv = ["pip", "install", "--quiet", "--no-deps", "--no-build", "--target", folder]
            try:
                self._run([*argv, "--python", sys.executable, *self._platform(), wanted])
            except UvFailedError as error:
                if not _NO_SUCH_VERSION.search(error.printed):
                    raise
                raise UsageError(
                    f"SGLang has no release {version}",
                    cause=f"the nearest: {', '.join(self._nearest(version)) or 'none'}; {self._rows()}",
                    then=f"the same command with --sglang {self.rows.newest}",
                ) from None
            (found,) = Distribution.discover(name="sglang", path=[folder])
            asked = [Requirement(text) for text in found.requires or ()]
        minor = self.rows.base.python
        followed = [
            each for each in asked if each.name.lower() in self.rows.follow and applicable(each, minor)
        ]
        return self._resolve(wanted, [wanted, *map(bare, followed)], source=wanted)

    def _resolve(self, key: str, requirements: Sequence[str], *, source: str) -> str:
        """Pins with hashes of what differs from the base; also noted for the next time."""
        file = self._file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".resolving-") as name:
            wanted, output = Path(name, "wanted.in"), Path(name, "pins.txt")
            wanted.write_text("".join(f"{each}\n" for each in requirements), encoding="utf-8")
            # uv keeps what fits of what it finds in its output file
            output.write_text(joined(self._base), encoding="utf-8")
            try:
                self._run(
                    [
                        *("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
                        *("--no-emit-index-url", "--no-emit-find-links", *self._platform()),
                        *("--output-file", str(output), str(wanted)),
                    ]
                )
            except UvFailedError as error:
                if "No solution found" not in error.printed:
                    raise
                raise UsageError(
                    f"the requirements of {source} cannot be met together: {', '.join(requirements)}",
                    cause=error.printed.partition("cause: ")[2].strip(),
                    then="the rows [[follow]] of sglang.toml say which are taken from it",
                ) from None
            output.write_text(beyond(output.read_text(encoding="utf-8"), self._base), encoding="utf-8")
            output.replace(file)
        return file.read_text(encoding="utf-8")

    def _kept(self, key: str) -> str:
        try:
            return self._file(key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _file(self, key: str) -> Path:
        text = f"{self._base}\0{','.join(self.rows.follow)}\0{key}"
        return self.cache / _RESOLVED / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"

    def _nearest(self, version: str) -> list[str]:
        """The releases before and after a version that does not exist."""
        found = []
        for text, which in ((f"sglang<{version}", "highest"), (f"sglang>{version}", "lowest")):
            with tempfile.TemporaryDirectory(dir=self.cache) as name:
                wanted, output = Path(name, "wanted.in"), Path(name, "pins.txt")
                wanted.write_text(text, encoding="utf-8")
                argv = [*("pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate")]
                argv += [*self._platform(), "--resolution", which, "--output-file", str(output), str(wanted)]
                try:
                    self._run(argv)
                    found.append(version_of(output.read_text(encoding="utf-8"), "sglang"))
                except UvFailedError:
                    continue
        return found

    @property
    def _base(self) -> str:
        return base_pins(self.rows, self.requirements)

    def _platform(self) -> tuple[str, ...]:
        return ("--python-version", self.rows.base.python, "--python-platform", ENGINE_PLATFORM)

    def _rows(self) -> str:
        return f"pinned here: {', '.join(self.rows.releases)}"

    def _run(self, arguments: Sequence[str]) -> None:
        argv = [self.uv, *arguments]
        done = self.capture(argv, timeout_s=_TIMEOUT_S, cwd=_ROOT, env=self.environ)
        if done.code is None:
            raise InfrastructureError(
                done.why, cause="the package index was not reached in time", then="pip install uv"
            )
        if done.code:
            raise failure_of(argv, done.code, done.stderr.decode(errors="replace"))
