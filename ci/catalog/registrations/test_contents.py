"""What a test file uses, read by AST: imports, names, arguments, models, and conditions under which it is skipped."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ci.catalog.registrations.syntax import syntax_or_none

__all__ = ["Contents", "read_contents"]

_LONGEST_WORD = 120
_ARGUMENT = re.compile(r"--[a-z][a-z0-9-]+")
# `owner/Name-1B`: the second part has a capital letter or a digit, which no folder and no media type has
_MODEL = re.compile(r"[\w.-]+/(?=[\w.-]*[A-Z0-9])[\w.-]+")
_MODEL_NAME = re.compile(r"DEFAULT_\w*MODEL\w*|\w+_MODEL_PATH")
_REGISTRAR = re.compile(r"register_[a-z0-9]+_ci")
_FILE = re.compile(r"\.\w{1,5}$|^(test|registered|srt|application|image|audio|video)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One file. `words` are in lower case, with the first line that has each; `imports` are dotted.

    `names` are all identifiers, `imported` those that come by `from ... import`. `models` are names of repositories, and of constants that hold one; `skips` are conditions of a whole class or file, as
    source text without blanks.
    """

    file: str
    words: Mapping[str, int]
    imports: frozenset[str]
    names: frozenset[str]
    imported: frozenset[str]
    arguments: frozenset[str]
    models: frozenset[str]
    skips: tuple[str, ...]


def read_contents(source: bytes, file: str) -> Contents | None:
    """What the file uses; None when it is not Python."""
    module = syntax_or_none(source)
    if module is None:
        return None
    words: dict[str, int] = {}
    imports: set[str] = set()
    names: set[str] = set()
    imported: set[str] = set()
    strings: set[str] = set()
    docstrings: set[ast.expr] = set()
    for node in _used(module):
        match node:
            case ast.Expr(value=ast.Constant() as value):
                docstrings.add(value)  # its own turn comes later: what is about a test is not what it uses
                continue
            case ast.Import():
                found = [alias.name for alias in node.names]
                imports.update(found)
            case ast.ImportFrom():
                found = [f"{node.module or ''}.{alias.name}" for alias in node.names]
                imports.add(node.module or "")
                imported.update(alias.name for alias in node.names)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found = [name]
                names.add(name)
            case ast.keyword(arg=str() as name):
                found = [name]
            case ast.Constant(value=str() as text) if node not in docstrings and len(text) <= _LONGEST_WORD:
                found = [text]
                strings.add(text)
            case _:
                continue
        line = getattr(node, "lineno", 1)
        for word in found:
            words[word.lower()] = min(line, words.get(word.lower(), line))
    return Contents(
        file=file,
        words=words,
        imports=frozenset(imports),
        names=frozenset(names | imported),
        imported=frozenset(imported),
        arguments=frozenset(
            match.group() for text in strings if (match := _ARGUMENT.match(text)) is not None
        ),
        models=frozenset(_models(strings, names | imported)),
        skips=tuple(_skips(module)),
    )


def _used(module: ast.Module) -> Iterator[ast.AST]:
    """Every node but those of registrations, which name the hardware of a runner and not what the test uses."""
    for statement in module.body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if _REGISTRAR.fullmatch(name):
                continue
        yield from ast.walk(statement)


def _models(strings: set[str], names: set[str]) -> Iterator[str]:
    yield from (text for text in strings if _MODEL.fullmatch(text) and not _FILE.search(text))
    yield from (name for name in names if _MODEL_NAME.fullmatch(name))


def _skips(module: ast.Module) -> Iterator[str]:
    """Conditions of `pytestmark`, and those that every test class and test function of the file has."""
    of_tests: list[list[str]] = []
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) if name.lower().startswith("test"):
                of_tests.append(list(_conditions(node.decorator_list)))
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                yield from _conditions(value.elts if isinstance(value, ast.List | ast.Tuple) else [value])
    first, *others = of_tests or [[]]
    yield from (condition for condition in first if all(condition in other for other in others))


def _conditions(marks: list[ast.expr]) -> Iterator[str]:
    """When a mark skips, as source text; `skipUnless` is turned round."""
    for mark in marks:
        if not isinstance(mark, ast.Call) or not mark.args:
            continue
        kind = ast.unparse(mark.func).rpartition(".")[2].lower()
        condition = "".join(ast.unparse(mark.args[0]).split())
        if kind == "skipif":
            yield condition
        elif kind == "skipunless":
            yield condition.removeprefix("not") if condition.startswith("not") else f"not{condition}"
