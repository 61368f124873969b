"""Names and exit codes as verdicts and statuses."""

import pytest

from ci.catalog.verdicts import CAUSES, RETRIABLE, Status, Verdict
from ci.errors import ExitCode


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_is_known_by_its_name(verdict: Verdict) -> None:
    assert Verdict.of_name(str(verdict)) is verdict
    assert verdict.row.words


def test_a_name_of_another_version_is_unknown() -> None:
    assert Verdict.of_name("haunted") is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (ExitCode.TESTS_FAILED, Verdict.PRODUCT),
        (ExitCode.TIMEOUT, Verdict.TIMEOUT),
        (ExitCode.GUARD, Verdict.GUARD),
        (ExitCode.USAGE, Verdict.USAGE),
        (ExitCode.INTERRUPTED, Verdict.CANCELLED),
        (ExitCode.INFRASTRUCTURE, Verdict.INFRA),
        (ExitCode.BOUNDS, Verdict.INFRA),  # no phase judges bounds
        (77, Verdict.INFRA),
    ],
)
def test_an_error_that_stops_a_phase_becomes_its_verdict(code: int, verdict: Verdict) -> None:
    assert Verdict.of_phase(code) is verdict


def test_what_a_log_cannot_show_is_no_cause_and_a_pass_is_never_retried() -> None:
    assert not {Verdict.PASSED, Verdict.CANCELLED, Verdict.TIMEOUT_WHILE_PASSING} & set(CAUSES)
    assert Verdict.PASSED not in RETRIABLE
    assert set(RETRIABLE) <= set(CAUSES)


def test_a_status_reads_as_words_and_is_still_its_name() -> None:
    assert (Status.NOT_RUN.plain, str(Status.NOT_RUN), Status["NOT_RUN"]) == (
        "not run",
        "not-run",
        Status.NOT_RUN,
    )
    assert {status for status in Status if status.row.ok} == {Status.PASSED, Status.FLAKY}
