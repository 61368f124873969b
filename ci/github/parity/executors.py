"""Parity of executors: does a suite have the same work on the host, in a container, in slots and on a Slurm cluster?

No cluster and no container is needed: each side is planned as a session plans it, on clusters that are made up for the comparison, one for
each runtime and hardware class.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.clusters import Cluster
from ci.catalog.executors import ExecutorKind
from ci.catalog.hardware import CPU
from ci.catalog.parity import DecidedBy
from ci.catalog.stages import Suite
from ci.github.parity.compare import NOTHING, PlanOf, Side, plan_or_reason
from ci.plan.compare.diff import compare
from ci.plan.model import Plan
from ci.plan.registry import EXECUTORS
from ci.plan.route import label_of

__all__ = ["Apart", "Pair", "compare_executors", "with_clusters"]

_EVENT: Final = "schedule"
_WORK: Final = "work."
# of a rehearsal, for which none is published
_REHEARSAL_IMAGE: Final = "amd-ci/rehearsal:parity"
_JOBS: Final = ("", "gpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A field of `work` in which two sides differ; `allowed` is the row's reason, empty for a fault."""

    path: str
    left: str
    right: str
    allowed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two ways of running a suite, their digests and what is apart: image, jobs, and the fields that differ."""

    suite: str
    hardware: str
    left: str
    right: str
    digests: tuple[str, str]
    by: tuple[DecidedBy, ...]
    apart: tuple[Apart, ...]

    @property
    def equal(self) -> bool:
        """Whether it is the same run."""
        return bool(self.digests[0]) and self.digests[0] == self.digests[1]

    @property
    def faults(self) -> tuple[Apart, ...]:
        """Differences that follow from nothing."""
        return tuple(one for one in self.apart if not one.allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a suite is run: its name in the report, the executor that a node or this machine has, and options."""

    name: str
    inner: ExecutorKind
    jobs: str
    options: tuple[str, ...]


def with_clusters(catalog: Catalog) -> Catalog:
    """The catalog with a made-up cluster for each runtime that has run and each hardware class."""
    gpus = max(suite.gpus for suite in catalog.suites)
    made = [
        Cluster(
            name=_cluster(runtime, hardware),
            hardware=hardware,
            gres="" if hardware == CPU else "gpu",
            gpus_per_node=0 if hardware == CPU else gpus,
            nodes=2,
            nodes_max=2,
            runtime=runtime,
            why="parity",
            source="parity",
        )
        for runtime in _runtimes(catalog)
        for hardware in catalog.hardware.classes
    ]
    return replace(catalog, clusters={**catalog.clusters, **{row.name: row for row in made}})


def compare_executors(
    catalog: Catalog, suites: Iterable[Suite], plan_of: PlanOf, tree: str = ""
) -> tuple[Pair, ...]:
    """Compare the ways of running each suite, on its own hardware and in rehearsal.

    Args:
        catalog: of `with_clusters`, as `plan_of` has it.
        suites: what is compared; those without a test are left out.
        plan_of: plans a side.
        tree: the SGLang tree whose tests are run; empty: this repository's.
    """
    return tuple(
        pair
        for suite in suites
        for hardware in (catalog.pools[label_of(catalog, suite, _EVENT).pool].hardware, CPU)
        for pair in _pairs_of(catalog, suite, hardware, plan_of, tree)
    )


def _pairs_of(catalog: Catalog, suite: Suite, hardware: str, plan_of: PlanOf, tree: str) -> Iterator[Pair]:
    """Each way against its executor without a cluster; each number of jobs and each executor against one."""
    stage = catalog.stage(suite.stage)
    found: dict[str, tuple[_Way, Plan | str]] = {}
    for way in _ways(catalog, hardware, tree):
        options = ("--suite", suite.id, *way.options)
        side = Side(session=stage.session, options=options, environ={}, hardware=hardware, in_actions=False)
        found[way.name] = way, plan_or_reason(plan_of, side)
    if all(plan == NOTHING for _, plan in found.values()):
        return
    for name, (way, plan) in found.items():
        base = _name(way.inner, way.jobs)
        for other in dict.fromkeys((base, _name(way.inner, ""), _name(ExecutorKind.HOST, way.jobs))):
            if other != name:
                yield _pair(catalog, suite, hardware, (other, found[other][1]), (name, plan))


def _ways(catalog: Catalog, hardware: str, tree: str) -> Iterator[_Way]:
    of_tree = ("--checkout", tree) if tree else ()
    for inner in dict.fromkeys(runtime.inner for runtime in catalog.runtimes.values()):
        image = hardware == CPU and EXECUTORS[inner].BRINGS_ENGINE
        more = (*of_tree, *(("--image", _REHEARSAL_IMAGE) if image else ()))
        for jobs in _JOBS:
            at_once = (*more, *(("--jobs", jobs) if jobs else ()))
            yield _Way(
                name=_name(inner, jobs), inner=inner, jobs=jobs, options=("--executor", inner, *at_once)
            )
            for runtime in _runtimes(catalog):
                if catalog.runtimes[runtime].inner == inner:
                    there = ("--executor", ExecutorKind.SLURM, "--cluster", _cluster(runtime, hardware))
                    yield _Way(
                        name=_name(f"{ExecutorKind.SLURM} with {runtime}", jobs),
                        inner=inner,
                        jobs=jobs,
                        options=(*there, *at_once),
                    )


def _pair(
    catalog: Catalog,
    suite: Suite,
    hardware: str,
    left: tuple[str, Plan | str],
    right: tuple[str, Plan | str],
) -> Pair:
    (left_name, one), (right_name, two) = left, right
    digests, by, apart = ("", ""), tuple[DecidedBy, ...](), tuple[Apart, ...]()
    if isinstance(one, Plan) and isinstance(two, Plan):
        digests = one.digest, two.digest
        differing = {
            DecidedBy.IMAGE: one.work.image != two.work.image,
            DecidedBy.JOBS: one.work.jobs != two.work.jobs,
        }
        by = tuple(part for part, differs in differing.items() if differs)
        apart = tuple(
            Apart(path=row.path, left=row.left, right=row.right, allowed=_because(catalog, row.path, by))
            for row in compare(one, two)
            if row.path.startswith(_WORK)
        )
    elif one != two or one != NOTHING:
        words = [side if isinstance(side, str) else "a plan" for side in (one, two)]
        apart = (Apart(path="plan", left=words[0], right=words[1], allowed=""),)
    return Pair(
        suite=suite.name,
        hardware=hardware,
        left=left_name,
        right=right_name,
        digests=digests,
        by=by,
        apart=apart,
    )


def _because(catalog: Catalog, path: str, by: Sequence[DecidedBy]) -> str:
    row = catalog.parity.follow(path, by)
    return row.why if row is not None else ""


def _runtimes(catalog: Catalog) -> Sequence[str]:
    """Those whose work is that of their executor, and which have run."""
    return [row.id for row in catalog.runtimes.values() if not row.argv and not row.never_run]


def _cluster(runtime: str, hardware: str) -> str:
    return f"parity-{runtime}-{hardware}"


def _name(way: str, jobs: str) -> str:
    return f"{way}, --jobs {jobs}" if jobs else way
