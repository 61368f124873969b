"""Environments by the name of a set, a suite or a test, and where a variable comes from."""

import pytest

from ci.catalog.registrations.parse import Discovery
from ci.errors import UsageError
from ci.plan.environment import Resolved
from ci.plan.named_environments import differences, explain, named_environment, with_common
from support.planning import STAGE_A, catalog, discovery, registration

FOUR_GPU, WEST = "stage-c-test-4-gpu-amd", "stage-b-test-1-gpu-west-amd"
BIG = "nightly-amd-8-gpu-west-big-flash"
ROWS = [
    registration("test/registered/amd/test_big_fp4.py", BIG),
    registration("test/registered/amd/test_two.py", STAGE_A),
    registration("test/registered/amd/test_two.py", FOUR_GPU),
    registration("test/registered/amd/test_none.py", "no-suite-of-ours"),
]


def named(*names: str) -> Resolved:
    return named_environment(catalog(), names, lambda: discovery(ROWS))


def same_text(_name: str, one: str, two: str) -> bool:
    return one == two


def refused(*names: str) -> str:
    with pytest.raises(UsageError) as caught:
        named(*names)
    return caught.value.render()


def test_sets_are_layered_in_the_order_given() -> None:
    assert named("big_model.FP4").values["FP4_EXPERTS"] == "true"
    both = named("big_model.FP4", "big_model.FP8").settings["FP4_EXPERTS"]
    assert (both.value, both.source) == ("false", "big_model.FP8")
    assert both.overrode == (("big_model.FP4", "true"),)
    assert named("big_model.FP8", "big_model.FP4").values["FP4_EXPERTS"] == "true"


def test_a_suite_has_the_sets_of_its_layers() -> None:
    found = named(FOUR_GPU).values
    assert (found["CUMEM_ENABLE"], found["IN_CI"]) == ("0", "1")


def test_no_tests_are_read_for_sets_and_suites() -> None:
    def refuse() -> Discovery:
        pytest.fail("the tests were read")

    for name in (FOUR_GPU, "base.BASE"):
        named_environment(catalog(), [name], refuse)


def test_a_test_is_named_by_the_end_of_its_path() -> None:
    assert named("test_big_fp4.py").values["FP4_EXPERTS"] == "true"
    assert "FP4_EXPERTS" not in named(BIG).values


def test_a_test_of_suites_that_differ_has_no_environment_of_its_own() -> None:
    text = refused("test_two.py")
    assert "has 2 environments" in text
    assert f"{STAGE_A}, {FOUR_GPU}" in text
    assert "has 0 environments" in refused("test_none.py")


def test_unknown_names_are_refused_all_at_once_with_the_nearest() -> None:
    text = refused("big_model.FP5", "base.BASE", "west")
    assert "big_model.FP5: is not an env set, a suite, a test or a file" in text
    assert "west: is not an env set" in text
    assert "base.BASE: " not in text
    assert "test_big_fp4.py" in refused("test_big_fp5.py")


def test_what_differs_is_sorted_and_none_where_one_has_no_such_variable() -> None:
    rows = differences(named("big_model.COMMON", "big_model.FP4"), named("big_model.FP8"), same_text)
    values = [(name, left and left.value, right and right.value) for name, left, right in rows]
    assert values == [
        ("ATTENTION_BACKEND", "triton", None),
        ("FP4_EXPERTS", "true", "false"),
        ("USE_KERNELS", "1", None),
    ]
    assert differences(named("base.BASE"), named("base.BASE"), same_text) == []


def test_values_that_are_the_same_to_their_reader_do_not_differ() -> None:
    rows = differences(named("big_model.FP4"), named("big_model.FP8"), lambda *_: True)
    assert rows == []


def test_a_suite_has_a_short_name() -> None:
    suite = next(suite for suite in catalog().suites if suite.name == FOUR_GPU)
    assert named(suite.id).values == named(FOUR_GPU).values


def test_a_set_as_tests_have_it_is_above_the_common_one_of_its_file() -> None:
    assert with_common(catalog(), ["big_model.FP4"]) == ("big_model.COMMON", "big_model.FP4")
    assert with_common(catalog(), ["big_model.COMMON"]) == ("big_model.COMMON",)
    assert with_common(catalog(), ["base.BASE", "big_model.FP4"]) == ("base.BASE", "big_model.FP4")
    assert with_common(catalog(), [FOUR_GPU]) == (FOUR_GPU,)


def test_a_variable_is_explained_by_suite() -> None:
    found = explain(catalog(), "CUMEM_ENABLE")
    assert FOUR_GPU in found.settings
    assert WEST not in found.settings
    assert found.passed_through == ""
    assert set(explain(catalog(), "IN_CI").settings) == {suite.name for suite in catalog().suites}


def test_a_variable_that_only_tests_have_is_explained_by_set() -> None:
    assert {name: setting.value for name, setting in explain(catalog(), "FP4_EXPERTS").settings.items()} == {
        "big_model.FP4": "true",
        "big_model.FP8": "false",
    }


@pytest.mark.parametrize(
    ("name", "why"), [("HF_TOKEN", "gated models"), ("SLURM_JOB_ID", "the caller's GPUs")]
)
def test_a_variable_of_the_caller_is_explained_by_its_row(name: str, why: str) -> None:
    found = explain(catalog(), name)
    assert (found.settings, found.passed_through) == ({}, why)


def test_an_unknown_variable_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        explain(catalog(), "CUMEM_ENABLED")
    assert "CUMEM_ENABLE" in caught.value.cause
