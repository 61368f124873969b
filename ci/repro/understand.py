"""From a source (a log, a job of Actions, a test's name) to the run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.errors import Problem, UsageError
from ci.github.job_names import JobName, job_name
from ci.plan.compare.capsule import Capsule, decode, find
from ci.plan.select import resolve_file
from ci.plan.shards import Shard
from ci.plan.tree.model import TreeFacts
from ci.repro.lines import session_line
from ci.repro.log.names import node_of
from ci.repro.log.ours import read_results
from ci.repro.log.reader import read_jobs
from ci.repro.log.text import LogLine, clean, day_of
from ci.repro.log.values import JobLog
from ci.repro.sglang_job import from_jobs
from ci.repro.source import Asked, Fact, Understood, from_name, from_plan

__all__ = ["ReadLog", "from_job", "from_log", "from_test", "read_log"]

# the plan of the largest stage has 40 KB; what unpacks to far more is not a plan
_CAPSULE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """A log that was read: its lines, the capsules of our own runs in it, and without one the jobs of SGLang's."""

    lines: Sequence[LogLine]
    capsules: Sequence[Capsule]
    jobs: Sequence[JobLog]


def read_log(text: str) -> ReadLog:
    """Read a log once, for whatever is asked of it."""
    lines = list(clean(text))
    capsules = [decode(line, limit_bytes=_CAPSULE_BYTES) for line in find(line.text for line in lines)]
    return ReadLog(
        lines=lines, capsules=capsules, jobs=() if capsules else read_jobs(lines, day=day_of(text))
    )


def from_log(
    text: str,
    catalog: Catalog,
    *,
    where: str,
    digest: str = "",
    job: JobName | None = None,
    checkout: str = "",
) -> Understood:
    """Our own log (it holds a capsule) or one of SGLang's present CI (it holds calls of `run_suite.py`).

    Raises:
        UsageError: it is neither, or of several runs of which `digest` names none.
    """
    read = read_log(text)
    if read.capsules:
        return _from_capsules(read.capsules, read.lines, where=where, digest=digest)
    if digest:
        raise UsageError(
            f"--digest: {where} has no capsule",
            cause="it is no log of this project",
            then=f"./inv repro {where}",
        )
    found = from_jobs(read.jobs, catalog, where=where, named=job, checkout=checkout)
    if found is not None:
        return found
    if job is not None:
        problem = f"{where} holds no capsule and no call of run_suite.py"
        return from_name(job, where=where, problem=problem, checkout=bool(checkout))
    raise UsageError(
        f"{where} has no run: neither a capsule nor a call of run_suite.py for AMD",
        cause=f"{len(read.lines)} lines were read; it was truncated before the run's start, or is the log of another job",
        then="name the job as Actions shows it: ./inv repro 'SUITE (LABEL, I/N)'",
    )


def _from_capsules(
    capsules: Sequence[Capsule], lines: Sequence[LogLine], *, where: str, digest: str
) -> Understood:
    """The one run that the capsules are of; of two capsules of a run a whole one is taken."""
    chosen = [capsule for capsule in capsules if capsule.digest.startswith(digest)]
    # a damaged copy of a plan that another capsule has whole says nothing more
    whole = {capsule.plan.digest: capsule.plan for capsule in chosen if capsule.plan is not None}
    if len(whole) > 1 or not chosen:
        problems = [
            Problem(
                where=one.digest,
                what=f"{one.stage}, {_suites_words(one.parts)}",
                hint=f"--digest {one.digest}",
            )
            for one in {
                one.digest: one for one in (chosen or capsules) if one.plan is not None or not whole
            }.values()
        ]
        what = "holds several runs" if chosen else f"holds no run whose digest begins with {digest}"
        raise UsageError(f"{where} {what}", problems=problems, then="name one: --digest DIGEST")
    if whole:
        (plan,) = whole.values()
        found = from_plan(
            plan, kind="log with a capsule", where=f"capsule in {where}", failed=_of_any_suite(_failed(lines))
        )
        spoiled = [one for one in chosen if one.plan is None]
        if not spoiled:
            return found
        note = Fact(what="note", value=f"another capsule is damaged: {spoiled[0].problem}", source=where)
        return replace(found, facts=(*found.facts, note))
    best = max(chosen, key=lambda one: len(one.parts))
    return _from_partial(best, where=where, failed=_failed(lines))


def _from_partial(capsule: Capsule, *, where: str, failed: Sequence[str]) -> Understood:
    parts = capsule.parts
    source = f"part of a capsule in {where}"
    suites = parts.get("suites") or parts.get("suites, some") or []
    values = {
        "stage": capsule.stage,
        "digest": capsule.digest,
        **{
            name: str(parts[name])
            for name in ("commit", "checkout", "hardware_class", "engine", "image")
            if parts.get(name)
        },
        "suites": _suites_words(parts),
        "tests": str(sum(len(suite.get("tests", ())) for suite in suites)) if suites else "",
        "failed": ", ".join(failed),
    }
    cut = capsule.problem.startswith("it was cut")
    one = suites[0] if len(suites) == 1 else {}
    command = tuple(parts.get("placement.command", ()))
    return Understood(
        kind="log with a part of a capsule",
        facts=tuple(Fact(what=name, value=value, source=source) for name, value in values.items() if value),
        asked=Asked(
            stage=capsule.stage,
            suite=str(one.get("id", "")),
            shard=_shard_of(one),
            sglang=bool(parts.get("checkout")),
            command=command if command[:2] == ("nox", "-s") else (),
        ),
        failed=_of_any_suite(failed),
        missing=capsule.missing,
        problem=f"the capsule in {where} is damaged: {capsule.problem}",
        fatal=not cut,
    )


def _shard_of(suite: Mapping[str, Any]) -> Shard | None:
    shard = suite.get("shard")
    if not isinstance(shard, dict) or not all(isinstance(shard.get(key), int) for key in ("index", "count")):
        return None
    return Shard(index=shard["index"], count=shard["count"])


def _suites_words(parts: Mapping[str, Any]) -> str:
    suites = parts.get("suites") or parts.get("suites, some") or []
    words = [
        str(suite.get("id", "?")) + (f" shard {shard}" if (shard := _shard_of(suite)) is not None else "")
        for suite in suites
    ]
    more = ["..."] if "suites, some" in parts else []
    return ", ".join([*words, *more])


def _failed(lines: Iterable[LogLine]) -> tuple[str, ...]:
    """Tests whose last word in the log is that they failed or never ended."""
    return tuple(each.file for each in read_results(lines) if each.failed)


def _of_any_suite(nodes: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Failed tests of a source that does not name their suites."""
    return tuple(("", node) for node in nodes)


def from_job(
    job: Mapping[str, Any],
    log: str,
    problem: str,
    catalog: Catalog,
    *,
    where: str,
    digest: str = "",
    checkout: str = "",
    tree: TreeFacts | None = None,
) -> Understood:
    """A job as GitHub's API describes it, with its log; `problem` says why there is no log.

    Raises:
        UsageError: neither the log nor the name can be understood.
    """
    name = str(job.get("name", ""))
    known = {
        "job": name,
        "conclusion": str(job.get("conclusion") or job.get("status") or ""),
        "commit of the workflow": str(job.get("head_sha", "")),
        "runner's labels": ", ".join(map(str, job.get("labels") or ())),
    }
    facts = tuple(Fact(what=key, value=value, source=where) for key, value in known.items() if value)
    try:
        named = job_name(name, catalog, tree, workflow=str(job.get("workflow_name") or ""))
    except UsageError as error:
        if problem:
            raise UsageError(
                problem,
                problems=[*(Problem(where=fact.what, what=fact.value) for fact in facts), *error.problems],
                cause=error.cause,
                then=error.then,
            ) from error
        named = None
    if problem and named is not None:
        found = from_name(named, where="the job's name", problem=problem, checkout=bool(checkout))
    else:
        found = from_log(
            log, catalog, where=f"the log of {where}", digest=digest, job=named, checkout=checkout
        )
        if named is not None and found.plan is None:
            readings = tuple(
                Fact(what="reading", value=words, source="the job's name") for words in named.readings
            )
            found = replace(found, facts=(*found.facts, *readings))
    if found.asked.sglang and not found.asked.commit and found.plan is None:
        found = replace(found, asked=replace(found.asked, commit=known["commit of the workflow"]))
    return replace(found, kind=f"job of Actions: {found.kind}", facts=(*facts, *found.facts))


def from_test(name: str, catalog: Catalog, tests: Discovery, *, root: Path, sglang: bool) -> Understood:
    """A failing test's name, `test_x.py` or a node id: the suite that it is registered for.

    Raises:
        UsageError: no such test is registered, or it is for several suites.
    """
    file, case = node_of(name)
    if not file:
        raise UsageError(
            f"{name!r} names no file",
            cause="a case alone may be in many files",
            then=f"./inv repro FILE.py::{case or 'TestX::test_y'}",
        )
    rows = [row for row in tests.registrations if row.backend == "amd"]
    path = resolve_file(file, {row.file for row in rows})
    suites = {suite.name: suite for suite in catalog.suites}
    found = [suites[row.suite] for row in rows if row.file == path and row.suite in suites]
    if path is None or not found:
        what = "is registered for no suite of the catalog" if path is not None else "is not registered"
        raise UsageError(
            f"{name} {what} in {root}",
            cause=closest(file, {row.file for row in rows}),
            then="a test of SGLang's own tree: add --checkout PATH; a job: ./inv repro 'SUITE (LABEL, I/N)'",
        )
    node = f"{path}::{case}" if case else path
    if len(found) > 1:
        problems = [
            Problem(
                where=suite.name,
                what=session_line(
                    catalog,
                    suite.stage,
                    Asked(stage=suite.stage, suite=suite.id, tests=(node,), sglang=sglang).arguments(
                        str(root)
                    ),
                ),
            )
            for suite in found
        ]
        raise UsageError(
            f"{path} is registered for {len(found)} suites", problems=problems, then="run one of these lines"
        )
    facts = [
        Fact(what="test", value=node, source=f"registered in {root}"),
        Fact(what="suite", value=found[0].name, source=f"registered in {root}"),
    ]
    return Understood(
        kind="test name",
        facts=tuple(facts),
        asked=Asked(stage=found[0].stage, suite=found[0].id, tests=(node,), sglang=sglang),
        failed=_of_any_suite((node,)),
    )
