"""The calls of a checkout's AMD jobs that run registered tests."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ci.catalog.registrations.parse import Registration
from ci.plan.outages.model import CheckedTree
from ci.plan.shards import split
from ci.plan.tree.model import ANY, CallKind, JobCell, TestCall, TreeFacts, TreeJob, TreeWorkflow

__all__ = ["SuiteCall", "is_known", "named_files", "parts_of", "selected", "suite_calls"]

_RUNNERS = ("test/run_suite.py", "run_suite.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteCall:
    """A call of the runner of registered tests, with the job that makes it."""

    workflow: TreeWorkflow
    job: TreeJob
    cell: JobCell
    call: TestCall


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sized:
    id: str
    est_s: float
    row: Registration


def suite_calls(facts: TreeFacts) -> Iterator[SuiteCall]:
    """Every call of every cell of AMD's jobs, those that only some inputs make too."""
    for workflow in facts.workflows:
        for job in workflow.jobs:
            for cell in job.cells if job.amd else ():
                for call in cell.calls:
                    runs = call.runner in _RUNNERS or call.hardware == "amd"
                    if call.kind is not CallKind.FILES and runs and call.hardware in ("", "amd"):
                        yield SuiteCall(workflow=workflow, job=job, cell=cell, call=call)


def is_known(text: str) -> bool:
    """Whether the file shows the whole text, so that nothing of it depends on the run."""
    return ANY not in text and "$" not in text


def selected(tree: CheckedTree, call: TestCall) -> list[Registration]:
    """The enabled tests that a call selects, before it takes a part."""
    return [row for row in tree.amd if row.nightly == call.nightly and fnmatchcase(row.suite, call.suite)]


def parts_of(tests: Iterable[Registration], count: int) -> Sequence[Sequence[Registration]]:
    """The tests of each part."""
    sized = [_Sized(id=row.file, est_s=row.est_time_s, row=row) for row in tests]
    return [[each.row for each in part] for part in split(sized, count)]


def named_files(facts: TreeFacts) -> frozenset[str]:
    """Files and folders that an AMD job gives to Python or pytest."""
    return frozenset(
        file for job in facts.amd_jobs for cell in job.cells for call in cell.calls for file in call.files
    )
