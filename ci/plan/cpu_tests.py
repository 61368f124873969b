"""SGLang's own tests on a CPU: the rows that a plan takes, and which tests are known to need a GPU."""

from collections.abc import Iterable, Mapping

from ci.catalog.cpu_tests import CpuTests, ErrorRow
from ci.plan.model import CpuTestsWork, ErrorWork, NotJudgedWork

__all__ = ["cpu_tests_of", "known_to_be_endless", "known_to_need_gpu"]


def cpu_tests_of(rows: CpuTests, files: Iterable[str]) -> CpuTestsWork:
    """The rows for a rehearsal of these files of an SGLang tree."""
    here = set(files)
    return CpuTestsWork(
        gpu_proofs=_errors(rows.gpu_proofs),
        wrappers=_errors(rows.wrappers),
        server_ends=_errors(rows.server_ends),
        not_judged=tuple(
            NotJudgedWork(test=row.test, file=row.file or row.test, expression=row.expression, why=row.why)
            for row in rows.not_judged
            if row.test in here
        ),
    )


def known_to_need_gpu(rows: CpuTests, files: Iterable[str]) -> Mapping[str, str]:
    """Why a test cannot run without a GPU, by its file; for `--only runnable`."""
    why = {row.test: row.why for row in rows.needs_gpu}
    return {file: why[file] for file in files if file in why}


def known_to_be_endless(rows: CpuTests, files: Iterable[str]) -> Mapping[str, str]:
    """The same for those that wait without end then."""
    why = {row.test: row.why for row in rows.needs_gpu if row.endless}
    return {file: why[file] for file in files if file in why}


def _errors(rows: Iterable[ErrorRow]) -> tuple[ErrorWork, ...]:
    return tuple(
        ErrorWork(
            id=row.id,
            raises=row.raises,
            message=row.message,
            raised_in=row.raised_in,
            function=row.function,
            why=row.why,
        )
        for row in rows
    )
