"""Selected suites -> jobs in waves: what `ci_plan` hands to the rendered workflows."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.stages import Suite
from ci.catalog.workflows import WorkflowRow
from ci.plan.jobs import Choice
from ci.plan.model import TestWork
from ci.plan.route import label_of
from ci.plan.shards import Shard, split

__all__ = [
    "Ask",
    "ImageOf",
    "Job",
    "NotMade",
    "Waves",
    "make_waves",
    "matrix_json",
    "stage_waves",
    "suites_of",
]

# family and ROCm flavour -> `name@sha256:...`, empty when it could not be resolved
ImageOf = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of the stage workflow; its fields are the keys of the matrix. All are text but the minutes.

    `suite` is the short id, `shard` always `i/n`. `image` is empty when it was not resolved, `digest` when the plan cannot
    be known before the job is on its machine.
    """

    name: str
    session: str
    suite: str
    shard: str
    runner: str
    timeout_minutes: int
    step_timeout_minutes: int
    image: str
    rocm: str
    hardware: str
    continue_on_error: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The request of event and inputs. `at_once`: no stage waits for another. `pool` and `rocm` are empty when not given."""

    event: str
    at_once: bool
    pool: str
    rocm: str
    continue_on_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMade:
    """A suite, or shards of one, without a job, and why."""

    suite: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """The jobs of each wave, the first one first; a wave may be empty."""

    waves: tuple[tuple[Job, ...], ...]
    not_made: tuple[NotMade, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All of them."""
        return tuple(job for wave in self.waves for job in wave)


def suites_of(catalog: Catalog, workflow: WorkflowRow) -> tuple[Suite, ...]:
    """The suites that a workflow of kind `tests` runs, in the catalog's order; none for the other kinds."""
    if workflow.kind != "tests":
        return ()
    return tuple(suite for suite in catalog.suites if suite.nightly == workflow.nightly)


def stage_waves(catalog: Catalog, workflow: WorkflowRow) -> Mapping[str, int]:
    """The wave of each stage of a workflow, counted from 1: one more than the latest stage that it waits for."""
    stages = {suite.stage for suite in suites_of(catalog, workflow)}
    after = {stage.id: tuple(name for name in stage.after if name in stages) for stage in catalog.stages}
    waves: dict[str, int] = {}
    pending = [stage.id for stage in catalog.stages if stage.id in stages]
    while pending:
        ready = [name for name in pending if all(earlier in waves for earlier in after[name])]
        if not ready:  # a circle: `check` names it, and rendering puts the rest behind
            ready = pending[:1]
        for name in ready:
            waves[name] = 1 + max((waves.get(earlier, 0) for earlier in after[name]), default=0)
        pending = [name for name in pending if name not in waves]
    return waves


def make_waves(
    catalog: Catalog,
    choices: Mapping[str, Choice],
    tests: Mapping[str, Sequence[TestWork]],
    wave_of: Mapping[str, int],
    ask: Ask,
    image: ImageOf,
) -> Waves:
    """A job for each shard of each selected suite that has something to run.

    Args:
        catalog: suites in its order, routing, limits.
        choices: the selected suites by name.
        tests: all enabled tests of each suite, by the suite's name.
        wave_of: the wave of each stage of the workflow, counted from 1; as many waves are made as it has.
        ask: what event and inputs ask for.
        image: asked once for each job; the caller keeps the answers.
    """
    waves: list[list[Job]] = [[] for _ in range(max(wave_of.values(), default=0))]
    not_made: list[NotMade] = []
    for suite in catalog.suites:
        if suite.name not in choices:
            continue
        here = tests.get(suite.name, ())
        if not here:
            not_made.append(NotMade(suite=suite.name, because="no enabled test is registered for it"))
            continue
        parts = split(here, suite.shards, suite.split)
        only = choices[suite.name].tests
        wanted = [
            Shard(index=number, count=suite.shards)
            for number, part in enumerate(parts, start=1)
            if part and (only is None or only & {test.id for test in part})
        ]
        not_made += _without(suite, parts, wanted)
        wave = 0 if ask.at_once else wave_of[suite.stage] - 1
        waves[wave] += [_job(catalog, suite, shard, ask, image) for shard in wanted]
    return Waves(waves=tuple(map(tuple, waves)), not_made=tuple(not_made))


def _without(suite: Suite, parts: Sequence[Sequence[TestWork]], wanted: Iterable[Shard]) -> Iterable[NotMade]:
    """The shards that get no job, by their reason."""
    made = {shard.index for shard in wanted}
    empty = [f"{number}/{suite.shards}" for number, part in enumerate(parts, start=1) if not part]
    spared = [
        f"{number}/{suite.shards}"
        for number, part in enumerate(parts, start=1)
        if part and number not in made
    ]
    count = sum(map(len, parts))
    if empty:
        because = f"shards {', '.join(empty)} are empty: the suite has {count} test" + (
            "s" if count > 1 else ""
        )
        yield NotMade(suite=suite.name, because=because)
    if spared:
        yield NotMade(suite=suite.name, because=f"shards {', '.join(spared)} hold no test that was selected")


def _job(catalog: Catalog, suite: Suite, shard: Shard, ask: Ask, image: ImageOf) -> Job:
    label = label_of(catalog, suite, ask.event, pool=ask.pool)
    rocm = ask.rocm or suite.rocm or catalog.actions.images[0].rocm
    part = f", {shard}" if suite.shards > 1 else ""
    return Job(
        name=f"{suite.name} ({label.label}{part})",
        session=catalog.stage(suite.stage).session,
        suite=suite.id,
        shard=str(shard),
        runner=label.label,
        timeout_minutes=catalog.actions.job_limit_min(suite.timeout_s),
        step_timeout_minutes=catalog.actions.step_limit_min(suite.timeout_s),
        image=image(suite.family, rocm),
        rocm=rocm,
        hardware=catalog.pools[label.pool].hardware,
        continue_on_error=str(ask.continue_on_error).lower(),
        digest="",
    )


def matrix_json(jobs: Iterable[Job]) -> str:
    """A matrix for `fromJSON`, in one line and always in the same bytes."""
    return json.dumps({"include": [asdict(job) for job in jobs]}, sort_keys=True, separators=(",", ":"))
