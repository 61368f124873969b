"""The server arguments of an SGLang: asked of its own parser in an interpreter that can import it, or read from the source."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ci.errors import FindingsError, InfrastructureError
from ci.facts.sglang.options import read_options
from ci.facts.sglang.source import Package
from ci.facts.sglang.tree import SglangTree
from ci.plan.contract.sglang import Option, ParserFact
from ci.system.codec import decode
from ci.system.process import capture

__all__ = ["ask_parser", "read_parser"]

_PROGRAM: Final = Path(__file__).with_name("parser_program.py")
# importing torch and SGLang from a cold disk
_IMPORT_S: Final = 300.0


def read_parser(tree: SglangTree, package: Package) -> ParserFact:
    """The arguments as the source declares them.

    Raises:
        FindingsError: a file is not Python, or no argument was found.
    """
    try:
        options = read_options(package)
    except SyntaxError as error:
        raise FindingsError(
            f"{error.filename}:{error.lineno}: is not Python: {error.msg}", then="fix the file in that tree"
        ) from error
    if not options:
        raise FindingsError(
            f"{tree.title}: no server argument was found",
            cause="python/sglang/srt/server_args.py is missing, or declares its arguments in a form that is new",
            then="ask its own parser: --python PATH of an interpreter that can import it",
        )
    return ParserFact(source="read from the source of its server_args.py", options=options)


def ask_parser(
    tree: SglangTree, python: str, groups: Iterable[Sequence[str]], environ: Mapping[str, str]
) -> ParserFact:
    """The arguments of the real parser; `groups` are (option, value) to be parsed by it.

    Raises:
        InfrastructureError: the interpreter cannot import this SGLang.
    """
    wanted = [list(group) for group in dict.fromkeys(tuple(group) for group in groups)]
    done = capture(
        [python, str(_PROGRAM)],
        timeout_s=_IMPORT_S,
        cwd=Path("/"),
        env={**environ, "PYTHONPATH": str(tree.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=json.dumps(wanted).encode(),
    )
    if done.code != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise InfrastructureError(
            f"{python} cannot import {tree.title}",
            cause=done.why or (lines[-1] if lines else f"exit {done.code}"),
            then="leave --python out: the arguments are then read from the source",
        )
    answer = json.loads(done.text.splitlines()[-1])
    return ParserFact(
        source=f"its own parser, in {python}",
        options=tuple(decode(Option, row) for row in answer["options"]),
        refused={(name, value): text for name, value, text in answer["refused"]},
    )
