"""A run at an OTLP endpoint, and what an endpoint that does not work costs."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import cicd_attributes, code_attributes, test_attributes
from opentelemetry.semconv._incubating.metrics import cicd_metrics
from opentelemetry.semconv.attributes import error_attributes

from ci.record.events import Case, Metric
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.record.values import CaseOutcome
from ci.report.telemetry.export import Export, start_export
from ci.report.telemetry.spans import spans, trace_id
from support.otlp import Collector, collector, values
from support.ports import free_ports
from support.records import ended, record_of, run_events

# what one tick of a busy machine may add
SLACK_S = 1.0


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")


def sent(record: RunRecord, monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> str:
    """The line about a run that was sent there; the SDK reads the process's own environment."""
    return started(record, monkeypatch, url, **more).line()


def started(record: RunRecord, monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> Export:
    environ = {"AMD_CI_OTEL": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **more}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    export = start_export(record, environ, secrets=["s3cret-token-of-the-caller"])
    assert export is not None
    return export


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the sending thread makes its words, which takes long from now on."""
    event = threading.Event()

    def slow(text: str) -> str:
        if threading.current_thread() is not threading.main_thread():
            event.set()
            time.sleep(0.2)
        return text

    monkeypatch.setattr("ci.report.telemetry.export.one_line", slow)
    return event


def by_name(found: Collector) -> Mapping[str, Span]:
    return {span.name: span for span in found.spans}


def test_nothing_is_sent_unless_it_was_asked_for() -> None:
    with collector() as endpoint:
        for environ in (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "AMD_CI_OTEL": "0"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "AMD_CI_OTEL": "1", "OTEL_SDK_DISABLED": "true"},
        ):
            assert start_export(record_of("stage-b"), environ, ()) is None
    assert endpoint.bodies == {}


def test_run_suite_test_and_attempt_are_nested_spans_with_their_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = record_of("stage-b")
    with collector() as endpoint:
        line = sent(record, monkeypatch, endpoint.url)
    assert line == f"traces: sent to {endpoint.url}, trace {trace_id(record):032x}"
    found = {span.span_id: span for span in endpoint.spans}
    assert {span.trace_id.hex() for span in found.values()} == {f"{trace_id(record):032x}"}
    attempts = [span for span in found.values() if span.name.startswith("attempt ")]
    assert len(attempts) == sum(len(test.attempts) for test in record.tests)
    for span in attempts:
        above = [span]
        while above[-1].parent_span_id:
            above.append(found[above[-1].parent_span_id])
        kinds = [each.name.partition(" ")[0] for each in above]
        assert kinds == ["attempt", "test", "suite", "RUN"]
        for inner, outer in pairwise(above):
            assert outer.start_time_unix_nano <= inner.start_time_unix_nano
            assert inner.end_time_unix_nano <= outer.end_time_unix_nano
    failed = next(test for test in record.tests if test.status == "failed")
    span = by_name(endpoint)[f"test {failed.id}"]
    told = values(span.attributes)
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert (told["test.case.name"], told["test.case.result.status"]) == (failed.id, "fail")
    assert told["error.type"] == failed.verdict
    first = failed.attempts[0]
    (span,) = (each for each in attempts if each.name == f"attempt 1 of {failed.id}")
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(first.end.duration_s)
    assert endpoint.resource["service.name"] == "sglang-amd-ci"


def test_metrics_count_what_failed_and_carry_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of("stage-b")
    with collector() as endpoint:
        sent(record, monkeypatch, endpoint.url)
    metrics = endpoint.metrics
    ((about, seconds),) = metrics["cicd.pipeline.run.duration"]
    assert seconds == pytest.approx(record.duration_s)
    assert about["cicd.pipeline.result"] == "failure"
    assert sum(count for _, count in metrics["cicd.pipeline.run.errors"]) == len(record.to_repeat)
    measured = {about["amd_ci.metric.name"]: value for about, value in metrics["amd_ci.test.metric"]}
    assert measured == {
        metric.metric: pytest.approx(metric.value)
        for test in record.tests
        for metric in test.attempts[-1].metrics
    }


def test_names_are_those_of_the_semantic_conventions() -> None:
    known = {
        value
        for module in (cicd_attributes, test_attributes, code_attributes, error_attributes, cicd_metrics)
        for name, value in vars(module).items()
        if name.isupper()
    }
    known |= {"vcs.ref.head.revision", "process.exit.code"}
    used = {
        name
        for record in ("stage-b", "container")
        for span in spans(record_of(record))
        for name in span.attributes
    }
    assert {name for name in used if not name.startswith("amd_ci.")} <= known


def test_the_same_run_has_the_same_ids_and_another_has_others() -> None:
    record = record_of("stage-b")
    again = [(span.span_id, span.parent_id) for span in spans(record_of("stage-b"))]
    assert [(span.span_id, span.parent_id) for span in spans(record)] == again
    assert len({span for span, _ in again}) == len(again)
    later = replace(record, start=replace(record.start, time="2026-05-29T07:12:04.000Z"))
    assert trace_id(later) != trace_id(record)


def test_no_secret_is_sent_or_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cret-token-of-the-caller"  # noqa: S105 - made up
    case = Case(
        case=f"a.py::test_x[{secret}]", outcome=CaseOutcome.FAILED, file=f"{secret}.py", message=secret
    )
    attempt = ended(
        "failed",
        "product",
        cases=(case,),
        symptom=f"refused: {secret}",
        metrics=(Metric(metric=secret, value=1.0),),
    )
    record = fold(run_events({f"test/{secret}.py": [attempt]}, command=f"nox --key {secret}"))
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "x-token=another-secret-token"}
    with collector() as endpoint:
        line = sent(record, monkeypatch, endpoint.url.replace("//", "//user:pass-word-1@"), **headers)
    assert "sent to http://127.0.0.1" in line
    everything = b"".join(body for bodies in endpoint.bodies.values() for body in bodies) + line.encode()
    assert b"refused: ***" in everything
    for text in (secret, "another-secret-token", "pass-word-1"):
        assert text.encode() not in everything
    assert endpoint.headers["x-token"] == "another-secret-token"


class TestEndpointsThatDoNotWork:
    """Each writes nothing but its line; what each costs is in test/faults/test_telemetry.py."""

    def test_one_that_never_answers(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("ci.report.telemetry.export.LIMIT_S", 0.2)
        with collector(answers=False) as endpoint:
            line = sent(record_of("stage-b"), monkeypatch, endpoint.url)
        assert line == f"traces: not sent, {endpoint.url} did not take them within 0.2 s"
        assert capfd.readouterr() == ("", "")

    def test_one_that_refuses(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with collector(status=401) as endpoint:
            line = sent(record_of("stage-b"), monkeypatch, endpoint.url)
        assert line.startswith(f"traces: not sent to {endpoint.url}: ")
        assert "401" in line
        assert "\n" not in line
        assert capfd.readouterr() == ("", "")

    def test_a_refusal_is_named_also_while_its_words_are_being_made(
        self, monkeypatch: pytest.MonkeyPatch, refused: threading.Event
    ) -> None:
        with collector(status=401) as endpoint:
            export = started(record_of("stage-b"), monkeypatch, endpoint.url)
            assert refused.wait(30)
            assert export.line().startswith(f"traces: not sent to {endpoint.url}: ")

    def test_one_that_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        monkeypatch.setattr("ci.report.telemetry.export.LIMIT_S", 0.2)  # the SDK tries again until then
        line = sent(record_of("stage-b"), monkeypatch, url)
        assert line.startswith("traces: not sent")
        assert capfd.readouterr() == ("", "")

    def test_an_address_that_is_none(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert "not sent to" in sent(record_of("stage-b"), monkeypatch, "no address")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.usefixtures("refused")
    def test_a_protocol_that_is_not_supported_is_named_before_anything_is_sent(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("ci.report.telemetry.export.LIMIT_S", 0.0)
        with collector() as endpoint:
            protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
            line = sent(record_of("stage-b"), monkeypatch, endpoint.url, **protocol)
        assert "only http/protobuf is supported" in line
        assert endpoint.bodies == {}
        assert capfd.readouterr() == ("", "")
