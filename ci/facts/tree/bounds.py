"""The numbers by which a test file judges what it measures: in its assertions, and in constants named as limits."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from ci.plan.outages.model import TestBound

__all__ = ["read_bounds"]

# the name of a constant, a column or an argument that holds a limit
_LIMIT: Final = re.compile(
    r"thresh?old|thres(?![a-z])|(?:lower|upper)_bound|_floor|_ceiling|(?<![a-z])[ar]?tol(?![a-z])",
    re.IGNORECASE,
)
# a limit that the value must not exceed
_UPPER: Final = re.compile(
    r"upper|ceiling|max|latency|ttft|itl|tpot|time|error|diff|tol(?![a-z])|(?<![a-z])ms(?![a-z])",
    re.IGNORECASE,
)
_LOWER_CALLS: Final = frozenset({"assertGreater", "assertGreaterEqual"})
_UPPER_CALLS: Final = frozenset({"assertLess", "assertLessEqual"})


def read_bounds(source: bytes, file: str) -> tuple[TestBound, ...]:
    """Every bound of a file, in order; none for one that is not Python."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(_within(module, file, ()))


def _within(node: ast.AST, file: str, scope: tuple[str, ...]) -> Iterator[TestBound]:
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (*scope, child.name)
        for name, lower, limit in _bounds_of(child):
            line = getattr(child, "lineno", 1)
            yield TestBound(file=file, scope=".".join(scope), name=name, lower=lower, limit=limit, line=line)
        yield from _within(child, file, inner)


def _bounds_of(node: ast.AST) -> Iterator[tuple[str, bool, float]]:
    """What a node says by itself: name, whether the limit is a lower one, and the limit."""
    match node:
        case ast.Call(func=ast.Attribute(attr=call), args=[first, second, *_]) if (
            call in _LOWER_CALLS | _UPPER_CALLS
        ):
            yield from _compared(first, second, lower=call in _LOWER_CALLS)
        case ast.Assert(test=ast.Compare(left=left, ops=[op], comparators=[right])):
            if isinstance(op, ast.Gt | ast.GtE | ast.Lt | ast.LtE):
                yield from _compared(left, right, lower=isinstance(op, ast.Gt | ast.GtE))
        case ast.Assign(targets=[target], value=value):
            yield from _named(ast.unparse(target), value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from _named(ast.unparse(target), value)
        case ast.keyword(arg=str() as name, value=value):
            yield from _named(name, value)
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield from _named(key.value, value)


def _compared(left: ast.expr, right: ast.expr, *, lower: bool) -> Iterator[tuple[str, bool, float]]:
    for value, number, is_lower in ((left, right, lower), (right, left, not lower)):
        for limit in _numbers(number):
            # that something is there at all is no bound
            if limit and not _is_count(value):
                yield ast.unparse(value), is_lower, limit


def _named(name: str, value: ast.expr) -> Iterator[tuple[str, bool, float]]:
    if _LIMIT.search(name):
        yield from ((name, not _UPPER.search(name), limit) for limit in _numbers(value))


def _is_count(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "len"


def _numbers(node: ast.expr) -> Iterator[float]:
    """The number that an expression is, or the two of a condition."""
    match node:
        case ast.Constant(value=bool()):
            return
        case ast.Constant(value=int() | float() as value):
            yield float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            yield -float(value)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _numbers(body)
            yield from _numbers(orelse)
