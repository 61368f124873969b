"""What our workflow files say, read without running them: jobs with their labels, limits and matrix. `ci/facts/tree` reads SGLang's."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci.errors import Problem
from ci.facts.tree.workflow_file import load_workflow

__all__ = ["Job", "Label", "Wait", "Workflow", "read_workflows"]

_MATRIX = re.compile(r"\$\{\{\s*matrix\.([\w.-]+)\s*\}\}")
_FORMAT = re.compile(r"format\(\s*'([^']*)'")
_PLACE = re.compile(r"\{\d+\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A runner label; in one that an expression makes, `*` is in place of what the expression fills in.

    `text` is empty when the file does not show the label.
    """

    text: str
    line: int

    def fits(self, label: str) -> bool:
        """Whether a label that exists is one of those that this can become."""
        pattern = "[a-z0-9]+".join(re.escape(part) for part in self.text.split("*"))
        return re.fullmatch(pattern, label) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A step that waits for the jobs whose names begin with `prefix`, a number that is written in the file."""

    prefix: str
    expected: int
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. `cells` is the size of its matrix, None when that is made at run time."""

    id: str
    line: int
    needs: tuple[str, ...]
    labels: tuple[Label, ...]
    calls_workflow: str
    limited: bool
    never: bool
    cells: int | None
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One file, a path with slashes, and its jobs in order."""

    file: str
    jobs: tuple[Job, ...]


def read_workflows(files: Iterable[tuple[str, bytes]], problems: list[Problem]) -> tuple[Workflow, ...]:
    """Read workflows; one that cannot be read or has no jobs is added to `problems`."""
    found = []
    for file, text in files:
        document = load_workflow(file, text, problems)
        if document is None:
            continue
        jobs = document["jobs"]
        read = [_job(name, jobs[name], _line(jobs, name)) for name in jobs if isinstance(jobs[name], dict)]
        found.append(Workflow(file=file, jobs=tuple(read)))
    return tuple(found)


def _job(name: str, job: Any, line: int) -> Job:
    matrix = _matrix(job)
    steps = [step for step in _listed(job.get("steps")) if isinstance(step, dict)]
    return Job(
        id=str(name),
        line=line,
        needs=tuple(map(str, _listed(job.get("needs")))),
        labels=tuple(_labels(job, matrix)),
        calls_workflow=str(job.get("uses", "")),
        limited="timeout-minutes" in job,
        never=job.get("if") is False or str(job.get("if", "")).strip(" ${}") == "false",
        cells=_cells(job),
        waits=tuple(wait for step in steps for wait in _waits(step)),
    )


def _labels(job: Any, matrix: Mapping[str, Sequence[str]]) -> Iterator[Label]:
    wanted = job.get("runs-on")
    if wanted is None:
        return
    line = _line(job, "runs-on")
    if isinstance(wanted, dict):  # a runner group
        wanted = wanted.get("labels")
    for item in _listed(wanted):
        for text in _expanded(str(item), matrix):
            made = _FORMAT.search(text)
            if made:
                yield Label(text=_PLACE.sub("*", made[1]), line=line)
            else:
                yield Label(text="" if "${{" in text else text, line=line)


def _waits(step: Any) -> Iterator[Wait]:
    """The counts that SGLang's waiting action is given, JSON in its input `jobs`."""
    given = step.get("with")
    text = given.get("jobs") if isinstance(given, dict) else None
    if not isinstance(text, str):
        return
    try:
        rows = json.loads(text)
    except json.JSONDecodeError:
        return
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("expected_count"), int):
            prefix = str(row.get("prefix") or row.get("name") or "")
            yield Wait(prefix=prefix, expected=row["expected_count"], line=_line(given, "jobs"))


def _matrix(job: Any) -> Mapping[str, Sequence[str]]:
    """The values of each key of a matrix in the file, `key.inner` for tables."""
    matrix = (job.get("strategy") or {}).get("matrix") if isinstance(job.get("strategy"), dict) else None
    values: dict[str, list[str]] = {}
    if not isinstance(matrix, dict):
        return values
    cells: list[tuple[str, Any]] = []
    for key, listed in matrix.items():
        if key in ("include", "exclude"):
            continue
        cells += [(str(key), value) for value in _listed(listed)]
    for cell in _listed(matrix.get("include")):
        cells += [(str(key), value) for key, value in cell.items()] if isinstance(cell, dict) else []
    for key, value in cells:
        inner = (
            {f"{key}.{name}": item for name, item in value.items()}
            if isinstance(value, dict)
            else {key: value}
        )
        for name, item in inner.items():
            if str(item) not in values.setdefault(name, []):
                values[name].append(str(item))
    return values


def _cells(job: Any) -> int | None:
    """How many jobs a matrix makes; 1 without a matrix, None when it is made at run time."""
    strategy = job.get("strategy")
    if not isinstance(strategy, dict) or "matrix" not in strategy:
        return 1
    matrix = strategy["matrix"]
    if not isinstance(matrix, dict) or "exclude" in matrix:
        return None
    axes = [listed for key, listed in matrix.items() if key != "include"]
    included = matrix.get("include") or []
    if not all(isinstance(listed, list) for listed in (*axes, included)) or (axes and included):
        return None
    count = 1 if axes else len(included)
    for listed in axes:
        count *= len(listed)
    return count


def _expanded(text: str, matrix: Mapping[str, Sequence[str]]) -> list[str]:
    """A text for each combination of the matrix keys that it names; keys that are not known stay as they are."""
    named = [name for name in dict.fromkeys(_MATRIX.findall(text)) if name in matrix]
    cells = [
        dict(zip(named, values, strict=True))
        for values in itertools.product(*(matrix[name] for name in named))
    ]
    return [made for cell in cells if (made := _filled(text, cell))]


def _filled(text: str, cell: Mapping[str, str]) -> str:
    return _MATRIX.sub(lambda found: cell.get(found[1], found[0]), text)


def _listed(value: Any) -> Sequence[Any]:
    """A list as it is, one text as a list of it; GitHub refuses anything else."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _line(table: Any, key: str) -> int:
    """The line of a key, counted from 1."""
    try:
        return int(table.lc.key(key)[0]) + 1
    except (AttributeError, KeyError):  # a table in braces on one line, or one that YAML merged in
        return int(getattr(getattr(table, "lc", None), "line", 0)) + 1
