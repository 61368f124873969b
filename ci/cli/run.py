"""`nox -s stage_...`: plan, show, act, report."""

import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import is_secret
from ci.cli.options import RunOptions, read_run_options
from ci.cli.plan import print_plan
from ci.cli.planning import plan_for
from ci.errors import CiError, ExitCode, InfrastructureError, Problem, UsageError, worst
from ci.execute.docker import DockerExecutor
from ci.execute.executor import Executor
from ci.execute.host import HostExecutor
from ci.execute.process_sweep import register, sweep_dead, unregister
from ci.execute.run_folder import RunFolder, make_folder
from ci.execute.spec import make_spec
from ci.facts.gather import REPOSITORY, find_today
from ci.facts.platform_support import require_rehearsal_platform
from ci.plan.compare import capsule
from ci.plan.model import Plan
from ci.plan.quarantine import tried_date_note
from ci.record.fold import RecordWriter, exit_code, fold, read_events
from ci.report.console import Text, open_console
from ci.report.final.terminal import show_final
from ci.report.limits import ReportLimits
from ci.report.live.github import mask, workspace_prefix
from ci.report.live.views import View, open_view
from ci.report.model import repeat
from ci.report.text import one_line
from ci.report.write import write_reports
from ci.system import clock
from ci.system.environ import TODAY, read_environ
from ci.system.signals import die_with_parent, stop_once

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run a stage: the first argument is its id, the rest are the session's options."""
    if not arguments:
        raise UsageError("run which stage?", then="nox -l lists them")
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
        mask(open_console(environ, json=options.json).file, _secrets(catalog, environ))
    _refuse_secret_values(catalog, options, environ)
    plan = plan_for(catalog, options, environ)
    if options.list:
        return _list(plan, as_json=options.json)
    if options.dry_run:
        print_plan(plan, as_json=options.json)
        return 0
    if plan.work.rehearsal:
        require_rehearsal_platform()
        _refuse_sglang_tests(plan)
    return _Run(catalog, plan, options, environ).act()


def _secrets(catalog: Catalog, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the caller's variables whose names say that they are secrets."""
    return tuple(value for name, value in environ.items() if value and is_secret(name, catalog.secrets))


def _refuse_secret_values(catalog: Catalog, options: RunOptions, environ: Mapping[str, str]) -> None:
    """Under another name a secret would stand in the plan, the log and the capsule, where no mask reaches it.

    Raises:
        UsageError: an option holds the value of a secret variable.
    """
    least = int(catalog.limits["plan.secret_chars"])
    secrets = {
        name: value
        for name, value in environ.items()
        if len(value) >= least and is_secret(name, catalog.secrets)
    }
    given = [(f"--env {name}", value) for name, value in options.request.env]
    given += [("pytest's arguments", word) for word in options.request.pytest_args]
    problems = [
        Problem(
            where=where, what=f"holds the value of {name}", hint="see [[pass_through]] in environment.toml"
        )
        for where, value in given
        for name, secret in secrets.items()
        if secret in value
    ]
    if problems:
        raise UsageError(
            "a secret would stand in the plan",
            problems=problems,
            then="leave it in its own variable, which the tests get from your environment",
        )


def _refuse_sglang_tests(plan: Plan) -> None:
    """SGLang's own tests start SGLang themselves, which the rehearsal's engine can't stand in for.

    Raises:
        InfrastructureError: the plan is a rehearsal of an SGLang tree's tests.
    """
    if not plan.work.checkout:
        return
    raise InfrastructureError(
        f"the tests of {plan.placement.root} need SGLang and a GPU of theirs; this machine is {plan.work.hardware_class}",
        cause="they start SGLang themselves, so llama.cpp can't stand in: only this repository's tests are rehearsed",
        then="see what would run: add --list or --dry-run; rehearse this repository's tests: leave out --checkout",
    )


def _list(plan: Plan, *, as_json: bool) -> int:
    """Tests with estimates, one per line; nothing else on standard output."""
    rows = [
        {"suite": suite.id, "test": test.id, "est_s": test.est_s, "kind": test.kind}
        for suite in plan.work.suites
        for test in suite.tests
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{row['test']}\t{row['est_s']:g}\t{row['suite']}\n" for row in rows)
    for suite in plan.work.suites:
        if not suite.tests:
            where = f"shard {suite.shard}" if suite.shard is not None else "this suite"
            sys.stderr.write(f"{suite.id}: nothing in {where}\n")
    for note in plan.notes:
        sys.stderr.write(f"note: {note}\n")
    return 0


class _Run:
    """One run from its folder to its reports."""

    def __init__(self, catalog: Catalog, plan: Plan, options: RunOptions, environ: Mapping[str, str]) -> None:
        self._catalog = catalog
        self._plan = plan
        self._options = options
        self._environ = environ
        self._interrupted = False
        self._executor: Executor | None = None
        self._token = clock.new_token()
        self._limits = ReportLimits.of(catalog.limits)

    def act(self) -> int:
        """Do it; returns the exit code."""
        runs = Path(self._plan.placement.runs_dir)
        live = runs / ".live"
        passes = int(self._catalog.limits["agent.sweep_passes"])
        left_over = sweep_dead(live, passes=passes, wait=clock.sleep_s)
        for process in left_over:
            sys.stderr.write(f"swept: process {process.pid} of a run that was killed ({process.command})\n")
        folder = make_folder(self._plan, clock.utc_now())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            register(live, self._token)
            folder.plan.write_text(
                json.dumps(self._plan.to_json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            )
        except OSError as error:
            raise InfrastructureError(
                f"{folder.path} can't be written: {error.strerror}",
                cause="the disk is full or the folder is not writable",
                then=f"df -h {runs}",
            ) from error
        try:
            return self._record(folder)
        finally:
            unregister(live, self._token)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal ends the tests, later ones change nothing: GitHub sends INT, then TERM."""
        self._interrupted = True
        if self._executor is not None:
            self._executor.stop()

    def _record(self, folder: RunFolder) -> int:
        """Run and record, then report; a record that can't be written ends the run, not the reports."""
        if not self._options.json:
            print_plan(self._plan, as_json=False)
        view = open_view(
            self._environ,
            json=self._options.json,
            run_dir=folder.path,
            limits=self._limits,
            clock=clock.monotonic_s,
            prefix=workspace_prefix(self._plan.placement.root, self._environ),
        )
        failure: CiError | None = None
        record = RecordWriter(folder.events)
        try:
            with record:
                self._emit(record, view, self._started(folder), by="ci")
                self._emit(record, view, self._capsule(), by="ci")
                if self._environ.get(TODAY):
                    text = tried_date_note(*find_today(self._environ))
                    self._emit(record, view, {"type": "note", "text": text}, by="ci")
                if self._plan.work.tests:
                    self._execute(folder, record, view)
                code = self._code(folder)
                # again at the end: a log may be cut at either side
                self._emit(record, view, self._capsule(), by="ci")
                self._emit(record, view, {"type": "run-ended", "exit_code": code}, by="ci")
        except CiError as error:
            failure = error
        finally:
            view.close()
        return self._report(folder, failure)

    def _execute(self, folder: RunFolder, record: RecordWriter, view: View) -> None:
        executor = self._make_executor(folder)
        features = {feature for engine in self._catalog.engines.values() for feature in engine.features}
        spec = make_spec(
            self._plan,
            run=folder.name,
            run_dir=str(folder.path),
            token=self._token,
            known_features=tuple(sorted(features)),
        )
        with executor:
            executor.start(spec)
            self._executor = executor
            if self._interrupted:
                executor.stop()
            for event in executor.events():
                self._emit(record, view, event, by="agent" if "seq" in event else "ci")
        for process in executor.swept:
            text = f"swept after the agent's end: process {process.pid} ({process.command})"
            self._emit(record, view, {"type": "note", "text": text}, by="ci")

    def _make_executor(self, folder: RunFolder) -> Executor:
        if self._plan.placement.executor == "docker":
            return DockerExecutor(
                self._plan,
                folder,
                catalog=self._catalog,
                repository=REPOSITORY,
                token=self._token,
                environ=self._environ,
            )
        return HostExecutor(
            self._plan,
            folder,
            token=self._token,
            environ=self._environ,
            limits=self._catalog.limits,
            monotonic_s=clock.monotonic_s,
            sleep_s=clock.sleep_s,
        )

    def _emit(self, record: RecordWriter, view: View, event: dict[str, Any], *, by: Any) -> None:
        event.setdefault("time", clock.iso(clock.utc_now()))
        record.append(event, by=by)
        view.show({**event, "by": by})

    def _started(self, folder: RunFolder) -> dict[str, Any]:
        plan, work = self._plan, self._plan.work
        github = None
        if self._environ.get("GITHUB_ACTIONS") == "true":
            base = (
                f"{self._environ.get('GITHUB_SERVER_URL', '')}/{self._environ.get('GITHUB_REPOSITORY', '')}"
            )
            github = {
                "event": plan.placement.event,
                "run_url": f"{base}/actions/runs/{self._environ.get('GITHUB_RUN_ID', '')}",
            }
        return {
            "type": "run-started",
            "run": folder.name,
            "stage": work.stage,
            "session": self._catalog.stage(work.stage).session,
            "plan_digest": plan.digest,
            "rehearsal": work.rehearsal,
            "rehearsal_because": plan.sources.get("work.hardware_class", "") if work.rehearsal else "",
            "hardware_class": work.hardware_class,
            "engine": f"{work.engine} {work.engine_version}".strip(),
            "executor": plan.placement.executor,
            "commit": work.commit,
            "command": shlex.join(plan.placement.command),
            "python": plan.placement.python_version,
            "github": github,
            "tests": [
                {"suite": suite.id, "test": test.id, "est_s": test.est_s}
                for suite in work.suites
                for test in suite.tests
            ],
            "skipped_suites": [
                {"suite": row.suite, "because": row.because} for row in plan.left_out if not row.test
            ],
            "disabled": [
                {"suite": row.suite, "test": row.test, "because": row.because}
                for row in plan.left_out
                if row.test
            ],
            "quarantine": [
                {
                    "test": row.test,
                    "reason": row.reason,
                    "issue": row.issue,
                    "since": row.since.isoformat(),
                    "expires": row.expires.isoformat(),
                }
                for test in work.quarantine
                if (row := self._catalog.quarantine.row(test, work.hardware_class)) is not None
            ],
            "empty_shards": [
                {"suite": suite.id, "shard": str(suite.shard)}
                for suite in work.suites
                if not suite.tests and suite.shard is not None
            ],
        }

    def _capsule(self) -> dict[str, Any]:
        """The plan in one line, for whoever has nothing but the log."""
        return {"type": "capsule", "text": capsule.encode(self._plan)}

    def _code(self, folder: RunFolder) -> int:
        code = exit_code(fold(read_events(folder.events)))
        return worst((code, int(ExitCode.INTERRUPTED) if self._interrupted else code))

    def _report(self, folder: RunFolder, failure: CiError | None) -> int:
        """Write every report that can be written, show the end, and say the worst of what happened."""
        record = fold(read_events(folder.events))
        codes = [exit_code(record)]
        if self._interrupted:
            codes.append(int(ExitCode.INTERRUPTED))
        console = open_console(self._environ, json=self._options.json)
        written = write_reports(record, folder.path, environ=self._environ, limits=self._limits)
        show_final(console, record, folder.path, written, limits=self._limits)
        if failure is not None:
            codes.append(int(failure.exit_code))
            sys.stderr.write(failure.render() + "\n")
            sys.stderr.flush()
        code = worst(codes)
        if code:
            # the last line of a failed run, where people and scrapers look first
            console.print(Text(f"repeat it: {one_line(repeat(record))}"), soft_wrap=True)
        return code
