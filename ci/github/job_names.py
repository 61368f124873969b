"""Job names as Actions shows them: which suite, which runner, which shard."""

import re
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.runners import Label
from ci.catalog.stages import Suite
from ci.catalog.toml_reader import closest
from ci.errors import Problem, UsageError
from ci.plan.shards import Shard

__all__ = ["JobName", "find_suite", "job_name", "looks_like_a_job"]

_JOB = re.compile(r"(?P<suite>[A-Za-z0-9][A-Za-z0-9_.-]*)\s*(?:\((?P<inside>[^()]*)\))?")
# SGLang's jobs of other ROCm versions end so, and its nightly jobs leave out a word of their suite's name
_FLAVOUR = re.compile(r"(?P<suite>.+)-rocm(?P<rocm>\d{2,3})")
_NIGHTLY, _NIGHTLY_SUITE = "nightly-", "nightly-amd-"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobName:
    """A job's name understood; `readings` say how each part was taken, for the name alone may mean two things.

    `shard` is None for a job without one, `label` for a name without a runner, `rocm` empty when the name has none.
    """

    suite: Suite
    label: Label | None
    shard: Shard | None
    rocm: str
    readings: tuple[str, ...]


def looks_like_a_job(text: str, catalog: Catalog) -> bool:
    """Whether the text can be a job's name: it ends with brackets or is the name of a suite or nearly one."""
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


def job_name(text: str, catalog: Catalog) -> JobName:
    """Understand `[wave / ]suite (label, i/n)` and SGLang's `suite (label, part)`.

    Raises:
        UsageError: with every part that is invalid.
    """
    callers, _, name = text.strip().rpartition(" / ")
    match = _JOB.fullmatch(name.strip())
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
            then="nox -l lists the suites",
        )
    if shard is None and found[0].shards > 1:
        readings.append(f"the name has no shard: all {found[0].shards} are selected")
    return JobName(suite=found[0], label=label, shard=shard, rocm=found[1], readings=tuple(readings))


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
    return shard
