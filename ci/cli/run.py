"""`nox -s stage_...`: plan, show, act, report."""

import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.limits import ReportLimits
from ci.cli.options import read_run_options
from ci.cli.planning import plan_for
from ci.errors import InfrastructureError, UsageError
from ci.execute.earlier_run import baseline_of
from ci.execute.engine_build import make_engine, size_to_ask_about
from ci.execute.run import Ending, Run, Show
from ci.facts.platform_support import require_rehearsal
from ci.plan.model import Plan
from ci.plan.secret_values import refuse_secret_values, secret_values
from ci.record.events import Baseline
from ci.report.console import Text, confirmed, open_console, say
from ci.report.final.tables import tables
from ci.report.final.terminal import show_end
from ci.report.final.write import page_of, show_written, write_reports
from ci.report.live.github import mask, workspace_prefix
from ci.report.live.views import View, open_view
from ci.report.log_tail import LogTails
from ci.report.telemetry.export import start_export
from ci.report.views.engine_build import EngineBuildView
from ci.report.views.plan import list_tests, print_plan, show_around
from ci.system import clock
from ci.system.environ import read_environ
from ci.system.output import say_at_once
from ci.system.signals import die_with_parent, stop_once

__all__ = ["act", "new_run", "run"]


def run(arguments: Sequence[str]) -> int:
    """Run a stage: the first argument is its id, the rest are the session's options."""
    if not arguments:
        raise UsageError("no stage given", then="nox -l")
    environ = read_environ()
    if "NOX_CURRENT_SESSION" in environ:
        # only under nox: started by hand with nohup, we are to outlive the shell
        die_with_parent(signal.SIGTERM)
    # until the run takes its signals itself: an end while it plans is an interrupted run too
    stop_once(lambda _number: None)
    catalog = load_catalog()
    stage = catalog.stage(arguments[0])
    rest = tuple(arguments[1:])
    command = ("nox", "-s", stage.session, *(("--", *rest) if rest else ()))
    options = read_run_options(stage.id, f"nox -s {stage.session} --", command, rest)
    if environ.get("GITHUB_ACTIONS") == "true":
        # before the first line that could hold one
        mask(open_console(environ, json=options.json).file, tuple(secret_values(catalog, environ).values()))
    refuse_secret_values(catalog, options.request, environ)
    plan = plan_for(catalog, options, environ)
    runs = Path(plan.placement.runs_dir)
    baseline = baseline_of(options.baseline, runs, stage=stage.id) if options.baseline else None
    if options.list:
        list_tests(plan, as_json=options.json)
        return 0
    if options.dry_run:
        print_plan(plan, environ, as_json=options.json)
        return 0
    if plan.work.rehearsal:
        require_rehearsal(plan)
    if plan.work.engine_build is not None:
        plan = _make_engine(catalog, plan, environ, yes=options.yes)
    return act(catalog, plan, environ, json=options.json, verbose=options.verbose, baseline=baseline)


def act(
    catalog: Catalog,
    plan: Plan,
    environ: Mapping[str, str],
    *,
    json: bool,
    verbose: bool = False,
    baseline: Baseline | None = None,
) -> int:
    """Run a plan, shown and reported as it fits where it was started; returns the exit code."""
    return new_run(catalog, plan, environ, json=json, verbose=verbose, baseline=baseline).act()


def new_run(
    catalog: Catalog,
    plan: Plan,
    environ: Mapping[str, str],
    *,
    json: bool,
    verbose: bool = False,
    baseline: Baseline | None = None,
    token: str = "",
) -> Run:
    """A run of a plan; it has a new token unless one is given."""
    shown = _Shown(
        plan=plan,
        environ=environ,
        secrets=tuple(secret_values(catalog, environ).values()),
        json=json,
        verbose=verbose,
        limits=catalog.limits.report,
    )
    run = Run(
        plan=plan,
        catalog=catalog,
        environ=environ,
        view=lambda folder: shown.during(folder.path),
        report=shown.after,
        say=say,
        acknowledge=shown.acknowledge,
        baseline=baseline,
    )
    if token:
        run.token = token
    return run


def _make_engine(catalog: Catalog, plan: Plan, environ: Mapping[str, str], *, yes: bool) -> Plan:
    """Make what the engine needs on this machine, which is never a surprise.

    Raises:
        InfrastructureError: nobody has agreed to the size, or it cannot be made.
    """
    size = size_to_ask_about(catalog, plan, environ)
    if size and not yes and not confirmed(f"the real SGLang needs {size}, once. Make its environment?"):
        nox, _, options = shlex.join(plan.placement.command).partition(" -- ")
        raise InfrastructureError(
            f"the environment of the real SGLang is not made: it needs {size}",
            cause="nobody has agreed to it",
            then=f"{nox} -- --yes {options}".rstrip(),
        )
    return make_engine(catalog, plan, environ, show=EngineBuildView().show, tell=say)


@dataclass(slots=True, kw_only=True)
class _Shown:
    """What a person sees of a run: before, during and after it. `view` is the one that is open.

    `secrets` are the caller's, which are sent nowhere.
    """

    plan: Plan
    environ: Mapping[str, str]
    secrets: tuple[str, ...]
    json: bool
    verbose: bool
    limits: ReportLimits
    view: View | None = None

    @contextmanager
    def during(self, folder: Path) -> Iterator[Show]:
        """What is planned, then the view of the run that fits where it was started."""
        show_around(self.plan, self.environ, json=self.json, verbose=self.verbose)
        self.view = open_view(
            self.environ,
            json=self.json,
            run_dir=folder,
            limits=self.limits,
            clock=clock.monotonic_s,
            prefix=workspace_prefix(self.plan.placement.root, self.environ),
        )
        try:
            yield self.view.show
        finally:
            view, self.view = self.view, None
            view.close()

    def acknowledge(self, line: str) -> None:
        """Say this at once, whatever is being shown."""
        if self.view is not None:
            self.view.acknowledge(line)
        else:
            say_at_once(line)

    def after(self, ending: Ending) -> None:
        """Write every report that can be written, and show the end."""
        export = start_export(ending.record, self.environ, self.secrets)
        console = open_console(self.environ, json=self.json)
        run_dir = ending.folder.path
        written = write_reports(ending.record, run_dir, environ=self.environ, limits=self.limits)
        if self.verbose:
            tails = LogTails(run_dir, lines=self.limits.tail_lines)
            console.print(tables(ending.record, tails=tails, limits=self.limits), crop=False)
        show_written(console, run_dir, written, verbose=self.verbose)
        if export is not None:
            console.print(Text(export.line(), style="dim"), soft_wrap=True)
        if ending.failure is not None:
            sys.stderr.write(ending.failure.render() + "\n")
            sys.stderr.flush()
        show_end(console, ending.record, run_dir, report=page_of(written))
