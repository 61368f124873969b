"""Mutations of workflow, matrix and catalog: parity has to catch each one.

A mutation is one small fault of the kind that hand-written workflows have. The score is printed and has to be full.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Suite
from ci.github.matrix import Job
from support.parity import faults, jobs, parity
from support.planning import catalog

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # as test_parity

A_SUITE, SHARDED = "stage-c-test-4-gpu-amd", "stage-c-test-8-gpu-amd"
Jobs = tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A fault: in the stage workflow's text, in the jobs of the matrix, or in the rows that the machine goes by."""

    name: str
    caught_as: str
    suite: str = A_SUITE
    text: Callable[[str], str] = lambda text: text
    jobs: Callable[[Jobs], Jobs] = lambda jobs: jobs
    catalog: Callable[[Catalog], Catalog] | None = None


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, f"{old!r} is not in the stage workflow: the mutation would change nothing"
        return text.replace(old, new)

    return change


def every(**changes: object) -> Callable[[Jobs], Jobs]:
    return lambda found: tuple(replace(job, **changes) for job in found)  # type: ignore[arg-type]


def suites(name: str, **changes: object) -> Callable[[Catalog], Catalog]:
    """The catalog with one suite's row changed after the jobs were made from it."""

    def change(found: Catalog) -> Catalog:
        def row(suite: Suite) -> Suite:
            return replace(suite, **changes) if suite.name == name else suite  # type: ignore[arg-type]

        return replace(found, suites=tuple(map(row, found.suites)))

    return change


RUN = "        run: exec uvx nox@"
ENV = "          SESSION: ${{ matrix.session }}\n"
MUTATIONS = [
    Mutation(name="wrong label in the matrix", caught_as="job.runner", jobs=every(runner="linux-north-4gpu")),
    Mutation(name="label of fewer GPUs", caught_as="job.runner", jobs=every(runner="linux-south-2gpu")),
    Mutation(name="label written by hand", caught_as="job.runner", text=swap("runs-on: ${{ matrix.runner }}", "runs-on: linux-south-1gpu")),
    Mutation(name="label that is in no pool", caught_as="job.runner", jobs=every(runner="self-hosted")),
    Mutation(name="another pool's hardware", caught_as="job.hardware", jobs=every(hardware="mi300x")),
    Mutation(name="wrong shard count", caught_as="job.shards", suite=SHARDED, jobs=lambda found: tuple(replace(job, shard=job.shard.replace("/3", "/4")) for job in found)),
    Mutation(name="shard counted from 0", caught_as="plan", suite=SHARDED, jobs=lambda found: (replace(found[0], shard="0/3"), *found[1:])),
    Mutation(name="one shard twice, one never", caught_as="suite.tests", suite=SHARDED, jobs=lambda found: (found[0], found[0], found[2])),
    Mutation(name="lost suite", caught_as="suite.tests", jobs=lambda _: ()),
    Mutation(name="lost shard", caught_as="suite.tests", suite=SHARDED, jobs=lambda found: found[:-1]),
    Mutation(name="shard count changed after rendering", caught_as="job.shards", suite=SHARDED, catalog=suites(SHARDED, shards=2)),
    Mutation(name="suite of another stage", caught_as="job.suite", jobs=every(session="stage_b_amd")),
    Mutation(name="session that does not exist", caught_as="job.suite", jobs=every(session="stage_z_amd")),
    Mutation(name="shard left out of the command", caught_as="work", suite=SHARDED, text=swap(' --shard "$SHARD"', "")),
    Mutation(name="suite left out of the command", caught_as="plan", suite=SHARDED, text=swap(' --suite "$SUITE"', "")),
    Mutation(name="variable forced on the command line", caught_as="work", text=swap('--shard "$SHARD"', '--shard "$SHARD" --env CUMEM_ENABLE=1')),
    Mutation(name="changed value of an env set in the step", caught_as="job.env.CUMEM_ENABLE", text=swap(ENV, f"{ENV}          CUMEM_ENABLE: '1'\n")),
    Mutation(name="variable of an env set for the whole workflow", caught_as="job.env.USE_KERNELS", text=swap("permissions: {}\n", "permissions: {}\nenv:\n  USE_KERNELS: '0'\n")),
    Mutation(name="variable that is passed through", caught_as="job.env.HF_HOME", text=swap(ENV, f"{ENV}          HF_HOME: /tmp\n")),
    Mutation(name="secret that stages have no need of", caught_as="job.secrets.DEPLOY_KEY", text=swap(ENV, ENV + "          DEPLOY_KEY: ${{ secrets.DEPLOY_KEY }}\n")),
    Mutation(name="missing timeout of the step", caught_as="job.step.timeout-minutes", text=swap("        timeout-minutes: ${{ matrix.step_timeout_minutes }}\n", "")),
    Mutation(name="missing timeout of the job", caught_as="job.timeout-minutes", text=swap("    timeout-minutes: ${{ matrix.timeout_minutes }}\n", "")),
    Mutation(name="timeout that ends the suite early", caught_as="job.step.timeout-minutes", jobs=every(step_timeout_minutes=30)),
    Mutation(name="limits of job and step exchanged", caught_as="job.timeout-minutes", text=swap("matrix.timeout_minutes", "matrix.step_timeout_minutes")),
    Mutation(name="suite's limit changed after rendering", caught_as="job.timeout-minutes", catalog=suites(A_SUITE, timeout_s=7200.0)),
    Mutation(name="wrong flavour of ROCm", caught_as="job.rocm", jobs=every(rocm="720")),
    Mutation(name="wrong name", caught_as="job.name", jobs=every(name="stage-c-test-4-gpu-amd (linux-north-4gpu)")),
    Mutation(name="stops at the first failure", caught_as="work", text=swap('--shard "$SHARD"', '--shard "$SHARD" --fail-fast')),
    Mutation(name="only one test", caught_as="plan", text=swap('--suite "$SUITE"', '--suite "$SUITE" --test nothing.py')),
    Mutation(name="arguments for pytest", caught_as="work", text=swap('--checkout "$CHECKOUT"', '--checkout "$CHECKOUT" -- -x')),
    Mutation(name="rehearsed instead of run", caught_as="work", text=swap("--executor docker", "--executor docker --hardware cpu")),
    Mutation(name="option that does not exist", caught_as="plan", text=swap('--shard "$SHARD"', '--part "$SHARD"')),
    Mutation(name="several tests at a time", caught_as="work", text=swap('--suite "$SUITE"', '--jobs 4 --suite "$SUITE"')),
    Mutation(name="image that is not handed on", caught_as="work.image", text=swap("          AMD_CI_IMAGE: ${{ matrix.image }}\n", "")),
    Mutation(name="another image on the command line", caught_as="work.image", text=swap("--executor docker", "--executor docker --image org/engine:latest")),
    Mutation(name="run outside of a container", caught_as="work.container", text=swap("--executor docker", "--executor host")),
    Mutation(name="cache of models switched the other way", caught_as="work.container.env", text=swap(ENV, f"{ENV}          ENABLE_CACHE_HOST: '1'\n")),
    Mutation(name="container that is kept for the next job", caught_as="placement.container.keep", text=swap("--executor docker", "--executor docker --keep")),
    Mutation(name="no Nox at all", caught_as="workflow", text=swap(RUN, "        run: python3 run_suite.py #")),
    Mutation(name="key of the matrix misspelt", caught_as="workflow", text=swap("matrix.shard }}", "matrix.partitoin }}")),
    Mutation(name="expression that decides", caught_as="workflow", text=swap("${{ matrix.suite }}", "${{ github.event_name == 'push' && 'x' || 'y' }}")),
    Mutation(name="stage workflow gone", caught_as="workflow", text=lambda _: "jobs: {}\n"),
]  # fmt: skip


def caught(mutation: Mutation) -> set[str]:
    """The fields in which parity sees the fault; empty when it does not."""
    of = mutation.catalog(catalog()) if mutation.catalog is not None else None
    return faults(parity(text=mutation.text, change=mutation.jobs, of=of, suite=mutation.suite))


def test_every_mutation_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    score = {mutation.name: caught(mutation) for mutation in MUTATIONS}
    missed = [name for name, found in score.items() if not found]
    with capsys.disabled():
        sys.stdout.write(f"\nmutation score of parity: {len(score) - len(missed)}/{len(score)}\n")
    assert missed == []
    wrong = {
        mutation.name: sorted(score[mutation.name])
        for mutation in MUTATIONS
        if not any(path.startswith(mutation.caught_as) for path in score[mutation.name])
    }
    assert wrong == {}, "caught, but by another check than the one that is meant to"


def test_without_a_mutation_nothing_is_caught() -> None:
    for suite in (A_SUITE, SHARDED):
        assert faults(parity(suite=suite)) == set()
    assert jobs()
