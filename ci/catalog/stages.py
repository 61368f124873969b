"""Stages, their suites, preflights and retries: the rows of `stages.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from ci.catalog.columns import Count, Minutes, NotNegative, Positive, Slug, Sourced, Text, Whole, matching
from ci.catalog.decode import Reader
from ci.catalog.toml_reader import closest
from ci.catalog.verdicts import RETRIABLE, Verdict

__all__ = ["Preflight", "Retry", "RetryGpu", "Split", "Stage", "StageTable", "Suite", "load_stages"]

_EnvSetId = Annotated[str, matching(r"[a-z0-9_]+\.[A-Z0-9_]+", "FILE.TABLE, e.g. stage_c.FOUR_GPU")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Sourced):
    """A gate of CI; `session` is its Nox session, `after` the stages it waits for on pull requests.

    `suites_like` are patterns of the names of a checkout's suites that lie in it, where we have no row; the longest one counts.
    """

    id: Slug
    session: Annotated[str, matching(r"[a-z0-9_]+", "lower case letters, digits and _, e.g. stage_b_amd")]
    title: Text
    after: tuple[Text, ...] = ()
    env_sets: tuple[_EnvSetId, ...] = ()
    suites_like: tuple[Text, ...] = ()


class Split(StrEnum):
    """How the tests of a suite are divided among its shards."""

    # longest first: the same files in a shard as in SGLang's part
    SGLANG = "sglang"
    # exact for small suites, MULTIFIT for others
    EVEN = "even"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite(Sourced):
    """A named set of registered tests with one hardware need, and how CI runs it.

    `timeout_s` is for one shard, `timeout_per_file_s` for one test file. `files` is set for the jobs that run fixed
    files instead of registered ones. `when` says in words what must have changed for CI to run it. A suite that follows a
    checkout is split as its tree does, whatever `split` says.
    """

    KEY: ClassVar[str] = "name"

    id: Slug
    stage: Text
    name: Slug
    family: Text
    gpus: Count
    fabric: bool = False
    shards: Count
    split: Split = Split.SGLANG
    timeout_s: Minutes
    timeout_per_file_s: Positive
    nightly: bool = False
    rocm: Text = ""
    when: Text = ""
    env_sets: tuple[_EnvSetId, ...] = ()
    files: tuple[Text, ...] = ()
    attempts: Count = 1
    retry_wait_s: NotNegative = 0
    preflight: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight(Sourced):
    """A command that runs before a suite's tests on real hardware."""

    id: Slug
    argv: tuple[Text, ...]
    timeout_s: Minutes
    env: Mapping[str, str] = field(default_factory=dict)


class RetryGpu(StrEnum):
    """On which GPUs an attempt is tried again."""

    SAME = "same"
    OTHER_IF_ANY = "other-if-any"
    # not at all where the run has no others
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Sourced):
    """A verdict that may be tried again. `attempts` are those of any suite; 0: as many as the suite has."""

    KEY: ClassVar[str] = "verdict"

    verdict: Verdict
    attempts: Whole = 0
    gpu: RetryGpu = RetryGpu.SAME


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTable:
    """All rows of stages.toml, in the file's order."""

    stages: tuple[Stage, ...]
    suites: tuple[Suite, ...]
    preflights: Mapping[str, Preflight]
    retries: tuple[Retry, ...]


def load_stages(reader: Reader) -> StageTable:
    """Read stages.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("stages.toml", "stage", "suite", "preflight", "retry")
    table = StageTable(
        stages=file.rows("stage", Stage),
        suites=file.rows("suite", Suite),
        preflights={row.id: row for row in file.rows("preflight", Preflight)},
        retries=file.rows("retry", Retry),
    )
    file.unique("stage", "session")
    stages = [stage.id for stage in table.stages]
    file.refer("stage", "after", "stage", stages)
    file.refer("suite", "stage", "stage", stages)
    file.refer("suite", "preflight", "preflight", table.preflights)
    for retry in table.retries:
        if retry.verdict not in RETRIABLE:
            what = f"is {retry.verdict.value!r}, which is never tried again"
            reader.problem(retry, "verdict", what, closest(retry.verdict, RETRIABLE))
    seen: dict[tuple[str, str], Suite] = {}
    for suite in table.suites:
        if suite.timeout_per_file_s > suite.timeout_s:
            what = f"{suite.timeout_per_file_s:g} s is more than the shard's {suite.timeout_s:g} s"
            reader.problem(suite, "timeout_per_file_s", what, "a file's limit must fit into its shard's")
        first = seen.setdefault((suite.stage, suite.id), suite)
        if first is not suite:
            what = f"{suite.id!r} appears twice in stage {suite.stage}"
            reader.problem(suite, "id", what, f"rename one; first in {reader.line(first)}")
    if file.complete("suite"):
        for stage in table.stages:
            if stage.id not in {suite.stage for suite in table.suites} and not stage.suites_like:
                reader.problem(
                    stage,
                    "",
                    "has no suite",
                    "add a [[suite]] with this stage, or suites_like for a checkout's",
                )
    return table
