"""Values of a Python package's module-level names, read by AST and followed through its own imports."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["UNREAD", "Package", "Unread"]

_SIZED: Final = ("list", "tuple", "set", "frozenset", "sorted")
_DEEPEST: Final = 20


class Unread:
    """The value of what cannot be read without running it."""


UNREAD: Final = Unread()
_Names = Mapping[str, ast.AST]


class Package:
    """The sources below a folder that holds the package `sglang`; each file is parsed once."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder
        self._modules: dict[str, ast.Module | None] = {}

    def path(self, module: str) -> Path | None:
        """The file of a dotted name."""
        base = self.folder / module.replace(".", "/")
        return next(
            (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None
        )

    def module(self, name: str) -> ast.Module | None:
        """The parsed module, None where there is none.

        Raises:
            SyntaxError: it is not Python.
        """
        if name not in self._modules:
            path = self.path(name)
            self._modules[name] = None if path is None else ast.parse(path.read_bytes(), filename=str(path))
        return self._modules[name]

    def constant(self, module: str, name: str) -> object:
        """The value of a module-level name, `UNREAD` if there is none or it is computed."""
        return self._named(module, name, {}, 0)

    def value(self, node: ast.AST, module: str, local: _Names) -> object:
        """The value of an expression of a module; `local` are names that hold in its function."""
        return self._value(node, module, local, 0)

    def _named(self, module: str, name: str, local: _Names, depth: int) -> object:
        if depth > _DEEPEST:
            return UNREAD
        if name in local:
            return self._defined(
                local[name], module, name, {k: v for k, v in local.items() if k != name}, depth
            )
        parsed = self.module(module)
        found = names_of(parsed.body).get(name) if parsed is not None else None
        return UNREAD if found is None else self._defined(found, module, name, {}, depth)

    def _defined(self, node: ast.AST, module: str, name: str, local: _Names, depth: int) -> object:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
            if self.path(f"{node.module}.{original}") is not None:
                return UNREAD
            return self._named(node.module, original, {}, depth + 1)
        return self._value(node, module, local, depth + 1)

    def _value(self, node: ast.AST, module: str, local: _Names, depth: int) -> object:
        if depth > _DEEPEST:
            return UNREAD

        def of(part: ast.AST) -> object:
            return self._value(part, module, local, depth + 1)

        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                parts = [of(item.value) if isinstance(item, ast.Starred) else [of(item)] for item in items]
                if any(not isinstance(part, list) or UNREAD in part for part in parts):
                    return UNREAD
                return [value for part in parts if isinstance(part, list) for value in part]
            case ast.Dict(keys=keys, values=values):
                names = [UNREAD if key is None else of(key) for key in keys]
                if any(isinstance(name, Unread | list | dict) for name in names):
                    return UNREAD
                return dict(zip(names, map(of, values), strict=True))
            case ast.BinOp(left=left, op=ast.Add() | ast.BitOr(), right=right):
                one, two = of(left), of(right)
                return [*one, *two] if isinstance(one, list) and isinstance(two, list) else UNREAD
            case ast.Call(func=ast.Name(id=name), args=[part]) if name in _SIZED:
                found = of(part)
                return list(found) if isinstance(found, list | dict) else UNREAD
            case ast.Call(func=ast.Attribute(value=part, attr="keys"), args=[]):
                return of(part)
            case ast.Call(func=ast.Name(id=name), args=[], keywords=[]):
                return self._returned(module, name, depth)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return self._attribute(module, name, attribute, local, depth)
            case ast.Name(id=name):
                return self._named(module, name, local, depth + 1)
        return UNREAD

    def _returned(self, module: str, name: str, depth: int) -> object:
        """What a function without arguments returns at its end."""
        parsed = self.module(module)
        function = names_of(parsed.body).get(name) if parsed is not None else None
        if not isinstance(function, ast.FunctionDef) or not isinstance(function.body[-1], ast.Return):
            return UNREAD
        last = function.body[-1].value
        return UNREAD if last is None else self._value(last, module, names_of(function.body), depth + 1)

    def _attribute(self, module: str, name: str, attribute: str, local: _Names, depth: int) -> object:
        """The value of a class's attribute, or of a module's."""
        parsed = self.module(module)
        found = local.get(name) or (names_of(parsed.body).get(name) if parsed is not None else None)
        if isinstance(found, ast.ImportFrom) and found.module and not found.level:
            original = next(alias.name for alias in found.names if (alias.asname or alias.name) == name)
            if self.path(f"{found.module}.{original}") is not None:
                return self._named(f"{found.module}.{original}", attribute, {}, depth + 1)
            return (
                self._attribute(found.module, original, attribute, {}, depth + 1)
                if depth < _DEEPEST
                else UNREAD
            )
        if isinstance(found, ast.ClassDef):
            value = names_of(found.body).get(attribute)
            return UNREAD if value is None else self._value(value, module, names_of(found.body), depth + 1)
        return UNREAD


def names_of(body: Sequence[ast.stmt]) -> dict[str, ast.AST]:
    """Names that statements give: the assigned expression, or the import, class or function. The last one counts."""
    names: dict[str, ast.AST] = {}
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                names[name] = value
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name: node for alias in aliases}
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names[name] = node
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                names = {**names_of(other), **names_of(inner), **names}
    return names
