"""The rows of bounds.toml: floors and ceilings, reference classes, and every bad row."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.bounds import Bound, load_bounds
from ci.catalog.decode import Reader
from support.planning import catalog

TEST = "test/registered/b/test_x.py"
OPS = {">": lambda v, n: v > n, ">=": lambda v, n: v >= n, "<": lambda v, n: v < n, "<=": lambda v, n: v <= n}


def row(**changes: object) -> str:
    """A row of the file, in TOML."""
    keys: dict[str, object] = {
        "test": TEST,
        "metric": "m",
        "hardware": ["cpu"],
        "op": ">",
        "limit": 1,
        "source": "s",
    }
    keys = {key: value for key, value in (keys | changes).items() if value is not None}
    spelt = (
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in keys.items()
    )
    return "[[bound]]\n" + "\n".join(spelt) + "\n"


def load(folder: Path, *rows: str) -> tuple[tuple[Bound, ...], list[str]]:
    (folder / "bounds.toml").write_text("\n".join(rows))
    reader = Reader(folder)
    bounds = load_bounds(reader, catalog().hardware, catalog().engines)
    return bounds, [str(problem) for problem in reader.problems]


limits = st.integers(0, 4)


@given(st.sampled_from([">", ">="]), limits, st.sampled_from(["<", "<="]), limits, st.booleans())
def test_a_floor_and_a_ceiling_are_taken_when_something_can_hold_both(
    tmp_path_factory: pytest.TempPathFactory,
    floor_op: str,
    floor: int,
    ceiling_op: str,
    ceiling: int,
    swapped: bool,  # noqa: FBT001  # hypothesis hands it over
) -> None:
    rows = [row(op=floor_op, limit=floor), row(op=ceiling_op, limit=ceiling)]
    _, problems = load(tmp_path_factory.mktemp("catalog"), *(rows[::-1] if swapped else rows))
    values = [number / 2 for number in range(12)]
    possible = any(OPS[floor_op](value, floor) and OPS[ceiling_op](value, ceiling) for value in values)
    assert bool(problems) == (not possible)
    if problems:
        assert "are reversed" in problems[0]
        assert f"floor {floor_op} {floor} and ceiling {ceiling_op} {ceiling}" in problems[0]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"op": ">"}, {"op": ">="}),
        ({"op": "<"}, {"op": "<", "limit": 9}),
        ({"report_only": True, "why": "w", "op": None, "limit": None}, {"op": "<", "limit": 9}),
        ({"op": ">"}, {"report_only": True, "why": "w", "op": None, "limit": None}),
    ],
)
def test_two_rows_of_one_direction_are_one_too_many(
    tmp_path: Path, one: dict[str, object], two: dict[str, object]
) -> None:
    _, problems = load(tmp_path, row(**one), row(**two))
    assert len(problems) == 1
    assert f"m of {TEST} on cpu appears twice" in problems[0]


def test_two_engines_have_rows_of_their_own(tmp_path: Path) -> None:
    bounds, problems = load(tmp_path, row(engine="llamacpp"), row(engine="sglang", limit=2))
    assert problems == []
    assert [bound.engine for bound in bounds] == ["llamacpp", "sglang"]


def test_a_row_of_every_engine_beside_that_of_one_is_one_too_many(tmp_path: Path) -> None:
    _, problems = load(tmp_path, row(engine="llamacpp"), row())
    assert len(problems) == 1
    assert f"m of {TEST} on cpu appears twice" in problems[0]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"engine": "vllm"}, "unknown engine 'vllm'"),
        ({"engine": "llamacpp", "hardware": ["mi300x"]}, "llamacpp does not serve mi300x"),
    ],
)
def test_an_engine_that_cannot_have_the_row_is_named(
    tmp_path: Path, changes: dict[str, object], found: str
) -> None:
    _, problems = load(tmp_path, row(**changes))
    assert len(problems) == 1
    assert found in problems[0]


def test_a_third_row_and_two_units_are_named(tmp_path: Path) -> None:
    _, problems = load(tmp_path, row(), row(op="<", limit=9, unit="ms"), row(op="<", limit=8))
    assert any("floor in '', ceiling in 'ms'" in problem for problem in problems)
    assert any("appears twice" in problem for problem in problems)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"source": None}, "source: is missing"),
        ({"limit": None}, "needs op and limit (or report_only"),
        ({"limit": -1}, "limit: is -1"),
        ({"op": "=="}, "op: unknown value '==' (did you mean '>=' or '<='?)"),
        ({"hardware": ["cudda"]}, "hardware: unknown hardware class 'cudda' (did you mean 'cuda' or"),
        ({"report_only": True}, "why is missing"),
        ({"metric": []}, "metric: is empty"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, object], found: str) -> None:
    _, problems = load(tmp_path, row(**changes))
    assert any(found in problem for problem in problems), problems


def test_a_row_with_lists_holds_for_every_pair(tmp_path: Path) -> None:
    bounds, problems = load(tmp_path, row(test=["a.py", "b.py"], metric=["m", "n"]))
    assert problems == []
    assert [(bound.test, bound.metric) for bound in bounds] == [
        ("a.py", "m"),
        ("a.py", "n"),
        ("b.py", "m"),
        ("b.py", "n"),
    ]


def test_cuda_is_a_column_of_bounds_and_no_machine(tmp_path: Path) -> None:
    _, problems = load(tmp_path, row(hardware=["cuda"]))
    assert problems == []
    assert "cuda" not in catalog().hardware.classes
    assert set(catalog().hardware.references) == {"cuda"}


def bound(op: str, limit: float, hardware: str = "mi300x", **changes: object) -> Bound:
    values: dict[str, object] = {
        "test": TEST,
        "metric": "m",
        "unit": "ms",
        "report_only": False,
        "why": "",
        "source": f"{op}{limit}",
    }
    return Bound(hardware=(hardware,), op=op, limit=limit, **(values | changes))  # type: ignore[arg-type]  # values by name
