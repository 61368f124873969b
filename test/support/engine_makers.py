"""An engine's environment for tests: pins of two small packages, and what uv does to the disk."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci.engine.environment import EngineEnvironment, environment_of, pinned_layer
from ci.engine.make import Progress
from support import catalog_files

__all__ = ["FakeUv", "small_environment", "write_pins"]

PINS = {
    "engine-base": "torch==2.0 \\\n    --hash=sha256:aa\ntransformers==5.0.0 \\\n    --hash=sha256:bb\n",
    "engine-1.2.0": "sglang==1.2.0 \\\n    --hash=sha256:cc\n",
    "engine-tree-5.1.0": "transformers==5.1.0 \\\n    --hash=sha256:dd\n",
}


def write_pins(folder: Path) -> Path:
    """The pin files that the rows of the tests' catalog name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in PINS.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def small_environment(folder: Path, version: str = "1.2.0") -> EngineEnvironment:
    """That of a release with a row, in a cache below the folder."""
    rows, requirements = catalog_files.catalog().sglang, write_pins(folder / "requirements")
    layer = pinned_layer(rows, version, requirements)
    assert layer
    return environment_of(rows, layer, cache=folder / "cache", requirements=requirements)


@dataclass
class FakeUv:
    """Makes a folder with a Python for `venv`, and a file per pin for `pip sync`; may raise at the n-th command."""

    raises: Mapping[int, BaseException] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None:
        assert cwd.is_dir()
        assert "PATH" not in environ
        self.commands.append(list(argv))
        if argv[1] == "venv":
            binaries = Path(argv[-1]) / "bin"
            binaries.mkdir(parents=True)
            (binaries / "python3").symlink_to(sys.executable)
        else:
            on_line("Downloading torch (2.0MiB)")
            on_line(" Downloaded torch")
            folder = Path(argv[-1]).parent / "lib" / "python3.12" / "site-packages"
            folder.mkdir(parents=True)
            for line in Path(argv[-1]).read_text().splitlines():
                if "==" in line:
                    (folder / f"{line.partition('==')[0]}.py").write_text(line)
        if error := self.raises.get(len(self.commands)):
            raise error
