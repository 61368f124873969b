"""Plans of one request on several hardware classes: what differs is shown, and nothing else."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.cli.main import main
from ci.plan.bounds import bounds_of
from ci.plan.compare.classes import ClassDifference, compare_classes, reference_column
from ci.plan.facts import Known
from ci.plan.make import make_plan
from ci.plan.model import Plan
from support.planning import STAGE_B_SMALL, catalog, mi300x, registration, request

CLASSES = ("mi300x", "mi325x", "mi355x")
GREEDY = "test/registered/sampling/test_pytorch_sampling_backend.py"
TOKENIZER = "test/registered/tokenizer/test_multi_tokenizer.py"


def plans(*files: str, classes: tuple[str, ...] = CLASSES) -> dict[str, Plan]:
    rows = [registration(file, STAGE_B_SMALL) for file in files]
    asked = request("stage-b-amd", suites=("1-gpu-small",), compared=True)
    return {
        name: make_plan(
            catalog(),
            mi300x(rows, today=date(2026, 5, 29))
            if name == "mi300x"
            else replace(mi300x(rows), hardware_class=name),
            asked,
        )
        for name in classes
    }


def by_name(rows: tuple[ClassDifference, ...]) -> dict[str, Mapping[str, str]]:
    return {row.name: row.values for row in rows}


def test_bounds_environment_and_quarantine_differ_and_nothing_else() -> None:
    rows = compare_classes(plans(GREEDY, TOKENIZER))
    found = by_name(rows)
    assert found["median_ttft_ms"] == {"mi300x": "< 130 ms", "mi325x": "< 86 ms", "mi355x": "report only"}
    assert found["GPU_ARCHS"] == {"mi300x": "-", "mi325x": "-", "mi355x": "gfx950"}
    assert found[f"{GREEDY}::test_greedy"] == {"mi300x": "gates nothing", "mi325x": "-", "mi355x": "-"}
    parts = ("work.bounds.", "work.quarantine.", "work.capabilities.", "work.suites.1-gpu-small.env.")
    assert all(row.path.startswith(parts) for row in rows), [row.path for row in rows]


def test_a_difference_has_the_source_of_each_value() -> None:
    (row,) = [row for row in compare_classes(plans(TOKENIZER)) if row.name == "median_ttft_ms"]
    assert row.group == f"bounds of {TOKENIZER}"
    assert "sglang#23156" in row.sources["mi300x"]
    assert set(row.sources) == set(CLASSES)


@given(st.sampled_from(CLASSES))
def test_a_plan_does_not_differ_from_itself(name: str) -> None:
    one = plans(GREEDY, TOKENIZER, classes=(name,))[name]
    assert compare_classes({"a": one, "b": one}) == ()


def test_what_is_equal_on_all_classes_is_not_shown() -> None:
    two = plans(TOKENIZER, classes=("mi300x", "mi325x"))
    assert set(by_name(compare_classes(two))) == {"median_ttft_ms"}


def test_a_reference_class_is_a_column_of_bounds() -> None:
    rows = compare_classes(plans(GREEDY, TOKENIZER))
    found = by_name(reference_column(rows, "cuda", bounds_of(catalog(), "cuda", [TOKENIZER])))
    assert found["median_ttft_ms"]["cuda"] == "< 86 ms"
    assert found["GPU_ARCHS"]["cuda"] == "-"


class TestSession:
    """`nox -s plan -- --compare`."""

    def test_json_has_classes_digests_and_differences(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("ci.facts.gather.commit_of", lambda *_, **__: Known(value="a" * 40, source="git"))
        arguments = [
            "plan",
            "--compare",
            "mi300x,mi325x,cuda",
            "stage_b_amd",
            "--suite",
            "1-gpu-large",
            "--json",
        ]
        assert main(arguments) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["classes"] == ["mi300x", "mi325x", "cuda"]
        assert set(shown["digests"]) == {"mi300x", "mi325x"}
        values = {row["name"]: row["values"] for row in shown["differences"]}
        assert values["vlm_offline_output_tok_per_s"] == {
            "mi300x": "> 900 tok/s",
            "mi325x": "> 2000 tok/s",
            "cuda": "> 2500 tok/s",
        }

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            (["--compare", "mi300x,mi32x", "stage_b_amd"], "'mi32x' (did you mean 'mi325x'"),
            (["--compare", "mi300x", "stage_b_amd"], "compares 1 hardware classes"),
            (["--compare", "mi300x,cuda", "stage_b_amd"], "compares 1 hardware classes"),
            (["--compare", "mi300x,mi325x"], "the plans of which stage?"),
            (["--compare=mi300x,mi325x", "stage_b_amd", "--hardware", "cpu"], "both name hardware"),
            (["--compare"], "compares 0 hardware classes"),
        ],
    )
    def test_what_can_t_be_meant_is_exit_2(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], found: str
    ) -> None:
        assert main(["plan", *arguments]) == 2
        assert found in capsys.readouterr().err
