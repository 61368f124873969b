"""The matrix of a job: every combination that Actions starts."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci.facts.tree.expressions import Scope, Unknown, evaluate, text_of

__all__ = ["Matrix", "read_matrix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Combinations in Actions' order; `why` says why they are known only at run time, empty when they are known."""

    combinations: tuple[Mapping[str, Any], ...]
    why: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that a combination has."""
        return tuple(dict.fromkeys(key for each in self.combinations for key in each))


def read_matrix(strategy: Any, scope: Scope) -> Matrix:
    """The matrix of `strategy:`, a single empty combination without one."""
    if not isinstance(strategy, Mapping) or "matrix" not in strategy:
        return Matrix(combinations=({},))
    try:
        return Matrix(combinations=tuple(_combined(_known(strategy["matrix"], scope))))
    except _RunTimeError as error:
        return Matrix(combinations=({},), why=str(error))


class _RunTimeError(Exception):
    """A part of the matrix is known only when it runs."""


def _known(value: Any, scope: Scope) -> Any:
    """A value with its expressions evaluated."""
    if isinstance(value, str) and "${{" in value:
        values = evaluate(value, scope)
        if len(values) != 1 or isinstance(values[0], Unknown):
            raise _RunTimeError(value.strip().removeprefix("${{").removesuffix("}}").strip())
        return values[0]
    if isinstance(value, Mapping):
        return {str(key): _known(item, scope) for key, item in value.items()}
    return [_known(item, scope) for item in value] if isinstance(value, list) else value


def _combined(matrix: Any) -> list[dict[str, Any]]:
    if not isinstance(matrix, Mapping):
        raise _RunTimeError(text_of(matrix))
    axes = {key: _listed(value) for key, value in matrix.items() if key not in ("include", "exclude")}
    made: list[dict[str, Any]] = (
        [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    )
    excluded = [each for each in _listed(matrix.get("exclude")) if isinstance(each, Mapping)]
    made = [each for each in made if not any(_fits(each, out) for out in excluded)]
    for extra in _listed(matrix.get("include")):
        if not isinstance(extra, Mapping):
            continue
        fitting = [
            each for each in made if axes and all(each.get(key) == extra[key] for key in extra if key in axes)
        ]
        if fitting:
            for each in fitting:
                each.update(extra)
        else:
            made.append(dict(extra))
    return made or [{}]


def _fits(combination: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    return all(combination.get(key) == value for key, value in pattern.items())


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
