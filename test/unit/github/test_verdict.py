"""The verdict over all jobs of a run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import UsageError
from ci.github.verdict import judge, read_needs


def needs(*results: str, counts: tuple[Any, ...] = (1, 2, 1), plan: str = "success") -> dict[str, Any]:
    outputs = {f"wave_{number}_jobs": str(count) for number, count in enumerate(counts, start=1)}
    jobs = {f"wave-{number}": {"result": result} for number, result in enumerate(results, start=1)}
    return {"plan": {"result": plan, "outputs": outputs}, **jobs}


OK = "success"


@pytest.mark.parametrize(
    ("jobs", "code", "words"),
    [
        (needs(OK, OK, OK), 0, ""),
        (needs("skipped", "skipped", "skipped", counts=(0, 0, 0)), 0, ""),
        (needs(OK, "skipped", "skipped", counts=(16, 0, 0)), 0, ""),
        (needs(OK, "failure", "skipped"), 1, "wave-2: failed"),
        (needs(OK, "cancelled", "skipped"), 130, "wave-2: was cancelled"),
        (needs(OK, "skipped", OK), 4, "wave-2: was skipped although 2 jobs were planned"),
        (needs(OK, "", OK), 4, "wave-2: was skipped although 2 jobs"),
        (needs(OK, OK, OK, counts=(1, 0, 1)), 4, "ended as 'success' although no job was planned"),
        (needs(OK, OK, OK, counts=(1, "", 1)), 4, "does not say how many"),
        (needs(OK, OK), 4, "wave-3: is not among the jobs"),
        (needs("skipped", "skipped", "skipped", counts=(), plan="failure"), 1, "plan: failed"),
        (needs(OK, OK, OK, plan="skipped"), 4, "plan: ended as 'skipped'"),
        ({"wave-1": {"result": OK}}, 4, "plan: is not among the jobs"),
        ({**needs(OK, OK, OK), "extra": {"result": "skipped"}}, 4, "extra: ended as 'skipped'"),
    ],
)
def test_the_verdict(jobs: dict[str, Any], code: int, words: str) -> None:
    found, problems, lines = judge(jobs)
    assert found == code
    assert words in "\n".join(map(str, problems))
    assert bool(problems) is bool(code)
    assert len(lines) == len(jobs)


@pytest.mark.parametrize("text", ["", " ", "{", "[]", '{"a": 1}'])
def test_needs_that_can_t_be_read_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="NEEDS"):
        read_needs(text)


def test_without_needs_there_is_nothing_to_judge() -> None:
    for text in ("", " \n"):
        with pytest.raises(UsageError, match="NEEDS is empty") as caught:
            read_needs(text)
        assert caught.value.cause == "not in the finish job"
    assert read_needs('{"plan": {}}') == {"plan": {}}


@given(
    st.lists(st.sampled_from([OK, "failure", "cancelled", "skipped", ""]), min_size=3, max_size=3),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_green_means_that_everything_planned_has_passed(results: list[str], counts: list[int]) -> None:
    code, _, _ = judge(needs(*results, counts=tuple(counts)))
    wanted = all(
        result == OK if count else result in ("skipped", "")
        for result, count in zip(results, counts, strict=True)
    )
    assert (code == 0) is wanted
