"""`nox -s ci_plan`: which jobs an event gets, from what has changed; and, at the end, whether they all did what they should."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.toml_reader import closest
from ci.cli.options import Parser
from ci.docker.client import docker_host
from ci.errors import CiError, ExitCode, Problem, UsageError
from ci.facts.changed_files import changes_since
from ci.facts.tree_tests import tree_facts
from ci.github.ci_request import EVENTS, Asked, base_of, event_of, read_ask
from ci.github.job_plan import JobPlan, plan_jobs
from ci.github.matrix import matrix_json
from ci.github.outputs import add_summary, set_outputs
from ci.github.plan_view import plan_data, plan_markdown, show_ci_plan
from ci.github.verdict import judge, read_needs
from ci.images.job_images import PlannedImages
from ci.images.resolve import resolve_image
from ci.plan.facts import Facts
from ci.plan.jobs import Changes
from ci.plan.select import tests_of_suites
from ci.report.console import open_console, print_json
from ci.system.environ import read_environ

__all__ = ["ci_plan", "ci_plan_parser"]


def ci_plan(arguments: Sequence[str]) -> int:
    """Plan the jobs of an event, or with `--verdict` judge how they ended."""
    parser = ci_plan_parser()
    known = parser.read(arguments)
    environ = read_environ()
    if known.verdict:
        return _verdict(environ, as_json=known.json)
    catalog = load_catalog()
    event, event_source = event_of(environ, known.event)
    asked = _asked(catalog, known, environ, event)
    facts = tree_facts(catalog, known.checkout, environ)
    images = _images(catalog, environ, facts, look=known.images or environ.get("GITHUB_ACTIONS") == "true")
    changes: Changes | None = None
    if not asked.full:
        base, source = base_of(environ, known.base)
        kind = "sglang" if known.checkout else "own"
        changes = changes_since(Path(facts.root), base, source, kind=kind, catalog=catalog, tests=facts.tests)
        if known.base and changes.unknown:
            # an event's base that is not there is a full run, a person's is a mistake
            raise UsageError(
                f"--base: {changes.unknown}",
                cause="no such commit, branch or tag here, or it has no common history",
                then=f"git -C {facts.root} branch --all",
            )
    plan = plan_jobs(
        catalog,
        asked,
        changes,
        facts.tests,
        tests_of_suites(catalog, facts, asked.suites),
        images.of,
        event_source=event_source,
        shadow=known.shadow or catalog.changes.shadow,
    )
    images.require()
    plan = replace(plan, notes=(*plan.notes, *images.notes))
    _hand_out(environ, plan)
    if known.json:
        data = plan_data(plan, catalog) | {"images": [asdict(row) for row in images.found.values()]}
        print_json(data, sort_keys=True)
    else:
        show_ci_plan(open_console(environ), plan, why=known.why)
    return 0


def ci_plan_parser() -> Parser:
    """The options of `ci_plan`."""
    parser = Parser(
        prog="nox -s ci_plan --",
        description="Which jobs an event gets. In Actions event, inputs and base come from the environment.",
    )
    add = parser.add_argument
    add("--base", default="", metavar="REF", help="compare with where HEAD left this commit, branch or tag")
    add("--event", default="", metavar="E", help="pull_request, schedule or workflow_dispatch")
    add("--workflow", default="", metavar="ID", help="whose suites: amd-pr (the default) or amd-nightly")
    add("--stage", action="append", default=[], metavar="S", help="only these stages or suites; repeatable")
    add("--checkout", default="", metavar="PATH", help="an SGLang tree: its tests, its changes")
    add("--why", action="store_true", help="for each suite the changed file and the rule")
    add("--shadow", action="store_true", help="plan every suite, and record what the rules would leave out")
    add("--images", action="store_true", help="look for the jobs' images, as it is always done in Actions")
    add("--verdict", action="store_true", help="judge the jobs in the variable NEEDS instead")
    add("--json", action="store_true", help="machine-readable standard output")
    return parser


def _asked(catalog: Catalog, known: Any, environ: Mapping[str, str], event: str) -> Asked:
    """The request.

    Raises:
        UsageError: with every invalid input.
    """
    problems: list[Problem] = []
    if known.event and known.event not in EVENTS:
        hint = closest(known.event, EVENTS)
        problems.append(Problem(where="--event", what=f"unknown event {known.event!r}", hint=hint))
    asked = read_ask(
        catalog,
        environ,
        workflow=known.workflow or environ.get("AMD_CI_WORKFLOW", ""),
        event=event,
        stages=known.stage,
        problems=problems,
    )
    if problems:
        raise UsageError("invalid inputs", problems=problems, then="nox -s ci_plan -- --help")
    return asked


def _images(catalog: Catalog, environ: Mapping[str, str], facts: Facts, *, look: bool) -> PlannedImages:
    host, _ = docker_host(environ)
    resolve = partial(resolve_image, catalog, environ=environ, engine_host=host)
    return PlannedImages(catalog=catalog, environ=environ, today=facts.today, look=look, resolve=resolve)


def _hand_out(environ: Mapping[str, str], plan: JobPlan) -> None:
    """The outputs that the waves' jobs are made from, and the run's page."""
    outputs: dict[str, str] = {}
    for number, wave in enumerate(plan.waves.waves, start=1):
        outputs[f"wave_{number}"] = matrix_json(wave)
        outputs[f"wave_{number}_jobs"] = str(len(wave))
    set_outputs(environ, outputs)
    add_summary(environ, plan_markdown(plan))


def _verdict(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Judge the jobs before the finish job.

    Raises:
        CiError: with every job that failed, was cancelled or was wrongly skipped.
    """
    code, problems, lines = judge(read_needs(environ.get("NEEDS", "")))
    if as_json:
        rows = [asdict(problem) for problem in problems]
        print_json({"code": code, "jobs": list(lines), "problems": rows})
    else:
        console = open_console(environ)
        for line in lines:
            console.print(line)
    summary = [f"- {line}" for line in lines] + [f"- **{problem}**" for problem in problems]
    add_summary(environ, "\n".join(["## Finish", "", *summary, ""]) + "\n")
    if problems:
        raise CiError(
            f"{len(problems)} of the jobs did not end as planned",
            problems=problems,
            then="open the job that is named first; ./inv repro URL repeats it",
            exit_code=ExitCode(code),
        )
    return 0
