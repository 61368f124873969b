"""`nox -s ci_plan`: which jobs an event gets, from what has changed; and, at the end, whether they all did what they should."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.options import Parser, parse
from ci.cli.plan_images import PlannedImages
from ci.cli.suite_tests import tests_of_suites, tree_facts
from ci.docker.client import docker_host
from ci.errors import CiError, ExitCode, Problem, UsageError
from ci.facts.changed_files import changes_since
from ci.github.ci_request import PULL_REQUEST, Asked, base_of_event, read_ask
from ci.github.matrix import Waves, make_waves, matrix_json, stage_waves
from ci.github.outputs import add_summary, set_outputs
from ci.github.plan_view import ShownPlan, plan_markdown, show_ci_plan
from ci.github.verdict import judge, read_needs
from ci.images.resolve import resolve_image
from ci.plan.facts import Facts
from ci.plan.jobs import Changes, Reason, Selection, everything, select_changed
from ci.report.console import Text, open_console
from ci.system.environ import read_environ

__all__ = ["ci_plan", "ci_plan_parser"]

# GitHub makes no matrix with more jobs: the workflow ends without one
_MATRIX_JOBS = 256


def ci_plan(arguments: Sequence[str]) -> int:
    """Plan the jobs of an event, or with `--verdict` judge how they ended."""
    parser = ci_plan_parser()
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    if problems:
        raise UsageError("the options can't be meant", problems=problems, then="nox -s ci_plan -- --help")
    environ = read_environ()
    if known.verdict:
        return _verdict(environ, as_json=known.json)
    catalog = load_catalog()
    asked, event_source = _asked(catalog, known, environ)
    facts = tree_facts(catalog, known.checkout, environ)
    tests = tests_of_suites(catalog, facts, asked.suites)
    images = _images(catalog, environ, facts, look=known.images or environ.get("GITHUB_ACTIONS") == "true")
    full = everything(asked.suites, Reason(file="", rule="full-run", why=asked.full))
    changes = Changes(tree="own", base="", files=())
    chosen = full
    if not asked.full:
        changes = _changes(catalog, known, environ, facts)
        chosen = _within(select_changed(catalog, facts.tests, changes), asked)
    shadow = not asked.full and (known.shadow or catalog.changes.shadow)
    wave_of = stage_waves(catalog, asked.workflow)
    selected = make_waves(catalog, chosen.choices, tests, wave_of, asked.ask, images.of)
    made = selected
    would_skip: tuple[str, ...] = ()
    if shadow:
        why = Reason(file="", rule="shadow", why="the rules are only tried: every suite runs")
        made = make_waves(
            catalog, everything(asked.suites, why).choices, tests, wave_of, asked.ask, images.of
        )
        kept = {job.name for job in selected.jobs}
        would_skip = tuple(job.name for job in made.jobs if job.name not in kept)
    _check_size(made)
    images.require()
    shown = ShownPlan(
        event=f"{asked.ask.event} ({event_source})",
        workflow=asked.workflow.id,
        changes=changes,
        full=asked.full,
        selection=chosen,
        waves=made,
        not_selected=tuple(suite.name for suite in asked.suites if suite.name not in chosen.choices),
        shadow=shadow,
        would_skip=would_skip,
        notes=(*_uncommitted(changes), *images.notes),
    )
    _hand_out(environ, shown)
    if known.json:
        sys.stdout.write(json.dumps(_data(shown, catalog, images), indent=1, sort_keys=True) + "\n")
    else:
        show_ci_plan(open_console(environ), shown, why=known.why)
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


def _asked(catalog: Catalog, known: Any, environ: Mapping[str, str]) -> tuple[Asked, str]:
    """What is asked for, and who named the event.

    Raises:
        UsageError: with every input that can't be meant.
    """
    event, source = known.event, "--event"
    if not event and environ.get("GITHUB_ACTIONS") == "true":
        event, source = environ.get("GITHUB_EVENT_NAME", ""), "GITHUB_EVENT_NAME"
    if not event:
        event, source = PULL_REQUEST, "default: not in Actions"
    problems: list[Problem] = []
    asked = read_ask(
        catalog,
        environ,
        workflow=known.workflow or environ.get("AMD_CI_WORKFLOW", ""),
        event=event,
        stages=known.stage,
        problems=problems,
    )
    if problems:
        raise UsageError("the run can't be meant", problems=problems, then="start it again with other inputs")
    return asked, source


def _changes(catalog: Catalog, known: Any, environ: Mapping[str, str], facts: Facts) -> Changes:
    base, source = known.base, "--base"
    if not base and (event_file := environ.get("GITHUB_EVENT_PATH")):
        source = "the event's pull_request.base.sha"
        try:
            base = base_of_event(Path(event_file).read_text(errors="replace"))
        except OSError as error:
            source = f"GITHUB_EVENT_PATH can't be read: {error.strerror}"
    elif not base:
        source = "neither --base nor an event of GitHub's"
    kind = "sglang" if known.checkout else "own"
    return changes_since(Path(facts.root), base, source, kind=kind, catalog=catalog, tests=facts.tests)


def _uncommitted(changes: Changes) -> tuple[str, ...]:
    if not changes.uncommitted:
        return ()
    return (f"{changes.uncommitted} files are not committed and were not looked at: CI sees commits alone",)


def _within(selection: Selection, asked: Asked) -> Selection:
    """The part of a selection that is in scope."""
    names = {suite.name for suite in asked.suites}
    choices = {name: choice for name, choice in selection.choices.items() if name in names}
    return replace(selection, choices=choices)


def _images(catalog: Catalog, environ: Mapping[str, str], facts: Facts, *, look: bool) -> PlannedImages:
    host, _ = docker_host(environ)
    resolve = partial(resolve_image, catalog, environ=environ, engine_host=host)
    return PlannedImages(catalog=catalog, environ=environ, today=facts.today, look=look, resolve=resolve)


def _check_size(made: Waves) -> None:
    """GitHub ends a workflow whose matrix is too large without a word of which.

    Raises:
        UsageError: a wave has more jobs than a matrix may have.
    """
    for number, wave in enumerate(made.waves, start=1):
        if len(wave) > _MATRIX_JOBS:
            raise UsageError(
                f"wave {number} has {len(wave)} jobs, a matrix may have {_MATRIX_JOBS}",
                cause="the shards in stages.toml add up to more",
                then="lower them, or start fewer stages: --stage S",
            )


def _hand_out(environ: Mapping[str, str], shown: ShownPlan) -> None:
    """The outputs that the waves' jobs are made from, and the run's page."""
    outputs: dict[str, str] = {}
    for number, wave in enumerate(shown.waves.waves, start=1):
        outputs[f"wave_{number}"] = matrix_json(wave)
        outputs[f"wave_{number}_jobs"] = str(len(wave))
    set_outputs(environ, outputs)
    add_summary(environ, plan_markdown(shown))


def _data(shown: ShownPlan, catalog: Catalog, images: PlannedImages) -> dict[str, Any]:
    choices = shown.selection.choices
    return {
        "event": shown.event,
        "workflow": shown.workflow,
        "base": shown.changes.base,
        "base_unknown": shown.changes.unknown,
        "changed_files": [file.path for file in shown.changes.files],
        "full": shown.full,
        "says": shown.sentence,
        "waves": [[asdict(job) for job in wave] for wave in shown.waves.waves],
        "suites": [
            {
                "suite": name,
                "stage": next(suite.stage for suite in catalog.suites if suite.name == name),
                "tests": sorted(choice.tests) if choice.tests is not None else None,
                "reasons": [asdict(reason) for reason in choice.reasons],
            }
            for name, choice in choices.items()
        ],
        "selects_nothing": [asdict(reason) for reason in shown.selection.nothing],
        "not_selected": list(shown.not_selected),
        "not_made": [asdict(row) for row in shown.waves.not_made],
        "shadow": shown.shadow,
        "would_skip": list(shown.would_skip),
        "images": [asdict(row) for row in images.found.values()],
        "notes": list(shown.notes),
    }


def _verdict(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Judge the jobs before the finish job.

    Raises:
        CiError: with every job that failed, was cancelled or was wrongly skipped.
    """
    code, problems, told = judge(read_needs(environ.get("NEEDS", "")))
    if as_json:
        rows = [asdict(problem) for problem in problems]
        sys.stdout.write(json.dumps({"code": code, "jobs": list(told), "problems": rows}, indent=1) + "\n")
    else:
        console = open_console(environ)
        for line in told:
            console.print(Text(line))
    summary = [f"- {line}" for line in told] + [f"- **{problem}**" for problem in problems]
    add_summary(environ, "\n".join(["## Finish", "", *summary, ""]) + "\n")
    if problems:
        raise CiError(
            f"{len(problems)} of the jobs did not end as planned",
            problems=problems,
            then="open the job that is named first; ./inv repro URL repeats it",
            exit_code=ExitCode(code),
        )
    return 0
