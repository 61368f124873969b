"""Gathering the facts of this machine, this tree and this call, before the plan."""

import os
import platform
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.registrations.parse import Discovery, discover
from ci.catalog.registrations.roots import require_sglang_tree
from ci.catalog.toml_reader import closest
from ci.errors import UsageError
from ci.facts.cluster import find_cluster
from ci.facts.container_host import count_render_nodes
from ci.facts.content import file_digests, package_digests, packages_of, tree_content
from ci.facts.engine_build import find_engine_build
from ci.facts.git import commit_of
from ci.facts.hardware import Hardware, detect
from ci.facts.interpreters import find_engine
from ci.facts.tree.kept import discover_kept
from ci.plan.content import TreeContent
from ci.plan.engine_build import EngineBuild
from ci.plan.facts import EngineFact, Facts, Known, SlurmFacts
from ci.plan.registry import EXECUTORS
from ci.plan.request import Request
from ci.record.phases import Emit
from ci.system import clock
from ci.system.environ import TODAY, tried_today
from ci.system.file_lock import cache_dir
from ci.system.process import capture

__all__ = [
    "REPOSITORY",
    "Place",
    "discover_tests",
    "find_hardware",
    "find_today",
    "gather_machine",
    "runs_dir",
]

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`--checkout` and `--python`, empty when not given; `planning_only` when nothing will be run, `names_only` when only
    the tests' names are wanted.

    `tell` takes events of what takes long while facts are gathered: the build of an image.
    """

    checkout: str = ""
    python: str = ""
    planning_only: bool = False
    names_only: bool = False
    tell: Emit = field(default=lambda _event: None, compare=False)


def runs_dir(environ: Mapping[str, str]) -> Path:
    """Where run folders are made: `AMD_CI_RUNS`, else `.runs` in this repository."""
    return Path(environ.get("AMD_CI_RUNS") or REPOSITORY / ".runs").absolute()


def find_hardware(catalog: Catalog, environ: Mapping[str, str]) -> Hardware:
    """What this machine is, by KFD, tools and the runner's label."""

    def run(argv: tuple[str, ...]) -> str | None:
        done = capture(argv)
        return done.text if done.code == 0 else None

    return detect(
        sysfs=Path("/sys"),
        run=run,
        label=environ.get("AMD_CI_RUNNER_LABEL") or None,
        visible=environ,
        catalog=catalog.hardware,
    )


def discover_tests(catalog: Catalog, checkout: str, cache: Path | None = None) -> tuple[Path, Discovery]:
    """The tree under test, and its AMD registrations; with a `cache` a checkout that has not changed is not read again.

    Raises:
        UsageError: `checkout` is not an SGLang tree.
    """
    if not checkout:
        return REPOSITORY, discover(REPOSITORY, catalog.discovery, layout="own", backends=("amd",))
    tree = Path(checkout).expanduser().absolute()
    require_sglang_tree(tree, catalog.discovery)
    return tree, discover_kept(tree, catalog.discovery, cache, backends=("amd",))


def find_today(environ: Mapping[str, str]) -> tuple[date, str]:
    """The date that rows are judged by, and where it comes from.

    Raises:
        UsageError: `AMD_CI_TODAY` holds no date.
    """
    real, tried = clock.today(), tried_today(environ)
    if tried is None:
        return real, "the clock, UTC"
    return tried, f"{TODAY}: a date to try; the clock has {real}"


def gather_machine(catalog: Catalog, request: Request, place: Place, environ: Mapping[str, str]) -> Facts:
    """What a draft of the plan depends on: this machine, this tree and this call.

    Raises:
        UsageError: the requested hardware is not in the catalog, or is not this machine's and this is not a dry run;
            sources disagree about the hardware; the checkout is not an SGLang tree; the cluster has no row.
        InfrastructureError: the executor needs a cluster, and there is none.
    """
    root, tests = discover_tests(catalog, place.checkout, cache_dir(environ))
    slurm = _cluster(catalog, request, place, environ)
    hardware_class, source, gpu_ids, gpu_groups = _hardware(catalog, request, place, environ, slurm)
    request = _on_node(catalog, request, slurm)
    build, engines = _engines(catalog, request, place, environ, hardware_class, root)
    today, today_source = find_today(environ)
    fixed = frozenset(file for suite in catalog.suites for file in suite.files if (root / file).is_file())
    content = TreeContent()
    if not place.names_only:
        content = tree_content(root, REPOSITORY, fixed=fixed, digests=file_digests(environ))
    return Facts(
        hardware_class=hardware_class,
        hardware_source=source,
        gpu_ids=gpu_ids,
        gpu_groups=gpu_groups,
        cpus=_cpus(catalog, slurm),
        commit=commit_of(REPOSITORY),
        root=str(root),
        checkout=commit_of(root) if place.checkout else None,
        runs_dir=str(runs_dir(environ)),
        tests=tests,
        fixed_files=fixed,
        engines=engines,
        environ=environ,
        event=_event(environ),
        host=platform.node(),
        user=_user(),
        today=today,
        today_source=today_source,
        today_tried=bool(environ.get(TODAY)),
        elsewhere=slurm is not None or _elsewhere(request, place),
        render_nodes=count_render_nodes(),
        engine_build=build,
        slurm=slurm,
        content=content,
    )


def _cluster(
    catalog: Catalog, request: Request, place: Place, environ: Mapping[str, str]
) -> SlurmFacts | None:
    """The cluster whose nodes run the tests, None where none does."""
    if request.executor is None or not EXECUTORS[request.executor].ON_CLUSTER:
        return None
    return find_cluster(catalog, request, environ, named_only=place.names_only)


def _on_node(catalog: Catalog, request: Request, slurm: SlurmFacts | None) -> Request:
    """The request as the executor of a node has it."""
    if slurm is None:
        return request
    runtime = catalog.runtimes[catalog.clusters[slurm.cluster.value].runtime]
    return replace(request, executor=runtime.inner)


def _cpus(catalog: Catalog, slurm: SlurmFacts | None) -> int:
    """CPUs that tests have; those of a node that a job has for itself are not known and taken to be as many as here."""
    of_node = catalog.clusters[slurm.cluster.value].cpus_per_node if slurm is not None else 0
    return of_node or len(os.sched_getaffinity(0))


def _elsewhere(request: Request, place: Place) -> bool:
    """Whether a plan is for a machine of a named class, which this one may not be."""
    return place.planning_only and request.hardware not in ("auto", CPU)


def _hardware(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    slurm: SlurmFacts | None,
) -> tuple[str, str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The class and where it is known from, the GPUs, and what each of them is in."""
    if slurm is not None and request.hardware != CPU:
        # no node is looked at: the machine that plans needs no GPU
        row = catalog.clusters[slurm.cluster.value]
        ids = tuple(str(number) for number in range(row.gpus_per_node))
        return row.hardware, f"the nodes of cluster {row.name} are {row.hardware} (clusters.toml)", ids, ()
    if request.hardware == CPU:
        return CPU, f"--hardware {CPU}", (), ()
    known = ("auto", *catalog.hardware.classes)
    if request.hardware not in known:
        what = f"unknown hardware class {request.hardware!r}"
        raise UsageError(what, cause=closest(request.hardware, known), then="cat ci/catalog/hardware.toml")
    if _elsewhere(request, place):
        # a plan for another machine: as many GPUs as its largest suite asks for
        count = max(suite.gpus for suite in catalog.suites)
        source = f"--hardware {request.hardware}, planned for a machine with {count} GPUs"
        return request.hardware, source, tuple(str(number) for number in range(count)), ()
    found = find_hardware(catalog, environ)
    if request.hardware not in ("auto", found.cls):
        raise UsageError(
            f"--hardware {request.hardware}, but this machine is {found.cls} ({found.source})",
            cause="a run on other hardware proves nothing",
            then=f"see its plan: add --dry-run; rehearse: --hardware {CPU}",
        )
    ids = tuple(gpu.id for gpu in found.gpus)
    return found.cls, found.source, ids, tuple(gpu.groups for gpu in found.gpus)


def _engines(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    hardware_class: str,
    root: Path,
) -> tuple[EngineBuild | None, dict[str, EngineFact]]:
    """The engine that is named, else the default one. No other is looked for: asking interpreters takes a while."""
    wanted = request.engine if request.engine in catalog.engines else catalog.default_engine(hardware_class)
    service = catalog.engines[wanted].services.get(hardware_class)
    if service is None or not service.made_here:
        return None, _found_engines(catalog, request, place, environ, hardware_class, wanted)
    build, fact = find_engine_build(
        catalog,
        catalog.engines[wanted],
        checkout=root if place.checkout else None,
        version=request.sglang,
        python=place.python,
        planning_only=place.planning_only,
        environ=environ,
    )
    return build, {wanted: fact}


def _found_engines(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    hardware_class: str,
    wanted: str,
) -> dict[str, EngineFact]:
    executor = request.executor
    if executor is not None and EXECUTORS[executor].BRINGS_ENGINE:
        return {}
    unknown = EngineFact(
        python="python3", python_version="", engine_version="", source="found when it runs", found=False
    )
    only_planned = place.planning_only and hardware_class != CPU
    if only_planned and (executor is not None or _elsewhere(request, place)):
        # nothing is decided by it, or the machine that it is on cannot be seen
        return {wanted: unknown}
    fact = find_engine(
        catalog.engines[wanted], given=place.python, ours=hardware_class == CPU, environ=environ
    )
    if fact is None:
        return {wanted: unknown} if only_planned else {}
    if not place.names_only:
        names = packages_of(catalog, catalog.engines[wanted], rehearsal=hardware_class == CPU)
        packages = package_digests(
            Path(fact.python),
            names,
            environ=environ,
            digests=file_digests(environ),
            built_in=catalog.engines[wanted].built_in,
        )
        fact = replace(fact, packages=packages)
    return {wanted: fact}


def _event(environ: Mapping[str, str]) -> Known:
    if environ.get("GITHUB_ACTIONS") != "true":
        return Known(value="local", source="default: not in Actions")
    return Known(value=environ.get("GITHUB_EVENT_NAME", ""), source="GITHUB_EVENT_NAME")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
