"""An interpreter that brings its own SGLang (`--python PATH`): whether it can serve on this machine."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ci.engine.environment import KERNEL_STUB
from ci.errors import InfrastructureError
from ci.system.process import capture

__all__ = ["Kernels", "OwnInterpreter", "examine"]

# The import of SGLang's arguments takes some 5 s, on a busy machine with a cold disk 60.
_TIMEOUT_S: Final = 180.0

# What the CUDA build of the kernels holds, in the package's folder.
_CUDA_FILES: Final = re.compile(r"sm\d+/|(flash|spatial)_ops\.")

# Run by that interpreter.
_PROBE: Final = """
import importlib.metadata, importlib.util, json, pathlib, traceback
answer = {"kernels": "absent", "files": [], "error": "", "sglang": "", "torch": "", "gpu": False}
for name in ("sglang", "torch"):
    try:
        answer[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
spec = importlib.util.find_spec("sgl_kernel")
if spec is not None:
    folder = pathlib.Path(spec.origin or "").parent
    answer["kernels"] = str(folder)
    answer["files"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.so*"))
try:
    import torch
    answer["gpu"] = bool(torch.cuda.is_available())
    import sglang.srt.server_args
except BaseException as error:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0] + place
print("\\n" + json.dumps(answer))
"""


class Kernels(StrEnum):
    """What an interpreter has as `sgl_kernel`."""

    ABSENT = "absent"
    STAND_IN = "stand-in"
    COMPILED = "compiled"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnInterpreter:
    """What was found. `python_path` is what its PYTHONPATH must begin with: our stand-in when it has no kernels."""

    python: Path
    sglang_version: str
    torch_version: str
    kernels: Kernels

    @property
    def python_path(self) -> tuple[Path, ...]:
        return (KERNEL_STUB,) if self.kernels is Kernels.ABSENT else ()


def examine(
    python: Path, *, asked: str, environ: Mapping[str, str], source: Path | None = None
) -> OwnInterpreter:
    """Ask an interpreter; with `source`, the `python` folder of a checkout, its SGLang is taken from there.

    `asked` is what messages begin with: the option that brought it here, e.g. `--python /opt/sglang/bin/python3`.

    Raises:
        InfrastructureError: it cannot be run, its kernels are compiled for a GPU that is not here, or its SGLang cannot be
            imported.
    """
    variables = {**environ, "PYTHONDONTWRITEBYTECODE": "1", "SGLANG_USE_CPU_ENGINE": "1"}
    if source:
        variables["PYTHONPATH"] = str(source)
    # behind its own packages: kernels of its own are found first
    probe = f"import sys; sys.path.append({str(KERNEL_STUB)!r})\n{_PROBE}"
    done = capture([str(python), "-c", probe], timeout_s=_TIMEOUT_S, cwd=Path("/"), env=variables)
    try:
        answer = json.loads(done.text.splitlines()[-1])
    except (ValueError, IndexError):
        raise InfrastructureError(
            f"{asked}: {done.why or f'it ended with {done.code} and did not answer'}",
            cause="it is not a Python 3.10 or newer, or is damaged",
            then=f"{python} -V",
        ) from None
    cuda_files = [name for name in answer["files"] if _CUDA_FILES.match(name)]
    if cuda_files and not answer["gpu"]:
        raise InfrastructureError(
            f"{asked}: its sgl_kernel is compiled for CUDA, and there is no GPU on this machine",
            cause=f"{answer['kernels']} holds {cuda_files[0]}",
            then="leave --python out: the engine's environment is made here, with a stand-in for the kernels",
        )
    if answer["error"]:
        before = f"PYTHONPATH={source} " if source else ""
        raise InfrastructureError(
            f"{asked}: SGLang cannot be imported: {answer['error']}",
            cause="a package that it needs is missing there or has another version, or its own code is broken",
            then=f"{before}SGLANG_USE_CPU_ENGINE=1 {python} -c 'import sglang.srt.server_args'",
        )
    if answer["kernels"] == str(KERNEL_STUB / "sgl_kernel"):
        kernels = Kernels.ABSENT
    else:
        kernels = Kernels.COMPILED if answer["files"] else Kernels.STAND_IN
    return OwnInterpreter(
        python=python, sglang_version=answer["sglang"], torch_version=answer["torch"], kernels=kernels
    )
