"""Runners: every suite has one for each event and each pool that can be asked for, or the row to fix is named."""

from dataclasses import replace

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.runners import Label, Pool, Routing
from ci.cli.main import main
from ci.errors import UsageError
from ci.plan.route import check_routes, label_of
from support.planning import STAGE_A, catalog, mi300x, planned, registration, request

POOLS = {
    name: Pool(id=name, hardware=hardware, why="test", source="test")
    for name, hardware in (("one", "mi300x"), ("two", "mi325x"), ("big", "mi355x"))
}


def routing(family: str, **pools: str) -> Routing:
    return Routing(
        id=f"of-{family}",
        family=family,
        since="2026-01-01",
        in_force=True,
        pull_request=pools["pull_request"],
        schedule=pools["schedule"],
        dispatch=pools["workflow_dispatch"],
        why="test",
        source="test",
    )


def routed(*missing: tuple[str, int, bool]) -> Catalog:
    """Every suite on one of three pools that have all labels but these (pool, GPUs, fabric)."""
    needed = {(suite.gpus, suite.fabric) for suite in catalog().suites}
    labels = tuple(
        Label(label=f"{pool}-{gpus}{'-fabric' if fabric else ''}", pool=pool, gpus=gpus, fabric=fabric)
        for pool in POOLS
        for gpus, fabric in sorted(needed)
        if (pool, gpus, fabric) not in missing
    )
    events = {"pull_request": "one", "schedule": "two", "workflow_dispatch": "one"}
    big = dict.fromkeys(events, "big")
    return replace(
        catalog(), pools=POOLS, labels=labels, routings=(routing("mi30x", **events), routing("mi35x", **big))
    )


def test_complete_pools_are_no_problem() -> None:
    assert check_routes(routed()) == []


def test_events_and_pools_decide() -> None:
    suite = next(suite for suite in catalog().suites if suite.name == STAGE_A)
    rows = routed()
    assert label_of(rows, suite, "pull_request").label == "one-1"
    assert label_of(rows, suite, "schedule").label == "two-1"
    assert label_of(rows, suite, "push").label == "one-1", "as a pull request"
    assert label_of(rows, suite, "pull_request", pool="two").label == "two-1"
    assert label_of(rows, suite, "pull_request", pool="big").label == "one-1", "not of its family"


@pytest.mark.parametrize(
    ("missing", "where", "what"),
    [
        (
            ("one", 4, False),
            "routing[of-mi30x]",
            "sends pull_request to pool 'one', which has no label for 4 GPUs",
        ),
        (
            ("two", 1, False),
            "routing[of-mi30x]",
            "sends schedule to pool 'two', which has no label for 1 GPU;",
        ),
        (("two", 2, False), "pool[two]", "may be requested: pool 'two', which has no label for 2 GPUs"),
        (("big", 8, True), "routing[of-mi35x]", "no label for 8 GPUs with a fabric"),
    ],
)
def test_a_missing_label_is_named_with_its_row(missing: tuple[str, int, bool], where: str, what: str) -> None:
    found = [str(problem) for problem in check_routes(routed(missing))]
    assert any(f"catalog/runners.toml: {where}" in text and what in text for text in found), found
    pool, gpus, _ = missing
    assert all(f'add [[label]] with pool = "{pool}", gpus = {gpus}' in text for text in found)


def test_a_plan_names_the_row_too() -> None:
    rows = routed(("one", 1, False))
    with pytest.raises(UsageError) as caught:
        planned(rows, mi300x([registration("test/registered/a.py")]), request())
    text = caught.value.render()
    assert "no runner for" in text
    assert "routing[of-mi30x]" in text
    assert "nox -s check" in text


def test_the_check_refuses_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ci.cli.check.read_catalog", lambda: (routed(("two", 4, False)), ()))
    assert main(["check"]) == 2
    assert "routing[of-mi30x]: sends schedule to pool 'two'" in capsys.readouterr().err
