"""Programs in the place of uv and of an engine's Python, for what makes and examines an environment."""

import json
import sys
from pathlib import Path

__all__ = ["ANSWER", "engine_python", "uv_that_fails", "uv_that_makes"]

# what `ci.engine.interpreter` asks an interpreter for
ANSWER = {"kernels": "/p/sgl_kernel", "files": [], "error": "", "sglang": "1", "torch": "2", "gpu": False}

_PYTHON = """#!/bin/sh
case "$*" in
    *SOABI*) echo 3.12.1; echo abi ;;
    *convert_weights*) mkdir -p "$3"; echo model > "$3/config.json" ;;
    *) echo "$PYTHONPATH" >> "$(readlink -f "$0").asked"; echo '{answer}' ;;
esac
"""
_UV = """#!{python}
import pathlib, sys

arguments = sys.argv[1:]
if arguments[0] == "venv":
    folder = pathlib.Path(arguments[-1]) / "bin"
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(arguments[arguments.index("--python") + 1])
elif arguments[0] == "pip":
    (pathlib.Path(arguments[-1]).parent / "lib/python3.12/site-packages").mkdir(parents=True)
elif arguments[:2] == ["python", "find"]:
    print({found!r})
"""
_FAILS = """#!{python}
import pathlib, sys

arguments = sys.argv[1:]
if {nearest!r} and "--output-file" in arguments:
    version = {nearest!r}["lowest" in arguments]
    pathlib.Path(arguments[arguments.index("--output-file") + 1]).write_text(f"sglang=={{version}}\\n")
else:
    sys.exit({printed!r})
"""


def engine_python(folder: Path, **answer: object) -> Path:
    """It answers as an environment's Python does; each PYTHONPATH that it was examined with is a line of `python3.asked`."""
    return _program(folder / "python3", _PYTHON.replace("{answer}", json.dumps({**ANSWER, **answer})))


def uv_that_makes(folder: Path, python: Path | None) -> Path:
    """It finds this Python 3.12, or none, and makes folders with links to it."""
    return _program(folder / "uv", _UV.format(python=sys.executable, found=str(python or "")))


def uv_that_fails(folder: Path, printed: str, *, nearest: tuple[str, ...] = ()) -> Path:
    """It prints this and fails; `nearest` are the releases before and after the one that is asked for."""
    return _program(folder / "uv", _FAILS.format(python=sys.executable, printed=printed, nearest=nearest))


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
