"""`./inv repro SOURCE`: understand a red run, show the lines that repeat it, and with `--run` do it."""

import shlex
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import is_secret
from ci.errors import CiError, ExitCode, NothingSelectedError, Problem, UsageError
from ci.execute.run_folder import read_plan
from ci.facts.gather import REPOSITORY, find_today, runs_dir
from ci.facts.git import commit_of
from ci.plan.compare.replay import only_tests, placing_words
from ci.plan.model import Plan
from ci.report.console import open_console, say
from ci.repro.docker_line import docker_line, inside_lines
from ci.repro.find import find_run
from ci.repro.image import check_image
from ci.repro.lines import repeat_lines, session_line, tree_lines, words_of
from ci.repro.options import EXAMPLE, ReproOptions
from ci.repro.rerun import ABORT, Again, Bisected, read_step
from ci.repro.source import Understood
from ci.repro.view import show_report, show_result, show_understood
from ci.repro.worktree import resolve_commit, stop_after_owner, sweep_trees, work_tree

__all__ = ["Repro", "bisect_step"]


def bisect_step(file: Path, catalog: Catalog, environ: Mapping[str, str]) -> int:
    """One commit of a bisection, for `git bisect run`; only its codes come out, whatever happens."""
    step = read_step(file)
    again = Again(
        repository=REPOSITORY,
        runs=step.runs,
        session=step.session,
        environ={name: value for name, value in environ.items() if name != "PYTHONPATH"},
        confirmations=catalog.limits.policy.bisect_confirmations,
        say=say,
        for_people=True,
        executor=step.executor,
    )
    # git and a shell are between this process and the verb's
    threading.Thread(target=lambda: stop_after_owner(step.tree), daemon=True).start()
    try:
        return again.judge(read_plan(step.plan), step.tree)
    except KeyboardInterrupt:
        return ABORT
    except CiError as error:
        say(error.render())
        return ABORT


class Repro:
    """One call of the verb."""

    def __init__(self, options: ReproOptions, catalog: Catalog, environ: Mapping[str, str]) -> None:
        self._options = options
        self._catalog = catalog
        self._environ = environ
        self._runs = runs_dir(environ)
        self._console = open_console(environ, json=options.json)
        self._report: dict[str, Any] = {}

    def act(self) -> int:
        """Understand, show, and with `run` do; returns the exit code."""
        for tree in sweep_trees(self._runs):
            say(f"removed the work tree {tree} of a killed call")
        found = find_run(self._options, self._catalog, self._environ)
        self._refuse_ignored(found)
        plan = self._plan(found)
        self._show(found, plan)
        if plan is not None and plan.work.container is not None:
            self._check_image(plan)
        if found.fatal:
            self._finish(int(ExitCode.USAGE))
            raise UsageError(found.problem, cause="what was understood so far is above", then=EXAMPLE)
        if self._options.run:
            return self._finish(self._run(found, plan))
        # a job that never came to its tests ends as what ended it
        return self._finish(int(found.stopped.verdict.row.exit_code) if found.stopped is not None else 0)

    def _refuse_ignored(self, found: Understood) -> None:
        """Stop when an option can have no effect on this source.

        Raises:
            UsageError: one has none.
        """
        plan = found.plan
        if self._options.executor is not None and plan is None:
            raise UsageError(
                f"--executor has no effect: a {found.kind} holds no whole plan",
                then="leave it out, and add it to the line",
            )
        if self._options.checkout and plan is not None and not plan.work.checkout:
            raise UsageError(
                "--checkout has no effect: the plan is of this repository's own tests",
                then="leave out --checkout",
            )

    # --- what it means here -------------------------------------------------------------------------------

    def _plan(self, found: Understood) -> Plan | None:
        """The plan that is repeated: the source's own, or the failed tests of it; SGLang's tree is the one here."""
        plan = found.plan
        if plan is not None and plan.work.checkout and self._options.checkout:
            tree = str(Path(self._options.checkout).expanduser().absolute())
            plan = replace(plan, placement=replace(plan.placement, root=tree))
        if not self._options.failed:
            return plan
        if not found.failed:
            raise NothingSelectedError(
                f"--failed: {self._options.source} names no failed test",
                cause="nothing failed in it, or it is only a plan or a name",
                then="leave out --failed",
            )
        return only_tests(self._catalog, plan, found.failed) if plan is not None else None

    def _again(self, found: Understood) -> Again:
        return Again(
            repository=REPOSITORY,
            runs=self._runs,
            session=self._catalog.stage(found.asked.stage).session,
            environ=self._environ,
            confirmations=self._catalog.limits.policy.bisect_confirmations,
            say=say,
            for_people=self._options.json,
            executor=self._options.executor,
        )

    def _show(self, found: Understood, plan: Plan | None) -> None:
        lines = self._lines(found, plan)
        self._report = {
            "kind": found.kind,
            "facts": [asdict(fact) for fact in found.facts],
            "digest": plan.digest if plan is not None else "",
            "failed": list(found.failed_nodes),
            "missing": list(found.missing),
            "problem": found.problem,
            "dropped": list(found.dropped),
            "verdict": str(found.stopped.verdict) if found.stopped is not None else "",
            "lines": lines,
        }
        if not self._options.json:
            show_understood(self._console, found, lines)

    def _lines(self, found: Understood, plan: Plan | None) -> dict[str, str]:
        """What to type to repeat it, by what each line is for."""
        lines: dict[str, str] = {}
        if plan is not None:
            again, stage = self._again(found), found.asked.stage
            lines["the same plan"] = session_line(self._catalog, stage, again.words(plan))
            # without such words the line above is for the cluster already
            if self._options.executor is None and placing_words(plan, None):
                there = replace(again, executor=plan.placement.executor)
                lines["the same plan, there"] = session_line(self._catalog, stage, there.words(plan))
        lines |= repeat_lines(
            found, self._catalog, checkout=self._options.checkout, failed_only=self._options.failed
        )
        lines |= self._docker(found, plan)
        if plan is not None:
            lines |= _commit_lines(plan)
        return lines | tree_lines(found, self._options.checkout)

    def _docker(self, found: Understood, plan: Plan | None) -> dict[str, str]:
        """The container by hand, and what to type in it."""
        if plan is None and found.asked.image:
            return {}  # the line has the image
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
            text = check_image(plan, self._catalog, self._environ, today=find_today(self._environ)[0])
        except UsageError as error:
            self._report["problem"] = error.what
            self._finish(int(ExitCode.USAGE))
            raise
        say(f"image of the plan: {text}")

    # --- doing it -----------------------------------------------------------------------------------------

    def _run(self, found: Understood, plan: Plan | None) -> int:
        if not found.asked.stage:
            raise UsageError(
                found.problem or "no session runs this", cause="what was understood is above", then=EXAMPLE
            )
        again = self._again(found)
        here = plan is not None and Path(plan.placement.root, "test").is_dir()
        if found.asked.sglang and not self._options.checkout and not here:
            raise UsageError(
                "these are tests of SGLang's own tree, which is not known here",
                cause="the source does not say where it is on this machine",
                then="add --checkout PATH",
            )
        if plan is not None:
            return self._run_plan(again, plan)
        if self._options.bisect:
            raise UsageError(
                "--bisect needs a whole plan",
                cause=f"a {found.kind} is not one",
                then="name a run folder or its log",
            )
        if found.missing:
            say(f"not the same plan: {', '.join(found.missing)} are not known")
        if found.more:
            raise UsageError(
                f"{1 + len(found.more)} commands of this source failed",
                problems=[
                    Problem(where=each.what, what="has a line of its own above") for each in found.more
                ],
                then="run one of these lines",
            )
        words = words_of(
            found.asked, found.failed_nodes, self._options.checkout, failed_only=self._options.failed
        )
        return self._do(again, lambda: again.nox(words))

    def _run_plan(self, again: Again, plan: Plan) -> int:
        """Run a plan at its own commit: in this tree when that is it, else in a work tree."""
        if self._options.bisect:
            good, bad = self._options.bisect
            source = Path(plan.placement.root) if plan.work.checkout else REPOSITORY
            return self._bisected(again.bisect(plan, source, good, bad))
        if commit_of(REPOSITORY).text == plan.work.commit:
            return self._do(again, lambda: again.plan(plan))
        changed = "+" in plan.work.commit
        if changed or plan.work.commit == "unknown":
            raise UsageError(
                f"the plan is of commit {plan.work.commit}, which is not available",
                cause="its tree had changes that were never committed" if changed else "nothing names it",
                then=f"the original command, on this tree: {self._report['lines']['the original command']}",
            )
        commit = resolve_commit(REPOSITORY, plan.work.commit)
        with work_tree(REPOSITORY, commit, self._runs) as tree:
            say(f"commit {commit} in a work tree of its own: {tree}")
            return self._do(again, lambda: again.plan(plan, tree))

    def _do(self, again: Again, run: Callable[[], int]) -> int:
        if not self._options.repeat:
            code = run()
            self._report["runs"] = {"runs": 1, "code": code}
            return code
        repeated = again.repeat(run, self._options.repeat)
        self._report["runs"] = asdict(repeated)
        say(repeated.words)
        return repeated.code

    def _bisected(self, found: Bisected) -> int:
        self._report["bisect"] = asdict(found)
        if not self._options.json:
            show_result(self._console, found)
        # nothing was found out for sure when only commits that cannot be tested are left
        return 0 if found.first_bad else int(ExitCode.INFRASTRUCTURE)

    def _finish(self, code: int) -> int:
        if self._options.json:
            show_report({**self._report, "exit_code": code})
        return code


def _commit_lines(plan: Plan) -> dict[str, str]:
    """What to do when this tree is not at the plan's commit."""
    here = commit_of(REPOSITORY).text
    wanted, _, changes = plan.work.commit.partition("+")
    if here == plan.work.commit:
        return {}
    lines = {"note": f"the plan is of commit {plan.work.commit}, this tree is at {here}"}
    if changes:
        lines["note"] += "; its tree had changes that were never committed: they are lost"
    if wanted != "unknown":
        lines["its commit"] = shlex.join(("git", "worktree", "add", f"../amd-ci-{wanted[:12]}", wanted))
    return lines
