"""The variables that an SGLang declares in `environ.py`: executed alone, else read by AST."""

import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ci.errors import FindingsError
from ci.plan.contract.sglang import Declared
from ci.system.process import capture

__all__ = ["ENVIRON", "read_declared"]

ENVIRON: Final = "sglang/srt/environ.py"
_PROGRAM: Final = Path(__file__).with_name("environ_program.py")
_FIELD: Final = re.compile(r"Env[A-Z]\w*")
_ALONE_S: Final = 30.0


def read_declared(folder: Path, values: Mapping[str, Iterable[str]]) -> tuple[Mapping[str, Declared], str]:
    """The fields by name, and how they were read; `values` are ours by name, to be parsed by the file's own code.

    `folder` holds the package `sglang`. Without the file nothing is declared.

    Raises:
        FindingsError: the file is not Python.
    """
    path = folder / ENVIRON
    if not path.is_file():
        return {}, f"there is no {ENVIRON}"
    try:
        module = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise FindingsError(
            f"{path}:{error.lineno}: is not Python: {error.msg}", then="fix the file in that tree"
        ) from error
    read = dict(_by_ast(module))
    ran, problem = _executed(path, values)
    if ran is None:
        return read, f"{ENVIRON}, read by AST: it does not run alone ({problem})"
    aliases = {row["alias_of"]: name for name, row in ran.items() if row["alias_of"]}
    found = {
        name: Declared(
            place=read[name].place if name in read else ENVIRON,
            type=row["type"],
            default=row["default"],
            parsed=row["parsed"],
            invalid=row["invalid"],
        )
        for name, row in ran.items()
    }
    for old, new in aliases.items():
        if old and old not in found and new in found:
            row = ran[new]
            found[old] = Declared(
                place=found[new].place, type=row["type"], default=row["default"], renamed=new
            )
    return found, f"{ENVIRON}, executed alone"


def _executed(path: Path, values: Mapping[str, Iterable[str]]) -> tuple[Mapping[str, Any] | None, str]:
    asked = {"path": str(path), "values": {name: list(each) for name, each in values.items()}}
    done = capture(
        [sys.executable, "-I", "-S", "-B", str(_PROGRAM)],
        timeout_s=_ALONE_S,
        env={"PATH": "/usr/bin:/bin"},
        stdin=json.dumps(asked).encode(),
    )
    if done.code != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return None, done.why or (lines[-1] if lines else f"exit {done.code}")
    answer: Mapping[str, Any] = json.loads(done.text.splitlines()[-1])
    return answer, ""


def _by_ast(module: ast.Module) -> Iterable[tuple[str, Declared]]:
    """`NAME = EnvBool(False)` in the body of a class."""
    for statement in module.body:
        if not isinstance(statement, ast.ClassDef):
            continue
        for node in statement.body:
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=kind)) as call
                ) if _FIELD.fullmatch(kind):
                    default = ast.unparse(call.args[0]) if call.args else ""
                    yield name, Declared(place=f"{ENVIRON}:{node.lineno}", type=kind, default=default)
