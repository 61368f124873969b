"""Stages and suites: the loader that the noxfile's menu shares with everything else."""

import re
from collections.abc import Sequence
from pathlib import Path

from ci.catalog.records import Preflight, Retry, Stage, Suite
from ci.catalog.toml_reader import Row, Tables, closest
from ci.catalog.verdicts import RETRIABLE, Verdict
from ci.errors import Problem

__all__ = ["CATALOG_DIR", "StageTable", "load_stages"]

CATALOG_DIR = Path(__file__).parent

_ID = r"[a-z0-9][a-z0-9.-]*"
_SET = r"[a-z0-9_]+\.[A-Z0-9_]+"


class StageTable:
    """`stages.toml`: stages, suites, preflights and retry rows, in the file's order."""

    __slots__ = ("preflights", "retries", "stages", "suites")

    def __init__(
        self,
        *,
        stages: Sequence[Stage],
        suites: Sequence[Suite],
        preflights: Sequence[Preflight],
        retries: Sequence[Retry],
    ) -> None:
        """Keep the rows as tuples."""
        self.stages = tuple(stages)
        self.suites = tuple(suites)
        self.preflights = tuple(preflights)
        self.retries = tuple(retries)


def load_stages(problems: list[Problem], folder: Path = CATALOG_DIR) -> StageTable:
    """Read and check `stages.toml`; what is wrong is added to `problems`."""
    tables = Tables(folder / "stages.toml", problems, arrays=("stage", "suite", "preflight", "retry"))
    stage_rows, suite_rows = tables.rows("stage"), tables.rows("suite")
    preflight_rows = tables.rows("preflight")
    for rows, key in (
        (stage_rows, "id"),
        (stage_rows, "session"),
        (suite_rows, "name"),
        (preflight_rows, "id"),
    ):
        tables.unique(rows, key)
    stage_ids = [str(row.raw("id")) for row in stage_rows]
    preflight_ids = [str(row.raw("id")) for row in preflight_rows]
    table = StageTable(
        stages=[_stage(row, stage_ids) for row in stage_rows],
        suites=[_suite(row, stage_ids, preflight_ids) for row in suite_rows],
        preflights=[_preflight(row) for row in preflight_rows],
        retries=[_retry(row) for row in tables.rows("retry")],
    )
    _check_pairs(table, tables)
    return table


def _stage(row: Row, stage_ids: Sequence[str]) -> Stage:
    stage = Stage(
        id=row.text("id", matches=_ID),
        session=row.text("session", matches=r"[a-z0-9_]+"),
        title=row.text("title"),
        after=row.texts("after", [], among=stage_ids),
        env_sets=row.texts("env_sets", []),
        why=row.text("why"),
        source=row.text("source"),
    )
    row.done()
    return stage


def _suite(row: Row, stage_ids: Sequence[str], preflight_ids: Sequence[str]) -> Suite:
    suite = Suite(
        id=row.text("id", matches=_ID),
        stage=row.text("stage", among=stage_ids),
        name=row.text("name", matches=_ID),
        family=row.text("family"),
        gpus=row.whole("gpus", least=1),
        fabric=row.flag("fabric"),
        shards=row.whole("shards", least=1),
        timeout_s=60 * row.number("timeout_min", above=0),
        timeout_per_file_s=row.number("timeout_per_file_s", above=0),
        nightly=row.flag("nightly"),
        rocm=row.text("rocm", ""),
        when=row.text("when", ""),
        env_sets=row.texts("env_sets", []),
        files=row.texts("files", []),
        attempts=row.whole("attempts", 1, least=1),
        retry_wait_s=row.number("retry_wait_s", 0, least=0),
        preflight=row.text("preflight", "", among=preflight_ids),
        why=row.text("why"),
        source=row.text("source"),
    )
    for name in suite.env_sets:
        if not re.fullmatch(_SET, name):
            row.problem("env_sets", f"{name!r} is not FILE.TABLE", "e.g. stage_c.FOUR_GPU")
    if suite.timeout_per_file_s > suite.timeout_s:
        what = f"{suite.timeout_per_file_s:g} s is more than the shard's {suite.timeout_s:g} s"
        row.problem("timeout_per_file_s", what, "a file's limit has to fit into its shard's")
    row.done()
    return suite


def _preflight(row: Row) -> Preflight:
    env = row.mapping("env")
    for key, value in env.items():
        if not isinstance(value, str):
            row.problem(f"env.{key}", f"is {value!r}, not a string")
    preflight = Preflight(
        id=row.text("id", matches=_ID),
        argv=row.texts("argv"),
        timeout_s=60 * row.number("timeout_min", above=0),
        env={key: str(value) for key, value in env.items()},
        why=row.text("why"),
        source=row.text("source"),
    )
    row.done()
    return preflight


def _retry(row: Row) -> Retry:
    retry = Retry(
        verdict=Verdict.of_name(row.text("verdict", among=tuple(Verdict))),
        why=row.text("why"),
        source=row.text("source"),
    )
    if retry.verdict not in RETRIABLE:
        row.problem(
            "verdict", f"is '{retry.verdict}', which is never tried again", closest(retry.verdict, RETRIABLE)
        )
    row.done()
    return retry


def _check_pairs(table: StageTable, tables: Tables) -> None:
    """A short id names one suite of its stage; a stage without a suite is a session that can run nothing."""
    seen: set[tuple[str, str]] = set()
    for suite in table.suites:
        if (suite.stage, suite.id) in seen:
            tables.problem(f"suite[{suite.id}]", f"stands there twice in stage {suite.stage}", "rename one")
        seen.add((suite.stage, suite.id))
    for stage in table.stages:
        if stage.id and stage.id not in {suite.stage for suite in table.suites}:
            tables.problem(f"stage[{stage.id}]", "has no suite", "add a [[suite]] with this stage")
