"""Gathering the facts of this machine, this tree and this call, before the plan."""

import os
import platform
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.hardware import CPU
from ci.catalog.registrations.parse import Discovery, discover
from ci.catalog.registrations.roots import require_sglang_tree
from ci.catalog.toml_reader import closest
from ci.errors import UsageError
from ci.facts.container import with_docker, with_saved_image
from ci.facts.git import commit_of
from ci.facts.hardware import Hardware, detect
from ci.facts.interpreters import find_engine
from ci.plan.container.needs import decide_executor
from ci.plan.facts import EngineFact, Facts, Known
from ci.plan.model import Plan
from ci.plan.request import Request
from ci.record.phases import Emit
from ci.system import clock
from ci.system.environ import TODAY, wished_today
from ci.system.process import capture

__all__ = ["REPOSITORY", "Place", "discover_tests", "find_hardware", "find_today", "gather", "runs_dir"]

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`--checkout` and `--python`, empty when not given.

    `tell` takes events of what takes long while facts are gathered: the build of an image.
    """

    checkout: str = ""
    python: str = ""
    planning_only: bool = False
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


def discover_tests(catalog: Catalog, checkout: str) -> tuple[Path, Discovery]:
    """The tree under test, and its AMD registrations.

    Raises:
        UsageError: `checkout` is not an SGLang tree.
    """
    if not checkout:
        return REPOSITORY, discover(REPOSITORY, catalog.discovery, layout="own", backends=("amd",))
    tree = Path(checkout).expanduser().absolute()
    require_sglang_tree(tree, catalog.discovery)
    return tree, discover(tree, catalog.discovery, layout="sglang", backends=("amd",))


def find_today(environ: Mapping[str, str]) -> tuple[date, str]:
    """The date that rows are judged by, and where it comes from.

    Raises:
        UsageError: `AMD_CI_TODAY` holds no date.
    """
    real, tried = clock.today(), wished_today(environ)
    if tried is None:
        return real, "the clock, UTC"
    return tried, f"{TODAY}: a date to try; the clock has {real}"


def gather(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    *,
    saved: Plan | None = None,
) -> Facts:
    """Everything that the plan needs to know; `saved` is a plan that is to be done again.

    Raises:
        UsageError: the requested hardware is not in the catalog, or is not this machine's and this is not a dry run;
            sources disagree about the hardware; the checkout is not an SGLang tree.
    """
    root, tests = discover_tests(catalog, place.checkout)
    hardware_class, source, gpu_ids = _hardware(catalog, request, place, environ)
    today, today_source = find_today(environ)
    fixed = frozenset(
        file for suite in catalog.suites_of(request.stage) for file in suite.files if (root / file).is_file()
    )
    wanted = request.engine if request.engine in catalog.engines else catalog.default_engine(hardware_class)
    engines = _engines(catalog, request, place, environ, hardware_class, wanted)
    facts = Facts(
        hardware_class=hardware_class,
        hardware_source=source,
        gpu_ids=gpu_ids,
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
    )
    if saved is not None:
        return with_saved_image(catalog, facts, saved, python=place.python, planning_only=place.planning_only)
    elsewhere = _elsewhere(request, place)
    # what another machine has installed cannot be seen: the plan says what CI does there
    executor, _ = decide_executor(
        catalog.containers, request.executor, hardware_class, engine_here=bool(engines) and not elsewhere
    )
    if executor != "docker" or (request.executor == "auto" and request.compared):
        # a comparison of classes is of what is tested, which no image changes
        return facts
    return with_docker(
        catalog,
        facts,
        request,
        python=place.python,
        engine_id=wanted,
        planning_only=place.planning_only,
        elsewhere=elsewhere,
        tell=place.tell,
    )


def _elsewhere(request: Request, place: Place) -> bool:
    """Whether a plan is for a machine of a named class, which this one may not be."""
    return place.planning_only and request.hardware not in ("auto", CPU)


def _hardware(
    catalog: Catalog, request: Request, place: Place, environ: Mapping[str, str]
) -> tuple[str, str, tuple[str, ...]]:
    if request.hardware == CPU:
        return CPU, f"--hardware {CPU}", ()
    known = ("auto", *catalog.hardware.classes)
    if request.hardware not in known:
        what = f"unknown hardware class {request.hardware!r}"
        raise UsageError(what, cause=closest(request.hardware, known), then="see ci/catalog/hardware.toml")
    if _elsewhere(request, place):
        # a plan for another machine: as many GPUs as its largest suite asks for
        count = max(suite.gpus for suite in catalog.suites)
        source = f"--hardware {request.hardware}, planned for a machine with {count} GPUs"
        return request.hardware, source, tuple(str(number) for number in range(count))
    found = find_hardware(catalog, environ)
    if request.hardware not in ("auto", found.cls):
        raise UsageError(
            f"--hardware {request.hardware}, but this machine is {found.cls} ({found.source})",
            cause="a run on other hardware proves nothing",
            then=f"see its plan: add --dry-run; rehearse: --hardware {CPU}",
        )
    return found.cls, found.source, tuple(gpu.id for gpu in found.gpus)


def _engines(
    catalog: Catalog,
    request: Request,
    place: Place,
    environ: Mapping[str, str],
    hardware_class: str,
    wanted: str,
) -> dict[str, EngineFact]:
    """Only the requested engine is looked for, and only where it can be: asking interpreters is slow."""
    rehearsal = hardware_class == CPU
    if request.executor == "docker":
        return {}
    if place.planning_only and not rehearsal:
        # a plan for a machine that may not be this one: its interpreter is found there
        unknown = EngineFact(
            python="python3", python_version="", engine_version="", source="found when it runs"
        )
        return {wanted: unknown}
    fact = find_engine(
        catalog.engines[wanted],
        given=place.python,
        ours=rehearsal,
        environ=environ,
    )
    return {wanted: fact} if fact is not None else {}


def _event(environ: Mapping[str, str]) -> Known:
    if environ.get("GITHUB_ACTIONS") != "true":
        return Known(value="local", source="default: not in Actions")
    return Known(value=environ.get("GITHUB_EVENT_NAME", ""), source="GITHUB_EVENT_NAME")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
