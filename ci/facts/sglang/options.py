"""The server arguments of an SGLang, read from its source.

Three forms, of which a version may have two: `parser.add_argument(...)` in `ServerArgs.add_cli_args`; fields of `ServerArgs`
annotated `A[type, "help"]` or `A[type, Arg(...)]`; the same fields in classes of `arg_groups/fields/`.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ci.facts.sglang.source import UNREAD, Package, names_of
from ci.plan.contract.sglang import Option

__all__ = ["SERVER_ARGS", "read_lists", "read_options"]

SERVER_ARGS: Final = "sglang.srt.server_args"
_CHOICES: Final = "sglang.srt.arg_groups.choices"
_FIELDS: Final = "sglang.srt.arg_groups.fields"
_ANNOTATED: Final = ("A", "Annotated")
_FLAGS: Final = (
    "StoreTrue",
    "StoreFalse",
    "store_true",
    "store_false",
    "BooleanOptional",
    "DeprecatedAction",
)
_CONSTANTS: Final = ("StoreConst", "store_const")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an argument is declared: a module, and the names that hold in its function."""

    package: Package
    module: str
    local: Mapping[str, ast.AST]

    def value(self, node: ast.AST) -> object:
        return self.package.value(node, self.module, self.local)

    def line(self, node: ast.expr | ast.stmt) -> str:
        return f"{self.module.replace('.', '/')}.py:{node.lineno}"


def read_options(package: Package) -> tuple[Option, ...]:
    """Every server argument; none when the tree has no `server_args.py`.

    Raises:
        SyntaxError: a file is not Python.
    """
    parsed = package.module(SERVER_ARGS)
    if parsed is None:
        return ()
    options: list[Option] = []
    folder = package.folder / _FIELDS.replace(".", "/")
    modules = [SERVER_ARGS, *(f"{_FIELDS}.{path.stem}" for path in sorted(folder.glob("*.py")))]
    for name in modules:
        module = package.module(name)
        for statement in module.body if module is not None else ():
            if not isinstance(statement, ast.ClassDef) or (
                name == SERVER_ARGS and statement.name != "ServerArgs"
            ):
                continue
            local = names_of(statement.body)
            options += _fields(statement, _Place(package=package, module=name, local={}))
            added = local.get("add_cli_args")
            if isinstance(added, ast.FunctionDef):
                place = _Place(package=package, module=name, local=names_of(added.body))
                options += _added(added, place)
    return tuple(options)


def read_lists(package: Package) -> Mapping[str, tuple[str, ...]]:
    """The lists of allowed values by name, e.g. `DETERMINISTIC_ATTENTION_BACKEND_CHOICES`."""
    found: dict[str, tuple[str, ...]] = {}
    for name in (_CHOICES, SERVER_ARGS):
        module = package.module(name)
        for key in names_of(module.body) if module is not None else ():
            if key.isupper():
                value = package.constant(name, key)
                if isinstance(value, list) and all(isinstance(item, str) for item in value):
                    found[key] = tuple(str(item) for item in value)
    return found


def _added(function: ast.FunctionDef, place: _Place) -> Iterator[Option]:
    """The calls of `add_argument` and of groups' `add_argument`."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "add_argument"
        ):
            names = tuple(
                value
                for part in node.args
                if isinstance(value := place.value(part), str) and value[:1] == "-"
            )
            if names:
                keywords = {each.arg: each.value for each in node.keywords if each.arg}
                yield _option(names, keywords, place, node, type_name=_type_name(keywords.get("type")))


def _fields(declaring: ast.ClassDef, place: _Place) -> Iterator[Option]:
    """The annotated fields of a class."""
    for node in declaring.body:
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=name),
                annotation=ast.Subscript(value=ast.Name(id=marker), slice=ast.Tuple(elts=[kind, *metadata])),
            ) if marker in _ANNOTATED:
                yield from _field(name, kind, metadata, place, node)


def _field(
    name: str, kind: ast.expr, metadata: list[ast.expr], place: _Place, node: ast.AnnAssign
) -> Iterator[Option]:
    keywords: dict[str, ast.expr] | None = None
    for each in metadata:
        match each:
            case ast.Constant(value=str()) | ast.JoinedStr() | ast.BinOp():
                keywords = {}
            case ast.Call(func=ast.Name(id="Arg"), keywords=given):
                keywords = {keyword.arg: keyword.value for keyword in given if keyword.arg}
        if keywords is not None:
            break
    if keywords is None or ("no_cli" in keywords and place.value(keywords["no_cli"]) is True):
        return
    extra = keywords.get("action_kwargs")
    if isinstance(extra, ast.Dict):
        keywords |= {
            str(place.value(key)): value for key, value in zip(extra.keys, extra.values, strict=True) if key
        }
    given_name = place.value(keywords["cli_name"]) if "cli_name" in keywords else None
    aliases = place.value(keywords["aliases"]) if "aliases" in keywords else None
    names = (
        given_name if isinstance(given_name, str) else "--" + name.replace("_", "-"),
        *(str(alias) for alias in (aliases if isinstance(aliases, list) else ())),
    )
    kind = _without_none(kind)
    if "type_parser" in keywords:
        type_name = "other"
    elif isinstance(kind, ast.Subscript):
        type_name = _type_name(kind.slice)
        if ast.unparse(kind.value) in ("List", "list"):
            keywords = {"nargs": ast.Constant("+"), **keywords}
        elif ast.unparse(kind.value) == "Literal":
            type_name = "str"
            literal = kind.slice if isinstance(kind.slice, ast.Tuple) else ast.Tuple(elts=[kind.slice])
            keywords = {"choices": literal, **keywords}
        else:
            type_name = "str"
    else:
        type_name = "flag" if ast.unparse(kind) == "bool" else _type_name(kind)
    yield _option(names, keywords, place, node, type_name=type_name)


def _option(
    names: tuple[str, ...],
    keywords: Mapping[str, ast.expr],
    place: _Place,
    node: ast.expr | ast.stmt,
    *,
    type_name: str,
) -> Option:
    action = ast.unparse(keywords["action"]).strip("'\"") if "action" in keywords else ""
    nargs: object = place.value(keywords["nargs"]) if "nargs" in keywords else None
    flag = any(word in action for word in _FLAGS) or (
        any(word in action for word in _CONSTANTS) and "nargs" not in keywords
    )
    if flag or (type_name == "flag" and not action):
        type_name, nargs = "flag", 0
    elif type_name == "flag":
        type_name = "other"
    if "BooleanOptional" in action:
        names = (*names, *("--no-" + name.removeprefix("--") for name in names))
    choices = place.value(keywords["choices"]) if "choices" in keywords and not flag else None
    read = isinstance(choices, list)
    instead = place.value(keywords["new_flag"]) if "new_flag" in keywords else ""
    text = _text(keywords.get("help"))
    return Option(
        names=names,
        type=type_name,
        nargs=nargs if isinstance(nargs, int | str) else None,
        choices=tuple(str(choice) for choice in choices) if isinstance(choices, list) else None,
        choices_unread=choices is UNREAD or (choices is not None and not read),
        deprecated="Deprecated" in action or text.lower().lstrip("[(").startswith("deprecated"),
        instead=f"use {instead}"
        if isinstance(instead, str) and instead
        else text.partition(". ")[0]
        if text.lower().lstrip("[(").startswith("deprecated")
        else "",
        place=place.line(node),
    )


def _text(node: ast.expr | None) -> str:
    """How a help text begins."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]):
            return text
    return ""


def _type_name(node: ast.expr | None) -> str:
    name = "str" if node is None else ast.unparse(node)
    return name if name in ("str", "int", "float") else "other"


def _without_none(kind: ast.expr) -> ast.expr:
    """`X` of `Optional[X]` and of `X | None`."""
    match kind:
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return inner
        case ast.BinOp(left=inner, op=ast.BitOr(), right=ast.Constant(value=None)):
            return inner
        case ast.Constant(value=str() as text):
            return _without_none(ast.parse(text, mode="eval").body)
    return kind
