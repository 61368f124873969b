"""`./inv repro SOURCE`: understand a red run and repeat it."""

import json
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import is_secret
from ci.cli.planning import read_plan
from ci.cli.repro_options import EXAMPLE, read_repro_options
from ci.errors import CiError, ExitCode, NothingSelectedError, Problem, UsageError
from ci.facts.gather import REPOSITORY, discover_tests, find_today, runs_dir
from ci.facts.git import commit_of
from ci.github.job_names import job_name, looks_like_a_job
from ci.plan.model import Plan
from ci.record.fold import fold, read_events
from ci.report.console import open_console
from ci.repro.docker_line import docker_line, inside_lines
from ci.repro.log_text import decode_log
from ci.repro.rerun import Again, Bisected, Repeated, only_tests
from ci.repro.source import Understood, from_name, from_plan
from ci.repro.understand import from_job, from_log, from_test
from ci.repro.view import show_result, show_understood
from ci.repro.worktree import resolve_commit, stop_after_owner, sweep_trees, work_tree
from ci.system.environ import read_environ
from ci.system.signals import stop_once

__all__ = ["repro"]


def repro(arguments: Sequence[str]) -> int:
    """`SOURCE [options]`: print what was understood and the lines that repeat it; with `--run` do it."""
    known = read_repro_options(arguments)
    catalog, environ = load_catalog(), read_environ()
    if known.bisect_step:
        return _step(Path(known.bisect_step), catalog, environ)
    if known.run:
        stop_once(lambda _number: None)
    try:
        return _Repro(known, catalog, environ).act()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was started has ended, work trees are removed\n")
        return int(ExitCode.INTERRUPTED)


def _step(file: Path, catalog: Catalog, environ: Mapping[str, str]) -> int:
    """One commit of a bisection, for `git bisect run`; only its codes come out, whatever happens."""
    spec = json.loads(file.read_text())
    again = Again(
        repository=REPOSITORY,
        runs=Path(spec["runs"]),
        session=spec["session"],
        environ={name: value for name, value in environ.items() if name != "PYTHONPATH"},
        confirmations=catalog.limits.policy.bisect_confirmations,
        say=_say,
        for_people=True,
    )
    tree = Path(spec["tree"])
    stop_once(lambda _number: None)
    # git and a shell stand between us and the call that we belong to
    threading.Thread(target=lambda: stop_after_owner(tree), daemon=True).start()
    try:
        return again.judge(read_plan(Path(spec["plan"])), tree)
    except KeyboardInterrupt:
        return 128
    except CiError as error:
        sys.stderr.write(error.render() + "\n")
        return 128


class _Repro:
    """One call of the verb."""

    def __init__(self, known: Any, catalog: Catalog, environ: Mapping[str, str]) -> None:
        self._known = known
        self._catalog = catalog
        self._environ = environ
        self._runs = runs_dir(environ)
        self._console = open_console(environ, json=known.json)
        self._report: dict[str, Any] = {}

    def act(self) -> int:
        """Understand, show, and with `--run` do; returns the exit code."""
        for tree in sweep_trees(self._runs):
            _say(f"swept: work tree {tree} of a call that was killed")
        found = self._understand()
        plan = self._plan(found)
        self._show(found, plan)
        code = 0
        if plan is not None and plan.work.container is not None:
            self._check_image(plan)
        if found.fatal:
            self._finish(int(ExitCode.USAGE))
            raise UsageError(found.problem, cause="what was understood so far is above", then=EXAMPLE)
        if self._known.run:
            code = self._run(found, plan)
        return self._finish(code)

    # --- the source ---------------------------------------------------------------------------------------

    def _understand(self) -> Understood:
        source, digest = self._known.source, self._known.digest
        if source == "-":
            text = decode_log(sys.stdin.buffer.read(), where="standard input")
            return from_log(text, self._catalog, where="standard input", digest=digest)
        if source.startswith(("http://", "https://")):
            return self._from_link(source)
        path = Path(source).expanduser()
        if path.is_dir():
            return self._from_folder(path)
        if path.is_file():
            return self._from_file(path)
        if looks_like_a_job(source, self._catalog):
            return from_name(job_name(source, self._catalog), where="the name")
        if ".py" in source or "::" in source or source.startswith("test_"):
            root, tests = discover_tests(self._catalog, self._known.checkout)
            return from_test(source, self._catalog, tests, root=root, sglang=bool(self._known.checkout))
        raise UsageError(
            f"{source!r} is no file, no folder, no link, no job name and no test",
            cause="a job's name is SUITE (LABEL, I/N), a test's ends with .py",
            then=EXAMPLE,
        )

    def _from_folder(self, folder: Path) -> Understood:
        plan = read_plan(folder)
        events = folder / "events.jsonl"
        failed: tuple[str, ...] = ()
        if events.is_file():
            record = fold(read_events(events))
            failed = tuple(test.id for test in record.tests if test.status in ("failed", "not-run"))
        return from_plan(plan, kind="run folder", where=str(folder), failed=failed)

    def _from_file(self, path: Path) -> Understood:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}", then=f"ls -l {path}") from error
        if path.name == "events.jsonl" and (path.parent / "plan.json").is_file():
            return self._from_folder(path.parent)
        if data.lstrip()[:1] == b"{" and path.suffix == ".json":
            return from_plan(read_plan(path), kind="plan", where=str(path))
        text = decode_log(data, where=str(path))
        return from_log(text, self._catalog, where=str(path), digest=self._known.digest)

    def _from_link(self, url: str) -> Understood:
        # it takes 0.1 s to import and is not needed for what is on this machine
        from ci.github.api import GitHub, api_base, parse_link  # noqa: PLC0415

        link = parse_link(url)
        base = api_base(link, self._environ, self._known.api)
        _say(f"asking {base.url} ({base.why})")
        with GitHub(base, _say) as github:
            if link.job:
                job = github.job(link)
            else:
                job = self._one_job(github.jobs(link), link.run)
                link = replace(link, job=int(job["id"]))
            log, problem = "", ""
            try:
                log = decode_log(github.log(link), where=f"the log of job {link.job}")
            except UsageError as error:
                problem = f"{error.what}; {error.cause}"
        return from_job(job, log, problem, self._catalog, where=f"job {link.job}", digest=self._known.digest)

    def _one_job(self, jobs: Sequence[Mapping[str, Any]], run: int) -> Mapping[str, Any]:
        """The only failed job of a run that is of a suite.

        Raises:
            NothingSelectedError: none failed.
            UsageError: several did.
        """
        failed = [job for job in jobs if job.get("conclusion") in ("failure", "timed_out", "cancelled")]
        tests = [job for job in failed if looks_like_a_job(str(job.get("name", "")), self._catalog)]
        chosen = tests or failed
        if len(chosen) == 1:
            return chosen[0]
        if not chosen:
            raise NothingSelectedError(
                f"none of the {len(jobs)} jobs of run {run} failed", then="name a job by its own address"
            )
        problems = [
            Problem(
                where=str(job.get("name")),
                what=str(job.get("conclusion")),
                hint=f"./inv repro {job.get('html_url')}",
            )
            for job in chosen
        ]
        raise UsageError(
            f"{len(chosen)} jobs of run {run} failed: which one?",
            problems=problems,
            then="run one of these lines",
        )

    # --- what it means here -------------------------------------------------------------------------------

    def _plan(self, found: Understood) -> Plan | None:
        """The plan that is repeated: the source's own, or the failed tests of it; SGLang's tree is the one here."""
        plan = found.plan
        if plan is not None and plan.work.checkout and self._known.checkout:
            tree = str(Path(self._known.checkout).expanduser().absolute())
            plan = replace(plan, placement=replace(plan.placement, root=tree))
        if not self._known.failed:
            return plan
        if not found.failed:
            raise NothingSelectedError(
                f"--failed: {self._known.source} names no failed test",
                cause="nothing failed in it, or it is only a plan or a name",
                then="leave out --failed",
            )
        return only_tests(plan, found.failed) if plan is not None else None

    def _arguments(self, found: Understood) -> tuple[str, ...]:
        """The options of the session as it was asked for."""
        asked = found.asked
        if self._known.failed and not asked.tests:
            asked = replace(asked, tests=found.failed, shard=None, command=())
        return asked.arguments(self._known.checkout or "SGLANG_TREE")

    def _again(self, found: Understood) -> Again:
        return Again(
            repository=REPOSITORY,
            runs=self._runs,
            session=self._catalog.stage(found.asked.stage).session,
            environ=self._environ,
            confirmations=self._catalog.limits.policy.bisect_confirmations,
            say=_say,
            for_people=self._known.json,
        )

    def _show(self, found: Understood, plan: Plan | None) -> None:
        session = self._catalog.stage(found.asked.stage).session
        again = self._again(found)
        lines: dict[str, str] = {}
        if plan is not None:
            lines["the same plan"] = shlex.join(
                ("nox", "-s", session, "--", "--plan", str(again.write(plan)))
            )
        words = self._arguments(found)
        lines["as it was asked for"] = shlex.join(("nox", "-s", session, *(("--", *words) if words else ())))
        lines |= self._docker(found, plan)
        if plan is not None:
            lines |= self._commit_lines(plan)
        self._report = {
            "kind": found.kind,
            "facts": [
                {"what": fact.what, "value": fact.value, "source": fact.source} for fact in found.facts
            ],
            "digest": plan.digest if plan is not None else "",
            "failed": list(found.failed),
            "missing": list(found.missing),
            "problem": found.problem,
            "lines": lines,
        }
        if not self._known.json:
            show_understood(self._console, found, lines)

    def _docker(self, found: Understood, plan: Plan | None) -> dict[str, str]:
        """The container by hand, and what to type in it."""
        if plan is None:
            return {"docker": f"(none: a {found.kind} does not say which image it was)"}
        if plan.work.container is None:
            return {"docker": "(none: the plan was run without a container)"}
        if not plan.work.image:
            return {"docker": "(none: the plan's image was not resolved)"}
        secrets = [name for name in plan.placement.pass_through if is_secret(name, self._catalog.secrets)]
        # the plan's own file is there
        folder = self._again(found).write(plan).parent
        line = docker_line(plan, root=str(REPOSITORY), run_dir=str(folder), secrets=secrets)
        inside = {f"inside, {number}": text for number, text in enumerate(inside_lines(plan), start=1)}
        return {"docker": line, **inside}

    def _check_image(self, plan: Plan) -> None:
        """Say where the plan's image is.

        Raises:
            UsageError: it is gone.
        """
        try:
            # the SDK and the registries' client are not there in every environment, nor needed by other plans
            from ci.repro.image import check_image  # noqa: PLC0415
        except ImportError as error:
            text = f"not looked for: {error}"
        else:
            try:
                text = check_image(plan, self._catalog, self._environ, today=find_today(self._environ)[0])
            except UsageError as error:
                self._report["problem"] = error.what
                self._finish(int(ExitCode.USAGE))
                raise
        _say(f"image of the plan: {text}")

    def _commit_lines(self, plan: Plan) -> dict[str, str]:
        """What to do when this tree is not at the plan's commit."""
        here = commit_of(REPOSITORY).text
        wanted, _, dirty = plan.work.commit.partition("+")
        if here == plan.work.commit:
            return {}
        lines = {"note": f"the plan is of commit {plan.work.commit}, this tree is at {here}"}
        if dirty:
            lines["note"] += "; its tree had changes that were never committed: they can't be had"
        if wanted != "unknown":
            lines["its commit"] = shlex.join(("git", "worktree", "add", f"../amd-ci-{wanted[:12]}", wanted))
        return lines

    # --- doing it -----------------------------------------------------------------------------------------

    def _run(self, found: Understood, plan: Plan | None) -> int:
        again = self._again(found)
        if (
            found.asked.sglang
            and not self._known.checkout
            and not (plan is not None and Path(plan.placement.root, "test").is_dir())
        ):
            raise UsageError(
                "these are tests of SGLang's own tree, which is not known here",
                cause="the source does not say where it is on this machine",
                then="add --checkout PATH",
            )
        if plan is None:
            if self._known.bisect:
                raise UsageError(
                    "--bisect needs a whole plan",
                    cause=f"a {found.kind} is not one",
                    then="name a run folder or its log",
                )
            if found.missing:
                _say(f"not the same plan: {', '.join(found.missing)} are not known")
            words = self._arguments(found)
            return self._do(again, lambda: again.nox(words))
        if self._known.bisect:
            good, _, bad = self._known.bisect.partition("..")
            source = Path(plan.placement.root) if plan.work.checkout else REPOSITORY
            return self._bisected(again.bisect(plan, source, good, bad.lstrip(".")))
        here = commit_of(REPOSITORY).text
        if here == plan.work.commit:
            return self._do(again, lambda: again.plan(plan))
        if "+" in plan.work.commit or plan.work.commit == "unknown":
            raise UsageError(
                f"the plan is of commit {plan.work.commit}, which can't be had",
                cause="its tree had changes that were never committed"
                if "+" in plan.work.commit
                else "nobody knows it",
                then=f"what was asked for, on this tree: {self._report['lines']['as it was asked for']}",
            )
        commit = resolve_commit(REPOSITORY, plan.work.commit)
        with work_tree(REPOSITORY, commit, self._runs) as tree:
            _say(f"commit {commit} in a work tree of its own: {tree}")
            return self._do(again, lambda: again.plan(plan, tree))

    def _do(self, again: Again, run: Any) -> int:
        if not self._known.repeat:
            code = int(run())
            self._report["runs"] = {"runs": 1, "code": code}
            return code
        repeated = again.repeat(run, int(self._known.repeat))
        return self._repeated(repeated)

    def _repeated(self, repeated: Repeated) -> int:
        self._report["runs"] = {
            "runs": repeated.runs,
            "passed": repeated.passed,
            "unclear": repeated.unclear,
            "code": repeated.code,
        }
        _say(repeated.words)
        return repeated.code

    def _bisected(self, found: Bisected) -> int:
        self._report["bisect"] = {
            "first_bad": found.first_bad,
            "subject": found.subject,
            "between": list(found.between),
        }
        if not self._known.json:
            show_result(self._console, found)
        # nothing was found out for sure when only commits that can't be tested are left
        return 0 if found.first_bad else int(ExitCode.INFRASTRUCTURE)

    def _finish(self, code: int) -> int:
        if self._known.json:
            sys.stdout.write(json.dumps({**self._report, "exit_code": code}, indent=1) + "\n")
        return code


def _say(line: str) -> None:
    """Progress is for people, also when standard output is for machines."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
