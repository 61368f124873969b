"""Executors: one module each in two tables of the same kinds, and no other place that knows one by its name."""

import ast
from collections.abc import Iterator
from pathlib import Path

from ci.catalog.executors import ExecutorKind
from ci.cli.options import run_parser
from ci.execute import registry as acting
from ci.plan import registry as planning

REPOSITORY = Path(__file__).parents[3]


def test_each_executor_is_planned_and_run_by_a_module_of_its_name() -> None:
    for table in (planning.EXECUTORS, acting.EXECUTORS):
        assert set(table) == set(ExecutorKind)
        for kind, module in table.items():
            assert kind in getattr(module, "__name__", "").split(".")


def test_the_options_of_an_executor_are_options_of_a_session() -> None:
    known = set(run_parser("nox").options)
    for kind, module in planning.EXECUTORS.items():
        assert set(module.OPTIONS) <= known, kind


def compared_names(tree: ast.AST) -> Iterator[object]:
    """Constants that something is compared with, or looked for among."""
    for node in ast.walk(tree):
        sides: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        for side in sides:
            for each in side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]:
                if isinstance(each, ast.Constant):
                    yield each.value


def test_nothing_is_compared_with_the_name_of_an_executor() -> None:
    found = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "ci").rglob("*.py")
        if any(f'"{kind}"' in (text := path.read_text()) for kind in ExecutorKind)
        and set(ExecutorKind) & set(compared_names(ast.parse(text)))
    }
    assert not found
