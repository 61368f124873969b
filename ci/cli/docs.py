"""`nox -s docs`: write what the documentation has from the code, or compare it."""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from inspect import cleandoc

from ci.catalog.catalog import load_catalog
from ci.cli import verb_options
from ci.cli.amd_coverage import amd_coverage_parser
from ci.cli.check import check_parser
from ci.cli.ci_plan import ci_plan_parser
from ci.cli.contract import contract_parser
from ci.cli.envs import envs_parser
from ci.cli.fleet_options import fleet_parser
from ci.cli.options import Parser, run_parser
from ci.cli.parity import parity_parser
from ci.cli.plan import diff_parser
from ci.cli.report import report_parser
from ci.cli.shards import shards_parser
from ci.cli.tree import tree_parser
from ci.cli.workflows import workflows_parser
from ci.errors import StaleError, writing
from ci.facts.gather import REPOSITORY
from ci.report.reference.pages import CommandHelp, render_pages
from ci.report.reference.schemas import render_schemas
from ci.system.generated import stale_files, write_files

__all__ = ["docs"]

_COMMAND = "nox -s docs"


def docs_parser() -> Parser:
    """The options of `nox -s docs`."""
    parser = Parser(prog=f"{_COMMAND} --", description="Write the schemas and the reference pages in docs/.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail with the diff of what is stale"
    )
    return parser


# of the sessions that are a command of ours; the others have none, or hand their words to pytest
_PARSERS: Mapping[str, Callable[[], Parser]] = {
    "plan": diff_parser,
    "envs": envs_parser,
    "check": check_parser,
    "contract": contract_parser,
    "tree": tree_parser,
    "amd_coverage": amd_coverage_parser,
    "ci_plan": ci_plan_parser,
    "parity": parity_parser,
    "report": report_parser,
    "shards": shards_parser,
    "fleet": fleet_parser,
    "workflows": workflows_parser,
    "docs": docs_parser,
}


def docs(arguments: Sequence[str]) -> int:
    """Write schemas and reference pages into docs/; `--check` writes nothing.

    Raises:
        UsageError: the options or the catalog is invalid.
        StaleError: `--check`, and a file is not what the code says.
        InfrastructureError: a file cannot be written.
    """
    known = docs_parser().read(arguments)
    catalog = load_catalog()
    files = render_schemas(catalog.reader.kinds) | render_pages(catalog, list(_sessions()), list(_verbs()))
    if known.check:
        stale = stale_files(files, REPOSITORY, what="is not what the code says")
        if stale:
            raise StaleError(
                "the reference in docs/ is stale", problems=[file.problem for file in stale], then=_COMMAND
            )
        return 0
    with writing(REPOSITORY / "docs", then=f"fix that, then: {_COMMAND}"):
        written = write_files(files, REPOSITORY)
    for path in written:
        sys.stderr.write(f"written: {path}\n")
    return 0


def _decorated(file: str, decorator: str) -> Iterator[tuple[ast.FunctionDef, ast.Call]]:
    """The functions of a file with this decorator, which is called. Read, not imported: Nox and Invoke are not needed."""
    for node in ast.parse((REPOSITORY / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            calls = (call for call in node.decorator_list if isinstance(call, ast.Call))
            yield from ((node, call) for call in calls if ast.unparse(call.func) == decorator)


def _sessions() -> Iterator[CommandHelp]:
    """The stages as one, then every other session of the noxfile."""
    run = run_parser("")
    text = f"Every stage and every suite: {run.description} {run.epilog}"
    yield CommandHelp(name="nox -s STAGE --", text=text, options=run.described)
    for function, _ in _decorated("noxfile.py", "register"):
        parser = _PARSERS.get(function.name)
        text = cleandoc(ast.get_docstring(function) or "")
        options = parser().described if parser else ()
        dashes = " --" if options else ""
        yield CommandHelp(name=f"nox -s {function.name}{dashes}", text=text, options=options)


def _verbs() -> Iterator[CommandHelp]:
    """The verbs of tasks.py."""
    for function, call in _decorated("tasks.py", "verbs.add"):
        told = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        kind = function.args.args[0].annotation if function.args.args else None
        found = fields(getattr(verb_options, kind.id)) if isinstance(kind, ast.Name) else ()
        options = [
            (_typed(field.name, field.default, told.get("required", "")), field.metadata["help"])
            for field in found
            if field.name in told.get("only", (field.name,))
        ]
        yield CommandHelp(
            name=f"./inv {ast.literal_eval(call.args[0])}",
            text=cleandoc(ast.get_docstring(function) or ""),
            options=options,
        )


def _typed(name: str, default: object, required: str) -> str:
    """How an option is typed."""
    option = name.replace("_", "-")
    if name == required:
        return option.upper()
    return f"--{option}" if default is False else f"--{option} {option.upper()}"
