"""Job names as Actions shows them: which suite, which runner, which shard."""

import re
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.runners import Label
from ci.catalog.stages import Suite
from ci.catalog.toml_reader import closest
from ci.errors import Problem, UsageError
from ci.plan.shards import Shard
from ci.plan.tree.model import TreeFacts
from ci.plan.tree.names import NamedJob, find_job

__all__ = ["JobName", "find_suite", "job_name", "looks_like_a_job"]

_JOB = re.compile(r"(?P<suite>[A-Za-z0-9][A-Za-z0-9_.-]*)\s*(?:\((?P<inside>[^()]*)\))?")
# SGLang's jobs of other ROCm versions end so, and its nightly jobs leave out a word of their suite's name
_FLAVOUR = re.compile(r"(?P<suite>.+)-rocm(?P<rocm>\d+(?:\.\d+)*)")
_NIGHTLY, _NIGHTLY_SUITE = "nightly-", "nightly-amd-"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobName:
    """A job's name understood; `readings` say how each part was taken, for the name alone may mean two things.

    `shard` is None for a job without one, `label` for a name without a runner, `rocm` empty when the name has none. Of a job of
    a checkout, `others` are the further suites that it runs, `env` what its command gives beyond the suite's own variables.
    `sglang`: it is a job of SGLang's, whose names have a bare part or none, where ours always have `i/n`.
    """

    suite: Suite
    label: Label | None
    shard: Shard | None
    rocm: str
    readings: tuple[str, ...]
    others: tuple[Suite, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    sglang: bool = False


def looks_like_a_job(text: str, catalog: Catalog, tree: TreeFacts | None = None) -> bool:
    """Whether the text can be a job's name: it ends with brackets, is the name of a suite or nearly one, or a job of the tree."""
    if tree is not None and any(
        cell.is_named(_own_name(text)[1]) for job in tree.amd_jobs for cell in job.cells
    ):
        return True
    match = _JOB.fullmatch(text.rpartition(" / ")[2].strip())
    if match is None:
        return False
    words = ("-test-", "nightly-", "-amd")
    return (
        match["inside"] is not None
        or find_suite(catalog, match["suite"]) is not None
        or (any(word in match["suite"] for word in words) and not text.endswith(".py"))
    )


def find_suite(catalog: Catalog, name: str) -> tuple[Suite, str, str] | None:
    """The suite of a name in Actions, the ROCm version in the name, and how the name was read when not literally."""
    by_name = {suite.name: suite for suite in catalog.suites}
    flavour = _FLAVOUR.fullmatch(name)
    plain, rocm = (flavour["suite"], flavour["rocm"]) if flavour is not None else (name, "")
    reading = f"-rocm{rocm} at the end is the image's ROCm version" if rocm else ""
    if plain in by_name:
        return by_name[plain], rocm, reading
    if plain.startswith(_NIGHTLY):
        full = _NIGHTLY_SUITE + plain.removeprefix(_NIGHTLY)
        if full in by_name:
            return by_name[full], rocm, f"{name} is SGLang's job of the suite {full}"
    return None


def job_name(text: str, catalog: Catalog, tree: TreeFacts | None = None, *, workflow: str = "") -> JobName:
    """Understand `[wave / ]suite (label, i/n)` and SGLang's `suite (label, part)`.

    With a `tree`, which `catalog` follows, a name that a job of it has is that job, in its workflow where that is known.

    Raises:
        UsageError: with every part that is invalid.
    """
    callers, name = _own_name(text)
    found_job = find_job(catalog, tree, name, callers or workflow) if tree is not None else None
    if found_job is not None:
        return _of_tree(catalog, found_job, callers)
    match = _JOB.fullmatch(name)
    if match is None:
        raise UsageError(
            f"{text!r} is not a job name",
            cause="a job is named suite (runner label, shard)",
            then="./inv repro 'stage-b-test-1-gpu-small-amd (linux-mi300-1gpu-sglang, 8/14)'",
        )
    problems: list[Problem] = []
    readings = [f"{callers} is the workflow's job that called it"] if callers else []
    found = find_suite(catalog, match["suite"])
    if found is None:
        hint = closest(match["suite"], [suite.name for suite in catalog.suites])
        problems.append(Problem(where="job name", what=f"unknown suite {match['suite']!r}", hint=hint))
    elif found[2]:
        readings.append(found[2])
    label: Label | None = None
    shard: Shard | None = None
    inside = (match["inside"] or "").split(",")
    for word in (part.strip() for part in inside if part.strip()):
        row = next((row for row in catalog.labels if row.label == word), None)
        if row is not None:
            label = row
        elif re.fullmatch(r"\d+(/\d+)?", word):
            shard = _shard(word, found[0] if found is not None else None, readings, problems)
        else:
            hint = closest(word, [row.label for row in catalog.labels])
            problems.append(
                Problem(where="job name", what=f"{word!r} is neither a runner label nor a shard", hint=hint)
            )
    if problems or found is None:
        understood = [*readings]
        if label is not None:
            understood.append(f"runner {label.label}")
        if shard is not None:
            understood.append(f"shard {shard}")
        raise UsageError(
            f"the job name {text!r} cannot be understood",
            problems=problems,
            cause="understood so far: " + ("; ".join(understood) or "nothing"),
            then="add --checkout PATH: SGLang's tree says what its jobs run; our suites: nox -l",
        )
    if shard is None and found[0].shards > 1:
        readings.append(f"the name has no shard: all {found[0].shards} are selected")
    return JobName(
        suite=found[0],
        label=label,
        shard=shard,
        rocm=found[1],
        readings=tuple(readings),
        sglang=not any("/" in word for word in inside),
    )


def _own_name(text: str) -> tuple[str, str]:
    """The jobs that called it, and the job's own name."""
    callers, _, name = text.strip().rpartition(" / ")
    return callers, name.strip()


def _of_tree(catalog: Catalog, job: NamedJob, callers: str) -> JobName:
    """A job of a checkout, with everything that its file says of it."""
    first, *more = job.runs
    readings = [f"{callers} is its workflow, or the job that called it"] if callers else []
    readings.append(f"a job of the tree: {job.source}")
    if first.shard is not None:
        readings.append(
            f"part {first.shard.index - 1} of {first.shard.count}, counted from 0: shard {first.shard}"
        )
    readings += job.notes
    label = next((row for row in catalog.labels if row.label == job.label), None)
    others = {run.suite.name: run.suite for run in more if run.suite.name != first.suite.name}
    for suite in others.values():
        if suite.stage != first.suite.stage:
            readings.append(f"it also runs {suite.name}: nox -s {catalog.stage(suite.stage).session}")
    return JobName(
        suite=first.suite,
        label=label,
        shard=first.shard,
        rocm=job.rocm,
        readings=tuple(readings),
        others=tuple(suite for suite in others.values() if suite.stage == first.suite.stage),
        env=first.env,
        sglang=True,
    )


def _shard(word: str, suite: Suite | None, readings: list[str], problems: list[Problem]) -> Shard | None:
    """`8/14` counts from 1, a bare `7` is SGLang's part, which counts from 0."""
    first, slash, second = word.partition("/")
    index = int(first)
    if slash:
        count = int(second)
        if not 1 <= index <= count:
            problems.append(
                Problem(
                    where="job name", what=f"shard {word} does not exist", hint="shards are counted from 1"
                )
            )
            return None
        readings.append(f"{word} is a shard, counted from 1")
        return Shard(index=index, count=count)
    if suite is None:
        problems.append(Problem(where="job name", what=f"part {word} of an unknown number of parts"))
        return None
    if index >= suite.shards:
        what = f"part {word} does not exist: {suite.name} has {suite.shards}, counted from 0"
        hint = "name the shard as i/n, counted from 1" if index == suite.shards else ""
        problems.append(Problem(where="job name", what=what, hint=hint))
        return None
    shard = Shard(index=index + 1, count=suite.shards)
    readings.append(f"{word} is SGLang's part number, counted from 0: shard {shard}")
    readings.append(
        f"{suite.shards} parts are by our row; the tree of the job may have another number: --checkout says"
    )
    return shard
