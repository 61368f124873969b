"""How what a test measured is judged and recorded."""

import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import bounds, events
from harness.errors import BoundsError, MeasurementError, MissingBoundError
from support.harness_run import TEST, use_spec

pytestmark = pytest.mark.in_container


def row(op: str, limit: float, *, report_only: bool = False) -> dict[str, Any]:
    return {
        "op": op,
        "limit": limit,
        "unit": "ms",
        "source": "sgl-project/sglang#23156",
        "report_only": report_only,
    }


ROWS = {
    "latency": row("<", 100),
    "ttft": row("<=", 10),
    "accuracy": row(">", 0.91),
    "rate": row(">=", 20),
    "noted": row("", 0, report_only=True),
    "noted_with_a_wish": row("<", 1, report_only=True),
    "share": {**row(">=", 0.2), "ceiling": {**row("<", 0.6), "source": "the ceiling's own"}},
}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with use_spec(monkeypatch, tmp_path, bounds={TEST: ROWS}), ours, theirs:
        monkeypatch.setenv("AMD_CI_EVENTS_FD", str(theirs.fileno()))
        ours.settimeout(5)
        yield ours


def messages(channel: socket.socket) -> list[dict[str, Any]]:
    events.note("end")
    found = []
    while (message := json.loads(channel.recv(events.MESSAGE_BYTES_MAX))).get("text") != "end":
        found.append(message)
    return found


@pytest.mark.parametrize(
    ("metric", "good", "bad"),
    [
        ("latency", [0, 99.9], [100, 100.1]),
        ("ttft", [10], [math.nextafter(10, 11)]),
        ("accuracy", [math.nextafter(0.91, 1)], [0.91, 0]),
        ("rate", [20, 1e9], [19.99]),
    ],
)
def test_value_at_and_beside_the_limit(
    recorded: socket.socket, metric: str, good: list[float], bad: list[float]
) -> None:
    for value in good:
        bounds.check(metric, value)
    for value in bad:
        with pytest.raises(BoundsError):
            bounds.check(metric, value)
    assert [m["bound"]["ok"] for m in messages(recorded)] == [True] * len(good) + [False] * len(bad)


def test_broken_bound_says_all_that_is_needed_to_judge_it(recorded: socket.socket) -> None:
    with pytest.raises(BoundsError) as error:
        bounds.check("latency", 123.456)
    for part in (
        "latency = 123.456 ms",
        "< 100",
        "on cpu",
        "sgl-project/sglang#23156",
        "ci/catalog/bounds.toml",
    ):
        assert part in str(error.value)
    assert error.value.verdict == "bounds"
    assert isinstance(error.value, AssertionError)
    assert messages(recorded) == [
        {
            "type": "metric",
            "metric": "latency",
            "value": 123.456,
            "unit": "ms",
            "bound": {
                "ok": False,
                "op": "<",
                "limit": 100,
                "source": "sgl-project/sglang#23156",
                "report_only": False,
            },
        }
    ]


def test_all_values_are_recorded_before_the_first_broken_one_fails_the_test(recorded: socket.socket) -> None:
    with pytest.raises(BoundsError) as error:
        bounds.check_all({"latency": 200, "rate": 1, "ttft": 1})
    assert [m["metric"] for m in messages(recorded)] == ["latency", "rate", "ttft"]
    assert "latency" in str(error.value)
    assert "rate" in str(error.value)
    assert "ttft" not in str(error.value)


def test_report_only_rows_judge_nothing_and_are_recorded(recorded: socket.socket) -> None:
    bounds.check_all({"noted": 7, "noted_with_a_wish": 7})
    assert [(m["value"], m["bound"]["report_only"], m["bound"]["ok"]) for m in messages(recorded)] == [
        (7, True, True),
        (7, True, False),
    ]


def test_metric_without_a_row_names_the_row_to_add(recorded: socket.socket) -> None:
    with pytest.raises(MissingBoundError) as error:
        bounds.check_all({"latency": 1, "itl": 1})
    for part in ("ci/catalog/bounds.toml", f'test = "{TEST}"', 'metric = "itl"', 'hardware = ["cpu"]'):
        assert part in str(error.value)
    assert error.value.verdict == "product"
    assert messages(recorded) == [], "nothing is recorded of a measurement that cannot be judged"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
@pytest.mark.parametrize("metric", ["latency", "accuracy", "noted"])
def test_value_that_cannot_be_is_never_a_pass(recorded: socket.socket, metric: str, value: float) -> None:
    with pytest.raises(MeasurementError, match=metric):
        bounds.check(metric, value)
    assert messages(recorded) == []


def test_operator_that_is_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (
        use_spec(monkeypatch, tmp_path, bounds={TEST: {"x": row("=<", 1)}}),
        pytest.raises(MissingBoundError, match="'=<'"),
    ):
        bounds.check("x", 1)


@pytest.mark.parametrize(
    ("value", "broken"),
    [
        (0.1, "must be >= 0.2"),
        (0.2, ""),
        (0.59, ""),
        (0.6, "must be < 0.6 on cpu (row in ci/catalog/bounds.toml, source: the ceiling's own)"),
    ],
)
def test_a_floor_and_a_ceiling_are_both_judged_and_both_recorded(
    recorded: socket.socket, value: float, broken: str
) -> None:
    if broken:
        with pytest.raises(BoundsError) as caught:
            bounds.check("share", value)
        assert broken in str(caught.value)
        assert str(caught.value).count("must be") == 1
    else:
        bounds.check("share", value)
    found = [message["bound"] for message in messages(recorded)]
    assert [(bound["op"], bound["limit"]) for bound in found] == [(">=", 0.2), ("<", 0.6)]
    assert all(bound["ok"] for bound in found) == (not broken)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(math.nan, "not a number"), (math.inf, "infinite"), (-math.inf, "infinite"), (-1.0, "negative")],
)
def test_a_value_that_can_t_be_says_what_is_wrong_with_it(
    recorded: socket.socket, value: float, kind: str
) -> None:
    with pytest.raises(MeasurementError, match=f"latency was measured as .*, which is {kind}") as caught:
        bounds.check("latency", value)
    assert caught.value.verdict == "product"
    assert messages(recorded) == []
