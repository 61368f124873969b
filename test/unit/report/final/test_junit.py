"""junit.xml: valid against the stored schema whatever the text, and no attempt is lost in it."""

from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from junit2htmlreport.parser import Junit

from ci.catalog.verdicts import Status, Verdict
from ci.record.events import Case, TestNotRun
from ci.record.fold import fold
from ci.record.merge import merge
from ci.record.model import Attempt, RunRecord
from ci.record.values import CaseOutcome, EmptyShard
from ci.report.final.junit import junit_xml
from ci.report.log_tail import LogTails
from ci.report.text import strip_ansi, visible
from support.merged_runs import STAGE_B_SMALL, shard_run
from support.records import (
    DATA,
    EVENTS,
    NASTY,
    SUITE,
    attempt_lists,
    ended,
    odd_text,
    record_of,
    run_events,
    run_started,
)

TAILS = LogTails(EVENTS, lines=40)


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(DATA / "junit.xsd"))


def parse(record: RunRecord) -> ET.Element:
    """The report, after the schema has taken it."""
    data = junit_xml(record, tails=TAILS)
    root = ET.fromstring(data)
    problems = [f"{error.path}: {error.reason}" for error in schema().iter_errors(root)]
    assert problems == []
    return root


def cases_of(root: ET.Element) -> dict[str, ET.Element]:
    return {case.get("name", ""): case for case in root.iter("testcase")}


def of_attempts(*attempts: Attempt) -> dict[str, ET.Element]:
    return cases_of(parse(fold(run_events({"a.py": attempts}))))


def case(outcome: str, name: str = "test_x", message: str = "", verdict: Verdict | None = None) -> Case:
    return Case(
        case=f"a.py::{name}",
        outcome=CaseOutcome(outcome),
        message=message,
        verdict=verdict,
        file="a.py",
        line=3,
    )


@pytest.mark.parametrize("name", ["stage-b", "rehearsal", "lost-agent", "cancelled"])
def test_stored_runs_are_valid_and_counted_right(name: str) -> None:
    root = parse(record_of(name))
    for suite in root.iter("testsuite"):
        found = list(suite.iter("testcase"))
        assert int(suite.get("tests", "")) == len(found)
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(count, "")) == sum(item.find(tag) is not None for item in found)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["a.py", "b.py"]), attempt_lists(), min_size=1), odd_text)
def test_any_attempts_are_valid(tests: dict[str, tuple[Attempt, ...]], text: str) -> None:
    record = fold(run_events(tests, stage=f"s {text}", commit=text, rehearsal=True))
    root = parse(record)
    red = {item.get("classname") for item in root.iter("testcase") if item.find("failure") is not None}
    red |= {item.get("classname") for item in root.iter("testcase") if item.find("error") is not None}
    # a case that failed before its test was cancelled stays a failure
    stopped = {
        test.id.removesuffix(".py")
        for test in record.having(Status.CANCELLED)
        if any(attempt.failed_cases for attempt in test.attempts)
    }
    failed = {test.id.removesuffix(".py") for test in record.having(Status.FAILED)}
    assert failed <= red <= failed | stopped


@pytest.mark.parametrize("text", NASTY)
def test_text_is_shown_as_it_is_and_what_xml_forbids_is_spelled_out(text: str) -> None:
    attempt = ended("failed", "product", cases=(case("failed", message=text),))
    failure = of_attempts(attempt)["test_x"].find("failure")
    assert failure is not None
    shown = visible(strip_ansi(text))
    assert failure.text == shown
    assert failure.get("message") == shown


def test_a_case_that_failed_and_then_passed_is_passed_and_flaky() -> None:
    found = of_attempts(
        ended("failed", "product", 1, cases=(case("failed", message="first"),)),
        ended("passed", "passed", 2, cases=(case("passed"),)),
    )
    flaky = found["test_x"].find("flakyFailure")
    assert flaky is not None
    assert flaky.get("message") == "attempt 1: first"
    assert found["test_x"].find("failure") is None


def test_a_case_that_failed_twice_keeps_both() -> None:
    found = of_attempts(
        ended("failed", "product", 1, cases=(case("failed", message="first"),)),
        ended("failed", "product", 2, cases=(case("failed", message="second"),)),
    )
    rerun, failure = found["test_x"].find("rerunFailure"), found["test_x"].find("failure")
    assert rerun is not None
    assert failure is not None
    assert (rerun.get("message"), failure.get("message")) == ("attempt 1: first", "second")


def test_a_case_that_the_passing_attempt_left_out_is_not_red() -> None:
    found = of_attempts(
        ended("failed", "product", 1, cases=(case("failed", "test_gone"),)),
        ended("passed", "passed", 2, cases=(case("passed"),)),
    )
    assert found["test_gone"].find("failure") is None
    assert found["test_gone"].find("flakyFailure") is not None


def test_a_file_that_no_case_failed_has_an_error_of_its_own() -> None:
    found = of_attempts(
        ended(
            "failed",
            "timeout-while-passing",
            evidence=("silent for 50 s",),
            cases=(case("passed"),),
        )
    )
    error = found["(file)"].find("error")
    assert error is not None
    assert error.get("type") == "timeout-while-passing"
    assert error.get("message") == "timeout-while-passing: stopped at its limit of 20 min"
    assert error.text == "silent for 50 s"
    assert found["test_x"].find("error") is None


def test_infrastructure_then_a_pass_is_a_flaky_error_of_the_file() -> None:
    found = of_attempts(
        ended("failed", "infra", 1, evidence=("503",)), ended("passed", "passed", 2, cases=(case("passed"),))
    )
    flaky = found["(file)"].find("flakyError")
    assert flaky is not None
    assert flaky.findtext("stackTrace") == "503"


def test_a_failed_case_has_the_verdict_of_its_attempt_unless_more_went_wrong() -> None:
    failed = (case("failed", message="no space"),)
    found = of_attempts(ended("failed", "infra", exit_code=1, cases=failed))
    assert list(found) == ["test_x"]
    assert found["test_x"].find("error") is not None
    found = of_attempts(ended("failed", "device", signal="SIGABRT", exit_code=-6, cases=failed))
    assert sorted(found) == ["(file)", "test_x"]
    assert found["test_x"].find("failure") is not None


def test_skips_say_why() -> None:
    skipped = ended("skipped", "passed", skip_reasons=("needs 8 GPUs",))
    entry = of_attempts(skipped)["(file)"].find("skipped")
    assert entry is not None
    assert entry.get("message") == "needs 8 GPUs"


def test_a_rehearsal_says_so_in_names_and_properties() -> None:
    root = parse(record_of("rehearsal"))
    assert root.get("name") == "REHEARSAL of stage-a-amd"
    for suite in root.iter("testsuite"):
        assert suite.get("name", "").startswith("REHEARSAL ")
        properties = {item.get("name"): item.get("value") for item in suite.iter("property")}
        assert properties["rehearsal"] == "true"
        assert properties["hardware_class"] == "cpu"
        assert properties["plan_digest"] == "90ab12cd" + "0" * 56


def test_verdicts_and_metrics_are_properties() -> None:
    root = parse(record_of("stage-b"))
    properties = {item.get("name"): item.get("value") for item in root.iter("property")}
    test = "test/registered/amd/test_gsm8k_llama.py"
    assert properties[f"verdict: {test}"] == "failed (bounds)"
    assert properties[f"metric: {test}: gsm8k.accuracy"] == "0.745 (>= 0.78: broken)"


def test_a_failed_test_carries_the_end_of_its_log() -> None:
    found = cases_of(parse(record_of("stage-b")))
    output = found["TestFusedMoE::test_matches_reference[bf16-E64-topk8]"].findtext("system-out")
    assert output is not None
    assert "1 failed, 2 passed in 70.12s" in output


@pytest.mark.parametrize(
    ("name", "message"),
    [("lost-agent", "the agent's stream ended"), ("cancelled", "the run was stopped")],
)
def test_a_run_that_broke_is_red_beside_its_tests(name: str, message: str) -> None:
    messages = [error.get("message", "") for error in parse(record_of(name)).iter("error")]
    assert any(message in found for found in messages)


def test_a_run_without_tests_is_valid() -> None:
    root = parse(fold([run_started([], empty_shards=(EmptyShard(suite="s", shard="2/2"),))]))
    assert list(root) == []


def test_the_schema_refuses_what_we_do_not_write(tmp_path: Path) -> None:
    data = junit_xml(record_of("stage-b"), tails=TAILS).decode().replace(' classname="', ' class="')
    assert not schema().is_valid(ET.fromstring(data))


def test_a_test_that_never_began_is_an_error_and_a_cancelled_one_is_skipped() -> None:
    events = run_events({"a.py": [ended("passed", "passed")]})
    for verdict, kind in ((Verdict.TIMEOUT, "error"), (Verdict.CANCELLED, "skipped")):
        left_out = TestNotRun(suite=SUITE, test="b.py", verdict=verdict, because="no time is left")
        (found,) = parse(fold([*events, left_out])).findall(".//testcase[@classname='b.py']") or [
            case for case in parse(fold([*events, left_out])).iter("testcase") if case.find(kind) is not None
        ]
        child = found.find(kind)
        assert child is not None
        assert child.get("message") == "not run: no time is left"


def test_a_merged_report_has_a_suite_for_each_run_and_an_error_for_what_is_missing() -> None:
    again = [
        ended("failed", "infra", of=2, exit_code=1, cases=(case("failed"),)),
        ended("passed", "passed", 2, of=2, cases=(case("passed"),)),
    ]
    runs = [shard_run(1, attempts={"test/registered/x/test_11.py": again}), shard_run(3)]
    root = parse(merge(runs, None).record)
    assert [suite.get("name") for suite in root] == [f"{STAGE_B_SMALL} 1/3", f"{STAGE_B_SMALL} 3/3", "(run)"]
    assert int(root.get("tests", "")) == sum(len(run.record.tests) for run in runs) + 1
    assert root.get("errors") == "1"
    (error,) = root[2].iter("error")
    assert "no run of shard 2/3 was found" in (error.text or "")
    assert len(list(root[0].iter("flakyError"))) == 1
    commands = [suite.find("properties/property[@name='repeat']") for suite in root[:2]]
    assert ["--shard 1/3" in (each.get("value", "") if each is not None else "") for each in commands] == [
        True,
        False,
    ]
    (reader,) = [Junit(xmlstring=junit_xml(merge(runs, None).record, tails=TAILS).decode())]
    assert [len(suite.all()) for suite in reader.suites] == [
        len(list(suite.iter("testcase"))) for suite in root
    ]
    assert [len(suite.failed()) for suite in reader.suites] == [0, 0, 1]
