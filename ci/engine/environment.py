"""The engine's environment as a value: a base with torch, a layer with one SGLang on it, and where both stand."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ci.catalog.sglang import SglangRows
from ci.engine.folders import ENGINES, is_whole, note_use
from ci.nox.environments import pin_files

__all__ = [
    "KERNEL_STUB",
    "REQUIREMENTS",
    "SCRIPT",
    "SERVER_ARGUMENTS",
    "SERVER_ARGUMENTS_NAME",
    "EngineEnvironment",
    "Layer",
    "Size",
    "base_pins",
    "environment_of",
    "folder_digest",
    "is_usable",
    "pinned_layer",
    "tree_layer",
]

KERNEL_STUB: Final = Path(__file__).parent / "kernel_stub"
REQUIREMENTS: Final = Path(__file__).parents[2] / "requirements"

# Part of every digest: change it when environments are made differently, so that old ones are not used.
_LAYOUT: Final = "1"


# Console scripts that a layer's own wheels do not bring. Relocatable, as those that uv writes.
SCRIPT: Final = """\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python3' "$0" "$@"
' '''
import sys

from {module} import {function}

if __name__ == "__main__":  # the processes that a server spawns import this file again
    sys.exit({function}())
"""

# A checkout's tests start servers by `sglang serve`, by `python3 -m sglang.launch_server` and by benches that hold a server: every
# Python of the layer reads this at its start, by a .pth file.
SERVER_ARGUMENTS_NAME: Final = "amd_ci_server_arguments"
SERVER_ARGUMENTS: Final = '''\
"""Gives the servers that a checkout's tests start the arguments of this run."""

import os
import sys

MODULES = ("sglang.launch_server", "sglang.bench_one_batch", "sglang.bench_offline_throughput")


def place(command, arguments):
    """Where our arguments go: before the caller's, so that those win; None where no server is started."""
    if arguments[:1] == ["-m"]:
        return 1 if command[len(command) - len(arguments)].removeprefix("-m") in MODULES else None
    is_serve = arguments[1:2] == ["serve"] and os.path.basename(arguments[0]) == "sglang"
    return 2 if is_serve else None


given = os.environ.get("AMD_CI_SERVER_ARGS")
if given and (at := place(sys.orig_argv, sys.argv)) is not None:
    import shlex

    sys.argv[at:at] = shlex.split(given)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one SGLang has beyond the base: `sglang-0.5.23`, or `sglang-tree-5.8.1` for a checkout that brings its own.

    `scripts` are console scripts to write, name to `module:function`: none for a release, whose wheel has its own.
    `pinned_here` is false when the pins were resolved on this machine.
    """

    name: str
    pins: str = field(repr=False)
    pinned_here: bool = True
    scripts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """An estimate of what has still to be downloaded and what the folders take, MiB."""

    download_mib: int
    disk_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEnvironment:
    """A base and a layer in a cache folder; nothing of it need exist yet."""

    cache: Path
    base_name: str
    base_pins: str = field(repr=False)
    base_size: Size
    layer: Layer
    layer_size: Size
    python_minor: str
    stub_digest: str

    @property
    def base_digest(self) -> str:
        """SHA-256 of what the base is made of."""
        return _digest(_LAYOUT, self.python_minor, self.base_pins)

    @property
    def digest(self) -> str:
        """SHA-256 of all that the environment is made of."""
        scripts = (
            json.dumps({"text": SCRIPT, "start": SERVER_ARGUMENTS, **self.layer.scripts}, sort_keys=True)
            if self.layer.scripts
            else ""
        )
        return _digest(self.base_digest, self.layer.name, self.layer.pins, scripts, self.stub_digest)

    @property
    def engines(self) -> Path:
        """The folder of all engine environments."""
        return self.cache / ENGINES

    @property
    def base_folder(self) -> Path:
        return self.engines / f"{self.base_name}-{self.base_digest[:12]}"

    @property
    def folder(self) -> Path:
        return self.engines / f"{self.layer.name}-{self.digest[:12]}"

    @property
    def python(self) -> Path:
        """The interpreter; the console scripts stand beside it."""
        return self.folder / "bin" / "python3"

    @property
    def read_only_folders(self) -> tuple[Path, ...]:
        """What a container needs to see, at the same paths; empty before it is made."""
        home = Path(os.path.realpath(self.python)).parents[1]
        return (self.base_folder, self.folder, home) if self.is_ready() else ()

    def is_ready(self) -> bool:
        """Whether it can be used; false too when the Python that it was made with was removed."""
        return all(is_usable(folder) for folder in (self.base_folder, self.folder))

    def size(self) -> Size:
        """What is still to be made."""
        sizes = [
            size
            for folder, size in ((self.base_folder, self.base_size), (self.folder, self.layer_size))
            if not is_usable(folder)
        ]
        return Size(
            download_mib=sum(size.download_mib for size in sizes),
            disk_mib=sum(size.disk_mib for size in sizes),
        )

    def note_use(self) -> None:
        """Note the use of both folders."""
        note_use(self.base_folder)
        note_use(self.folder)


def is_usable(folder: Path) -> bool:
    """Whether one of the two folders is complete and its Python is still there."""
    return is_whole(folder) and os.access(folder / "bin" / "python3", os.X_OK)


def environment_of(
    rows: SglangRows, layer: Layer, *, cache: Path, requirements: Path = REQUIREMENTS
) -> EngineEnvironment:
    """The environment of a layer in this project's cache folder.

    Raises:
        UsageError: the base's pin file is missing.
    """
    base = rows.base
    return EngineEnvironment(
        cache=cache,
        base_name=base.pins,
        base_pins=base_pins(rows, requirements),
        base_size=Size(download_mib=base.download_mib, disk_mib=base.disk_mib),
        layer=layer,
        layer_size=Size(download_mib=base.layer_download_mib, disk_mib=base.layer_disk_mib),
        python_minor=base.python,
        stub_digest=folder_digest(KERNEL_STUB),
    )


def base_pins(rows: SglangRows, requirements: Path = REQUIREMENTS) -> str:
    """The text of the base's pin file.

    Raises:
        UsageError: it is missing.
    """
    return _pins(rows.base.pins, requirements)


def pinned_layer(rows: SglangRows, version: str, requirements: Path = REQUIREMENTS) -> Layer | None:
    """The layer of a release that has a row; None for others, see `ci.engine.resolve`.

    Raises:
        UsageError: the row's pin file is missing.
    """
    row = rows.releases.get(version)
    return Layer(name=f"sglang-{row.version}", pins=_pins(row.pins, requirements)) if row else None


def tree_layer(
    rows: SglangRows, *, transformers: str, scripts: Mapping[str, str], requirements: Path = REQUIREMENTS
) -> Layer | None:
    """The layer for a checkout that wants this version of transformers, when that has a row.

    Raises:
        UsageError: the row's pin file is missing.
    """
    row = rows.trees.get(transformers)
    return Layer(name=row.pins, pins=_pins(row.pins, requirements), scripts=scripts) if row else None


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of the Python files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)}\0{content}\0".encode())
    return digest.hexdigest()


def _pins(group: str, requirements: Path) -> str:
    (file,) = pin_files(requirements, (group,))
    return file.read_text(encoding="utf-8")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
