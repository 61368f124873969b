"""The states of a job: which of them are ends, and as what their tests count."""

import pytest

from ci.catalog.verdicts import Verdict
from ci.slurm.states import JobState


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("COMPLETED", Verdict.INFRA),
        ("FAILED", Verdict.INFRA),
        ("TIMEOUT", Verdict.TIMEOUT),
        ("CANCELLED", Verdict.CANCELLED),
        ("CANCELLED by 1000", Verdict.CANCELLED),
        ("NODE_FAIL", Verdict.INFRA),
        ("PREEMPTED", Verdict.INFRA),
        ("OUT_OF_MEMORY", Verdict.PRODUCT),
        ("BOOT_FAIL", Verdict.INFRA),
        ("DEADLINE", Verdict.TIMEOUT),
    ],
)
def test_an_end_gives_the_tests_that_it_kept_from_running_a_verdict(text: str, verdict: Verdict) -> None:
    row = JobState.of(text).row
    assert row.ended
    assert row.verdict is verdict


@pytest.mark.parametrize("text", ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"])
def test_a_job_that_may_go_on_has_not_ended(text: str) -> None:
    assert not JobState.of(text).row.ended


@pytest.mark.parametrize("state", JobState)
def test_the_words_of_a_state_say_what_the_job_does(state: JobState) -> None:
    assert not state.row.words.startswith("its ")


def test_a_state_of_a_newer_slurm_is_no_end() -> None:
    assert JobState.of("TELEPORTED") is JobState.UNKNOWN
    assert JobState.of("") is JobState.UNKNOWN
    assert not JobState.UNKNOWN.row.ended
