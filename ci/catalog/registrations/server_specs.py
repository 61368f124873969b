"""The server arguments that our tests and their harness give. Read by AST, so that no test has to be run for it.

They are the `args=` of a `ServerSpec(...)`, and what `Command(argv=...)` of `harness/engines` puts after the module's name.
Tuples are followed through names, stars, dicts of tuples and conditions; a value that is computed is `ANY`.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Literal

__all__ = ["ANY", "Argument", "ServerArguments", "read_server_arguments"]


class _Computed(Enum):
    ANY = "..."


ANY: Final = _Computed.ANY
Argument = str | Literal[_Computed.ANY]

_FOLDERS: Final = ("test/registered", "test/harness/suites", "test/harness/engines")
_LAUNCHER: Final = "sglang.launch_server"
_Scope = Mapping[str, tuple[ast.expr, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerArguments:
    """One list of arguments that a server may get; `place` is file:line."""

    place: str
    args: tuple[Argument, ...]


def read_server_arguments(root: Path) -> tuple[ServerArguments, ...]:
    """Every list of arguments of the files of our tests, in the order of files and lines."""
    found: list[ServerArguments] = []
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            source = path.read_bytes()
            if b"ServerSpec(" in source or _LAUNCHER.encode() in source:
                found += _read(path.relative_to(root).as_posix(), ast.parse(source))
    return tuple(found)


def _read(file: str, module: ast.Module) -> Iterator[ServerArguments]:
    constants = _assigned(module.body)
    for scope, call in _calls(module, constants):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        for keyword in call.keywords:
            if (name, keyword.arg) not in (("ServerSpec", "args"), ("Command", "argv")):
                continue
            for words in _sequences(keyword.value, scope):
                first = words.index(_LAUNCHER) + 1 if _LAUNCHER in words else 0
                if words[first:] and words != (ANY,) and (first or name == "ServerSpec"):
                    yield ServerArguments(place=f"{file}:{call.lineno}", args=words[first:])


def _calls(node: ast.AST, scope: _Scope) -> Iterator[tuple[_Scope, ast.Call]]:
    """Every call, with the names that are known where it is."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        inner = scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = {**scope, **_assigned(list(ast.walk(child)))}
        yield from _calls(child, inner)


def _assigned(nodes: list[ast.stmt] | list[ast.AST]) -> _Scope:
    values: dict[str, tuple[ast.expr, ...]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = (*values.get(name, ()), value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                values[name] = (*values.get(name, ()), value)
    return values


def _sequences(node: ast.expr, scope: _Scope) -> Iterator[tuple[Argument, ...]]:
    """The sequences that an expression may be; one that cannot be read is a single `ANY`."""
    match node:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            made: list[tuple[Argument, ...]] = [()]
            for item in items:
                if isinstance(item, ast.Starred):
                    # what cannot be read may be empty
                    parts = [part for part in _sequences(item.value, scope) if part != (ANY,)] or [()]
                else:
                    parts = [(_word(item, scope),)]
                made = [(*before, *part) for before in made for part in parts]
            yield from made
        case ast.Name(id=name) if name in scope:
            for value in scope[name]:
                yield from _sequences(value, {key: each for key, each in scope.items() if key != name})
        case ast.Subscript(value=ast.Name(id=name)) if name in scope:
            for value in scope[name]:
                for part in value.values if isinstance(value, ast.Dict) else ():
                    yield from _sequences(part, scope)
        case ast.IfExp(body=body, orelse=other):
            yield from _sequences(body, scope)
            yield from _sequences(other, scope)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for before in _sequences(left, scope):
                for after in _sequences(right, scope):
                    yield (*before, *after)
        case _:
            yield (ANY,)


def _word(node: ast.expr, scope: _Scope) -> Argument:
    if isinstance(node, ast.Name) and len(scope.get(node.id, ())) == 1:
        (node,) = scope[node.id]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ANY
