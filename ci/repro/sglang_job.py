"""From the log of SGLang's own job to what repeats it: the suite, part, image and environment that failed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import is_secret
from ci.catalog.stages import Suite
from ci.catalog.toml_reader import closest
from ci.catalog.verdicts import Verdict
from ci.github.job_names import JobName, find_suite
from ci.plan.shards import Shard
from ci.plan.tree.model import CallKind, TestCall
from ci.plan.tree.stages import stage_for
from ci.repro.log.judging import judge_step, step_name
from ci.repro.log.values import Attempt, Call, FileEnd, JobLog, Step
from ci.repro.source import Asked, Fact, More, Stopped, Understood, from_name, hardware_note

__all__ = ["from_jobs", "hardware_of", "nodes_of", "suite_words"]

_LABEL: Final = re.compile(r"\((?P<label>[a-z][\w.-]*)")
# options of the runner that a session has by itself, or that the line has in another form
_KNOWN: Final = frozenset(
    {
        "--hw",
        "--suite",
        "--nightly",
        "--auto-partition-id",
        "--auto-partition-size",
        "--partition-id",
        "--total-partitions",
        "--timeout-per-file",
        "--continue-on-error",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A call of a job, with what the job's set-up says of it."""

    job: JobLog
    call: Call


def from_jobs(
    jobs: Sequence[JobLog], catalog: Catalog, *, where: str, named: JobName | None = None, checkout: str = ""
) -> Understood | None:
    """What the jobs of a log ran and what failed; None when no job ran a test or ended before it.

    `catalog` follows the tree of `checkout`, where there is one. Of several commands those that failed are taken, each with a
    line of its own; what failed and passed later in the log has passed.
    """
    calls = [_Found(job=job, call=call) for job in jobs for call in job.calls]
    failing = [found for found in calls if found.call.failed]
    early = [(job, step) for job in jobs if (step := job.stopped_early) is not None]
    if not failing and early:
        return _from_stopped(*early[0], catalog, where=where, named=named, checkout=checkout)
    chosen = failing or calls
    if not chosen:
        return None
    first, *rest = [_from_call(each, catalog, where=where, named=named, checkout=checkout) for each in chosen]
    more = tuple(
        More(what=_where(found, where), asked=each.asked, failed=each.failed)
        for found, each in zip(chosen[1:], rest, strict=True)
    )
    several = [
        Fact(what="command", value=suite_words(found.call.test_call), source=_where(found, where))
        for found in chosen
    ]
    facts = (
        *(several if len(chosen) > 1 else ()),
        *first.facts,
        *(fact for each in rest for fact in each.facts),
    )
    flaky = [file for found in calls for file in found.call.flaky]
    if flaky:
        words = ", ".join(dict.fromkeys(flaky))
        facts = (*facts, Fact(what="flaky", value=f"{words}: failed, then passed in this log", source=where))
    for job, step in early:
        words = f"{job.name or where}: ended in {step_name(step)}, before its tests"
        facts = (*facts, Fact(what="ended early", value=words, source=f"{where}, line {step.begin}"))
    dropped = dict.fromkeys(line for each in (first, *rest) for line in each.dropped)
    return replace(first, facts=tuple(dict.fromkeys(facts)), more=more, dropped=tuple(dropped))


def _where(found: _Found, where: str) -> str:
    job = f"{found.job.name}, " if found.job.name else ""
    return f"{job}{where}, line {found.call.line}"


def suite_words(call: TestCall) -> str:
    """`stage-b-test-1-gpu-small-amd part 3 of 14, K=V` for people."""
    part = f" part {call.part} of {call.parts}" if call.part is not None else ""
    env = "".join(f" {name}={value}" for name, value in call.env)
    return (call.suite or " ".join(call.files) or "a suite without a name") + part + env


def nodes_of(attempt: Attempt) -> tuple[str, ...]:
    """What of a file is run to see the failure again: its failed cases, or the file."""
    if attempt.whole or not attempt.cases:
        return (attempt.file,)
    return tuple(f"{attempt.file}::{case}" for case in attempt.cases)


# --- a call ---------------------------------------------------------------------------------------------------


def _from_call(
    found: _Found, catalog: Catalog, *, where: str, named: JobName | None, checkout: str
) -> Understood:
    call, job = found.call, found.job
    test_call = call.test_call
    source = _where(found, where)
    row, rocm_of_name = _suite_of(call, catalog, named)
    shard = None
    if test_call.part is not None and test_call.parts:
        shard = Shard(index=test_call.part + 1, count=test_call.parts)
    env, left = _env_of(test_call, row, catalog)
    set_up = job.set_up
    stage = row.stage if row is not None else stage_for(catalog, test_call.suite) if test_call.suite else ""
    problem, missing = _problem(call, row, catalog, checkout)
    failed = tuple(("", node) for attempt in call.failed for node in nodes_of(attempt))
    files = test_call.files if row is None or not row.files else ()
    asked = Asked(
        stage=stage if not problem else "",
        suite=row.id if row is not None else test_call.suite,
        shard=shard,
        tests=files,
        env=env,
        rocm=set_up.rocm or rocm_of_name or (named.rocm if named is not None else ""),
        image=set_up.image if _is_published(set_up.image) else "",
        commit=set_up.merged or set_up.commit,
        sglang=True,
    )
    return Understood(
        kind="log of SGLang's run_suite.py"
        if test_call.kind is not CallKind.FILES
        else "log of SGLang's test files",
        facts=tuple(_facts(call, job, shard, source)),
        asked=asked,
        failed=failed,
        missing=missing,
        problem=problem,
        fatal=bool(problem),
        dropped=(*left, *_dropped(call, row, job)),
    )


def _suite_of(call: Call, catalog: Catalog, named: JobName | None) -> tuple[Suite | None, str]:
    """The row of a call's suite, and the ROCm version that its name has; files by themselves are of the suite that has them."""
    test_call = call.test_call
    if test_call.suite:
        found = find_suite(catalog, test_call.suite)
        return (found[0], found[1]) if found is not None else (None, "")
    files = set(test_call.files) or set(call.last)
    row = next((suite for suite in catalog.suites if files and files <= set(suite.files)), None)
    return row or (named.suite if named is not None else None), ""


def _problem(call: Call, row: Suite | None, catalog: Catalog, checkout: str) -> tuple[str, tuple[str, ...]]:
    """What keeps the call from being repeated by a session, and what is missing."""
    test_call = call.test_call
    if test_call.kind is CallKind.OTHER_RUNNER and "multimodal_gen" in test_call.runner:
        return (
            f"{test_call.runner} is a runner of its own, which no session calls: run its command in the container",
            (),
        )
    if not test_call.suite and row is None:
        file = next((each.file for each in call.failed), "FILE")
        then = f"./inv repro {file} --checkout PATH finds it"
        return f"the log does not say which suite it was: it was cut, or ran files by themselves; {then}", (
            "suite",
        )
    if row is None and checkout:
        hint = closest(test_call.suite, [suite.name for suite in catalog.suites])
        return f"{checkout} has no suite {test_call.suite!r}: {hint}", ("suite",)
    return "", ()


def _env_of(
    call: TestCall, row: Suite | None, catalog: Catalog
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """What the call was given beyond the environment that the suite has here anyway; and what cannot be in a line."""
    names = [name for layer in catalog.env_layers for name in layer.sets]
    names += row.env_sets if row is not None else ()
    ours = {
        variable.name: variable.value
        for name in names
        if name in catalog.env_sets
        for variable in catalog.env_sets[name].variables
    }
    kept, left = [], []
    for name, value in dict(call.env).items():
        if name.startswith("GITHUB_") or ours.get(name) == value:
            continue
        if is_secret(name, catalog.secrets):
            left.append(f"{name}: a secret is in no line; it comes from your environment")
        elif "$" in value:
            left.append(f"{name}={value}: its value is not in the log")
        else:
            kept.append((name, value))
    return tuple(kept), tuple(left)


def _is_published(image: str) -> bool:
    """Whether another machine can pull it: one that the job built has no registry."""
    return bool(image) and not image.startswith("sglang-ci:")


def _dropped(call: Call, row: Suite | None, job: JobLog) -> Iterator[str]:
    """What is known and has no place in the line, with the reason."""
    test_call, set_up = call.test_call, job.set_up
    limit = test_call.timeout_per_file_s
    if limit is not None and (row is None or row.timeout_per_file_s != limit):
        here = f"{row.timeout_per_file_s:g} s here" if row is not None else "the tree's own limit here"
        yield f"limit of a file: {limit:g} s there, {here}; no option sets it"
    if test_call.parts is not None and row is not None and row.shards != test_call.parts:
        yield f"parts: the job had {test_call.parts}, {row.name} has {row.shards} here: another tree has other files in a part"
    other = [f"{name} {value}".strip() for name, value in test_call.options if name not in _KNOWN]
    if other:
        yield f"options of the runner: {' '.join(other)}; attempts and limits are those of the suite's row"
    if set_up.image and not _is_published(set_up.image):
        yield f"image {set_up.image}: the job built it itself; --from-dockerfile builds one"
    if set_up.merged:
        yield f"merge: the job ran {set_up.commit}, {set_up.merged} merged into {set_up.base}; the line has the pull request's own commit"
    hardware = " ".join(hardware_of(job))
    if hardware:
        yield hardware_note(hardware)
    if set_up.aiter and "rebuilt" in set_up.aiter:
        yield f"AITER was {set_up.aiter}"


def hardware_of(job: JobLog) -> tuple[str, ...]:
    """What the log says of the machine: the label in the job's name, the runner's name, the family that its scripts found."""
    label = _LABEL.search(job.name)
    names = (label["label"] if label is not None else "", job.set_up.runner, job.set_up.hardware)
    return tuple(name for name in names if name)


def _facts(call: Call, job: JobLog, shard: Shard | None, source: str) -> Iterator[Fact]:
    test_call, set_up = call.test_call, job.set_up
    limit = test_call.timeout_per_file_s
    options = [f"{name} {value}".strip() for name, value in test_call.options if name not in _KNOWN]
    failed = call.failed
    cases = [f"{each.file}::{case}" + _all_of(each, case) for each in failed for case in each.cases]
    values = {
        "job": job.name,
        "suite": test_call.suite,
        "files": " ".join(test_call.files),
        "shard": f"{shard} (SGLang's part {test_call.part}, counted from 0)" if shard is not None else "",
        "limit of a file": f"{limit:g} s" if limit is not None else "",
        "options": " ".join(options),
        "environment": " ".join(f"{name}={value}" for name, value in test_call.env),
        "failed": ", ".join(each.file for each in failed if each.ended is not FileEnd.UNFINISHED),
        "failed cases": ", ".join(cases),
        "running when the log ends": ", ".join(
            each.file for each in failed if each.ended is FileEnd.UNFINISHED
        ),
    }
    yield from (Fact(what=name, value=value, source=source) for name, value in values.items() if value)
    known = {
        "commit": set_up.commit + (f", merges {set_up.merged}" if set_up.merged else ""),
        "runner": set_up.runner,
    }
    yield from (
        Fact(what=name, value=value, source="the log's set-up") for name, value in known.items() if value
    )
    if set_up.image:
        yield Fact(what="image", value=set_up.image, source=set_up.image_from)
    if set_up.rocm:
        yield Fact(what="ROCm", value=set_up.rocm, source=set_up.rocm_from)


def _all_of(attempt: Attempt, case: str) -> str:
    """How it is said that a class failed as a whole."""
    named = [each for each in attempt.setups if each.startswith(f"{case}::")]
    return f" (all of the class: {', '.join(each.rpartition('::')[2] for each in named)})" if named else ""


# --- a job that ended early -----------------------------------------------------------------------------------


def _from_stopped(
    job: JobLog, step: Step, catalog: Catalog, *, where: str, named: JobName | None, checkout: str
) -> Understood:
    """A job that ended before a test began: why, and what it would have run."""
    judgement = judge_step(job, step, catalog.verdict_rules)
    verdict = Verdict.of_name(judgement.verdict)
    place = step_name(step)
    stopped = Stopped(
        step=f"the step of its tests ({place})" if step.calls else f"its set-up ({place})",
        verdict=verdict,
        evidence=judgement.evidence,
        symptom=judgement.symptom,
    )
    if step.calls or job.calls:
        calls = step.calls or list(job.calls)
        found = _from_call(
            _Found(job=job, call=calls[0]), catalog, where=where, named=named, checkout=checkout
        )
    elif named is not None:
        found = from_name(named, where="the job's name", checkout=True)
        asked = replace(
            found.asked, commit=job.set_up.merged or job.set_up.commit, image=job.set_up.image, sglang=True
        )
        found = replace(found, asked=asked)
    else:
        found = Understood(kind="", facts=(), asked=Asked(stage="", sglang=True))
    facts = (
        Fact(what="ended in", value=f"{stopped.step}: {step.error}", source=f"{where}, line {step.begin}"),
        Fact(what="verdict", value=f"{verdict}: {verdict.row.words}", source="its log"),
        *(Fact(what="evidence", value=line, source="its log") for line in stopped.evidence),
    )
    return replace(
        found,
        kind="job that ended before its tests",
        facts=(*facts, *found.facts),
        failed=(),
        problem=stopped.words,
        fatal=False,
        stopped=stopped,
    )
