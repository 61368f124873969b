"""What `nox -l` lists for the stages: standard library alone and one small file, since every nox call pays for it."""

from dataclasses import dataclass
from pathlib import Path

from ci.catalog.records import Stage, Suite
from ci.catalog.stages import CATALOG_DIR, load_stages
from ci.errors import Problem, UsageError

__all__ = ["MenuRow", "menu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuRow:
    """A session of a stage: the whole stage (`suite` empty) or one suite of it."""

    session: str
    suite: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    stage_id: str


def menu(folder: Path = CATALOG_DIR) -> tuple[MenuRow, ...]:
    """Every stage session, each followed by its suites.

    Raises:
        UsageError: `stages.toml` can't be used, with every problem in it.
    """
    problems: list[Problem] = []
    table = load_stages(problems, folder)
    if problems:
        raise UsageError(
            "the catalog can't be used", problems=problems, then="mend the rows, then: nox -s check"
        )
    rows: list[MenuRow] = []
    for stage in table.stages:
        suites = [suite for suite in table.suites if suite.stage == stage.id]
        rows.append(_stage_row(stage, suites))
        rows += [_suite_row(stage, suite) for suite in suites]
    return tuple(rows)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"


def _stage_row(stage: Stage, suites: list[Suite]) -> MenuRow:
    gpus = sorted({suite.gpus for suite in suites})
    span = _count(gpus[0], "GPU") if len(gpus) == 1 else f"{gpus[0]}-{gpus[-1]} GPUs"
    shards = _count(sum(suite.shards for suite in suites), "shard")
    longest = _minutes(max(suite.timeout_s for suite in suites))
    return MenuRow(
        session=stage.session,
        suite="",
        name=stage.session,
        title=f"{stage.title}: {_count(len(suites), 'suite')}, {span}, {shards}, up to {longest} a shard",
        description=f"{stage.why}\n\nSource: {stage.source}",
        tags=("stage",),
        stage_id=stage.id,
    )


def _suite_row(stage: Stage, suite: Suite) -> MenuRow:
    gpus = f"{_count(suite.gpus, 'GPU')} {suite.family}" + (" fabric" if suite.fabric else "")
    return MenuRow(
        session=stage.session,
        suite=suite.id,
        name=f"{stage.session}({suite.id})",
        title=f"{suite.name}: {gpus}, {_count(suite.shards, 'shard')}, {_minutes(suite.timeout_s)}",
        description=f"{suite.why}\n\nSource: {suite.source}",
        tags=("suite", _count(suite.gpus, "GPU"), suite.family),
        stage_id=stage.id,
    )
