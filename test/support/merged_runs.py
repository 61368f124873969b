"""Runs of the shards of one suite, as values and as run folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ci.plan.model import Plan
from ci.record.event_log import line_of
from ci.record.events import Event, RunEnded
from ci.record.fold import exit_code, fold
from ci.record.merge import Found
from ci.record.model import Attempt
from support.planning import STAGE_B_SMALL
from support.records import ended, run_events
from support.shard_plans import one_of

__all__ = ["STAGE_B_SMALL", "shard_events", "shard_folder", "shard_run"]

SUITE = "1-gpu-small"


def shard_events(
    plan: Plan, attempts: Mapping[str, Sequence[Attempt]] | None = None, **more: Any
) -> list[Event]:
    """What a run of the plan records; a test without attempts here passes in as many seconds as its number."""
    (suite,) = plan.work.suites
    tests = {test.id: (attempts or {}).get(test.id) or [_passed(test.id)] for test in suite.tests}
    shard = str(suite.shard).partition("/")[0]
    events = run_events(
        tests,
        suite=SUITE,
        run=more.pop("run", f"20260529T07120{shard}Z-stage-b-amd-{plan.digest[:8]}"),
        stage="stage-b-amd",
        session="stage_b_amd",
        command=" ".join(plan.placement.command),
        plan_digest=plan.digest,
        hardware_class=plan.work.hardware_class,
        commit=plan.work.commit,
        **more,
    )
    return [*events, RunEnded(exit_code=exit_code(fold(events)))]


def _passed(test: str) -> Attempt:
    number = int(test.rpartition("_")[2].removesuffix(".py"))
    return ended("passed", "passed", duration_s=float(number))


def shard_run(
    index: int,
    count: int = 3,
    attempts: Mapping[str, Sequence[Attempt]] | None = None,
    *,
    where: str = "",
    plan: Plan | None = None,
    **more: Any,
) -> Found:
    """A run of one shard."""
    plan = plan or one_of(index, count)
    return Found(
        where=where or f"run-{index}",
        folder=f"runs/run-{index}",
        record=fold(shard_events(plan, attempts, **more)),
        plan=plan,
    )


def shard_folder(
    folder: Path,
    index: int,
    count: int = 3,
    attempts: Mapping[str, Sequence[Attempt]] | None = None,
    **more: Any,
) -> Path:
    """The run folder of one shard, with a log for each attempt."""
    plan = one_of(index, count)
    events = shard_events(plan, attempts, **more)
    (folder / "logs").mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan.to_json()))
    (folder / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    for number in (1, 2):
        (folder / f"logs/test.{number}.log").write_text(f"the log of attempt {number} in shard {index}\n")
    return folder


def of_other_commit(found: Found) -> Found:
    """The same run of another commit."""
    work = replace(found.plan.work, commit="b" * 40)
    return replace(found, plan=replace(found.plan, work=work))
