"""What the shards of a suite could be instead."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Registration
from ci.catalog.stages import Split
from ci.plan.request import Request
from ci.plan.select import Estimate, estimates
from ci.plan.select import tests_of_suites as selected_tests
from ci.plan.sharding import SuiteShards, fewest_shards, suite_shards
from ci.plan.shards import Shard, balance
from support.planning import STAGE_B_SMALL, catalog, discovery, facts, planned, registration

GRAHAM = (5, 5, 4, 4, 3, 3, 3)


def rows_with(**changes: object) -> Catalog:
    """The fixture catalog with another row for the suite of stage b."""
    rows = catalog()
    changed = [
        replace(suite, **changes) if suite.name == STAGE_B_SMALL else suite  # type: ignore[arg-type]
        for suite in rows.suites
    ]
    return replace(rows, suites=tuple(changed))


def registered(*minutes: float) -> list[Registration]:
    return [
        registration(f"test/registered/test_{number}.py", STAGE_B_SMALL, 60 * each)
        for number, each in enumerate(minutes)
    ]


def shown(
    *minutes: float, cases: Mapping[str, tuple[str, ...]] | None = None, **changes: object
) -> SuiteShards:
    tests = replace(discovery(registered(*minutes)), cases=cases or {})
    (found,) = suite_shards(rows_with(**changes), tests)
    return found


def test_a_long_file_blocks_the_suite_and_some_shards_are_for_nothing() -> None:
    found = shown(30, 5, 5, 5, 5, shards=5)
    assert found.now.blocker == "test/registered/test_0.py"
    assert (found.now.makespan_s, found.now.gap) == (1800, 0)
    assert found.now.enough == 2


def test_the_longest_file_by_case_saves_what_another_split_of_its_parts_does() -> None:
    cases = {"test/registered/test_0.py": ("T::a", "T::b", "T::c")}
    split = shown(30, 5, 5, cases=cases, shards=3).file_split
    assert split is not None
    assert (split.parts, split.cases, split.saved_s) == (3, 3, 15 * 60)


def test_a_file_of_one_case_cannot_be_split() -> None:
    assert shown(30, 5, 5, cases={"test/registered/test_0.py": ("T::a",)}, shards=3).file_split is None


def test_an_even_split_needs_fewer_shards_for_the_same_longest_one() -> None:
    found = shown(*GRAHAM, shards=3)
    assert (found.now.makespan_s, found.even.makespan_s) == (11 * 60, 9 * 60)
    assert shown(*GRAHAM, shards=3, split=Split.EVEN).now.makespan_s == 9 * 60


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=14),
    st.integers(50, 300),
    st.sampled_from(Split),
)
def test_a_deadline_gets_the_fewest_shards_that_meet_it(sizes: list[int], limit: int, rule: Split) -> None:
    items = [Estimate(id=str(number), est_s=float(size)) for number, size in enumerate(sizes)]
    found = fewest_shards(items, limit, rule)
    assert found.shards is not None
    assert balance(items, found.shards, rule).makespan_s == found.makespan_s <= limit
    assert all(balance(items, fewer, rule).makespan_s > limit for fewer in range(1, found.shards))


def test_a_deadline_that_one_file_alone_misses_is_said() -> None:
    items = [Estimate(id="long", est_s=100.0), Estimate(id="short", est_s=1.0)]
    found = fewest_shards(items, 99, Split.SGLANG)
    assert (found.shards, found.too_long) == (None, ("long",))


def test_estimates_are_those_of_the_tests_that_a_session_selects() -> None:
    rows = [
        *registered(3, 1, 2),
        registration("test/registered/test_off.py", STAGE_B_SMALL, disabled="broken"),
        registration("test/registered/test_night.py", STAGE_B_SMALL, nightly=True),
    ]
    here = facts(rows)
    selected = selected_tests(catalog(), here, catalog().suites)
    for suite in catalog().suites:
        expected = [(test.id, test.est_s) for test in selected.get(suite.name, ())]
        assert [(one.id, one.est_s) for one in estimates(here.tests, suite, ())] == expected


def test_a_shard_has_the_tests_that_its_suites_row_gives_it() -> None:
    here = facts(registered(*GRAHAM))
    first = Request(stage="stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=3, count=3))
    minutes = {
        rule: sum(test.est_s for test in planned(rows_with(split=rule), here, first).work.suites[0].tests)
        / 60
        for rule in Split
    }
    assert minutes[Split.EVEN] == 9
    assert minutes[Split.SGLANG] != 9
