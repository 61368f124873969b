"""From a source (a folder, a file, a link, a name) to the run."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog
from ci.errors import NothingSelectedError, Problem, UsageError
from ci.execute.run_folder import RunFolder, read_plan
from ci.facts.gather import discover_tests
from ci.facts.tree.catalog import view_tree
from ci.github.api import GitHub, api_base, parse_link
from ci.github.job_names import job_name, looks_like_a_job
from ci.plan.tree.model import TreeFacts
from ci.report.console import say
from ci.repro.log.names import looks_like_a_test
from ci.repro.log.text import decode_log
from ci.repro.options import EXAMPLE, ReproOptions
from ci.repro.source import Understood, from_name, from_plan
from ci.repro.understand import from_job, from_log, from_test
from ci.system.file_lock import cache_dir

__all__ = ["find_run"]


def find_run(options: ReproOptions, catalog: Catalog, environ: Mapping[str, str]) -> Understood:
    """Read the source; a link is asked of GitHub's API, `-` is standard input.

    Raises:
        UsageError: it is nothing that is known, cannot be read, or means several runs.
        NothingSelectedError: it is a run of Actions in which no job failed.
    """
    source, digest = options.source, options.digest
    view = view_tree(catalog, options.checkout, cache_dir(environ)) if options.checkout else None
    tree = view.facts if view is not None else None
    catalog = view.catalog if view is not None else catalog
    if source == "-":
        text = decode_log(sys.stdin.buffer.read(), where="standard input")
        return from_log(text, catalog, where="standard input", digest=digest, checkout=options.checkout)
    if source.startswith(("http://", "https://")):
        return _from_link(options, catalog, environ, tree)
    if options.api:
        raise UsageError("--api has no effect: the source is not a link", then="leave out --api")
    path = Path(source).expanduser()
    if path.is_dir():
        _refuse_digest(options)
        return _from_folder(path)
    if path.is_file():
        return _from_file(path, catalog, options)
    _refuse_digest(options)
    if looks_like_a_test(source):
        root, tests = discover_tests(catalog, options.checkout, cache_dir(environ))
        return from_test(source, catalog, tests, root=root, sglang=bool(options.checkout))
    if looks_like_a_job(source, catalog, tree):
        return from_name(job_name(source, catalog, tree), where="the name", checkout=tree is not None)
    raise UsageError(
        f"{source!r} is not a file, a folder, a link, a job name or a test",
        cause="a job's name is SUITE (LABEL, I/N), a test's ends with .py",
        then=EXAMPLE,
    )


def _refuse_digest(options: ReproOptions) -> None:
    """Stop at `--digest` of a source that holds one run, or none.

    Raises:
        UsageError: it is given.
    """
    if options.digest:
        raise UsageError(
            f"--digest has no effect on {options.source}",
            cause="it names a run of a log that holds several",
            then=f"./inv repro {options.source}",
        )


def _from_folder(folder: Path) -> Understood:
    plan = read_plan(folder)
    failed = RunFolder(path=folder).record().nodes_to_repeat
    return from_plan(plan, kind="run folder", where=str(folder), failed=failed)


def _from_file(path: Path, catalog: Catalog, options: ReproOptions) -> Understood:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", then=f"ls -l {path}") from error
    if path.name == "events.jsonl" and (path.parent / "plan.json").is_file():
        _refuse_digest(options)
        return _from_folder(path.parent)
    if data.lstrip()[:1] == b"{" and path.suffix == ".json":
        _refuse_digest(options)
        return from_plan(read_plan(path), kind="plan", where=str(path))
    text = decode_log(data, where=str(path))
    return from_log(text, catalog, where=str(path), digest=options.digest, checkout=options.checkout)


def _from_link(
    options: ReproOptions, catalog: Catalog, environ: Mapping[str, str], tree: TreeFacts | None
) -> Understood:
    link = parse_link(options.source)
    base = api_base(link, environ, options.api)
    say(f"asking {base.url} ({base.why})")
    with GitHub(base, say) as github:
        if link.job:
            job = github.job(link)
        else:
            job = _failed_job(github.jobs(link), link.run, catalog)
            link = replace(link, job=int(job["id"]))
        log, problem = "", ""
        try:
            log = decode_log(github.log(link), where=f"the log of job {link.job}")
        except UsageError as error:
            problem = f"{error.what}; {error.cause}"
    return from_job(
        job,
        log,
        problem,
        catalog,
        where=f"job {link.job}",
        digest=options.digest,
        checkout=options.checkout,
        tree=tree,
    )


def _failed_job(jobs: Sequence[Mapping[str, Any]], run: int, catalog: Catalog) -> Mapping[str, Any]:
    """The only failed job of a run that is of a suite.

    Raises:
        NothingSelectedError: none failed.
        UsageError: several did.
    """
    failed = [job for job in jobs if job.get("conclusion") in ("failure", "timed_out", "cancelled")]
    tests = [job for job in failed if looks_like_a_job(str(job.get("name", "")), catalog)]
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
