"""Spans and metrics of a run to an OTLP endpoint. It costs a run at most three seconds, and nothing else."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ci.record.fold import exit_code
from ci.record.model import RunRecord
from ci.report import model
from ci.report.telemetry.spans import Span, Value, result_of, spans, trace_id
from ci.report.text import duration, one_line
from ci.system import clock
from ci.system.environ import exports_telemetry

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["Export", "start_export"]

# What a run waits for an endpoint. GitHub kills an interrupted job 10 s after its first signal, of which the tests'
# end takes up to 7.
LIMIT_S: Final = 3.0
# what the SDK itself takes where no variable names another
_DEFAULT_ENDPOINT: Final = "http://localhost:4318"
_SCOPE: Final = "sglang-amd-ci"
_REFUSED: Final = "it was refused"
_REASON_CHARS: Final = 200
# a shorter value would be found by chance
_SECRET_CHARS: Final = 8
# of histograms of seconds: from a unit test to a nightly suite
_BUCKETS_S: Final = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400)


class Export:
    """A run on its way to an endpoint, in a thread that dies with the process."""

    def __init__(self, record: RunRecord, environ: Mapping[str, str], secrets: Iterable[str]) -> None:
        """Begin to send; no text that is sent or shown holds one of `secrets`."""
        self._endpoint = _endpoint(environ)
        self._hidden = [each for each in (*secrets, *_credentials(environ)) if len(each) >= _SECRET_CHARS]
        self._trace = f"{trace_id(record):032x}"
        # written by the thread while it lives, so read only before and after that
        self._failure = self._shortened(_unsupported(environ))
        self._heard = _Heard()
        self._began_s = clock.monotonic_s()
        self._thread = Thread(target=self._try, args=(record, environ), daemon=True)
        if self._failure:
            return
        try:
            self._thread.start()
        except RuntimeError as error:
            self._failure = str(error)

    def line(self) -> str:
        """What came of it, in one line, at most three seconds after it began."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, LIMIT_S - (clock.monotonic_s() - self._began_s)))
        if self._thread.is_alive():
            words = f"traces: not sent, {self._endpoint} did not take them within {duration(LIMIT_S)}"
            return f"{words}: {self._shortened(self._heard.words)}" if self._heard.words else words
        if self._failure:
            return f"traces: not sent to {self._endpoint}: {self._failure}"
        return f"traces: sent to {self._endpoint}, trace {self._trace}"

    def _try(self, record: RunRecord, environ: Mapping[str, str]) -> None:
        try:
            failure = self._send(record, environ)
        except Exception as error:  # noqa: BLE001 - an endpoint, its SDK or its settings must not cost a run
            failure = f"{type(error).__name__}: {error}"
        self._failure = self._shortened(failure)

    def _shortened(self, text: str) -> str:
        return one_line(self._plain(text))[:_REASON_CHARS]

    def _send(self, record: RunRecord, environ: Mapping[str, str]) -> str:
        """Why it could not be sent; empty when it was."""
        # in an optional group of packages, and half a second to import
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

        resource = Resource.create({"service.name": _SCOPE} if not environ.get("OTEL_SERVICE_NAME") else {})
        if record.agent.host:
            resource = resource.merge(Resource({"host.name": record.agent.host}))
        with self._heard:
            traced = OTLPSpanExporter(timeout=LIMIT_S).export(self._traced(record, resource))
            if traced is not SpanExportResult.SUCCESS:
                return self._heard.words or _REFUSED
            measured = OTLPMetricExporter(timeout=LIMIT_S).export(self._measured(record, resource))
            return (
                "" if measured is MetricExportResult.SUCCESS else f"metrics: {self._heard.words or _REFUSED}"
            )

    def _traced(self, record: RunRecord, resource: "Resource") -> Sequence["ReadableSpan"]:
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - as above
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
        from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415
        from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

        trace, scope = trace_id(record), InstrumentationScope(_SCOPE)

        def context(span_id: int) -> SpanContext:
            return SpanContext(trace, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        def status(span: Span) -> Status:
            if span.failed is None:
                return Status(StatusCode.UNSET)
            return Status(StatusCode.ERROR if span.failed else StatusCode.OK)

        return [
            ReadableSpan(
                name=self._plain(span.name),
                context=context(span.span_id),
                parent=context(span.parent_id) if span.parent_id else None,
                resource=resource,
                attributes=self._all_shown(span.attributes),
                status=status(span),
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=scope,
            )
            for span in spans(record)
        ]

    def _measured(self, record: RunRecord, resource: "Resource") -> "MetricsData":
        """How long run and tests took, how tests failed, and what they measured."""
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415

        reader = InMemoryMetricReader()
        provider = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        meter = provider.get_meter(_SCOPE)
        pipeline: dict[str, Value] = {"cicd.pipeline.name": record.start.stage}

        def seconds(name: str, what: str) -> "Histogram":
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=_BUCKETS_S)

        took = seconds("cicd.pipeline.run.duration", "Duration of a run")
        ended: dict[str, Value] = {
            "cicd.pipeline.run.state": "executing",
            "cicd.pipeline.result": result_of(exit_code(record)),
        }
        took.record(record.duration_s, pipeline | ended)
        errors = meter.create_counter("cicd.pipeline.run.errors", "{error}", "Tests that failed, by verdict")
        durations = seconds("amd_ci.test.duration", "Duration of a test with all its attempts")
        for test in record.tests:
            if test.attempts:
                durations.record(
                    test.duration_s,
                    self._all_shown(
                        pipeline | {"test.suite.name": test.suite, "amd_ci.test.status": test.status.value}
                    ),
                )
        for test in record.to_repeat:
            errors.add(1, pipeline | {"error.type": test.verdict.value})
        values = meter.create_gauge("amd_ci.test.metric", description="What a test measured")
        for row in model.measured(record):
            if row.has_value:
                values.set(
                    row.metric.value,
                    self._all_shown(
                        {
                            "test.case.name": row.test.id,
                            "test.suite.name": row.test.suite,
                            "amd_ci.metric.name": row.metric.metric,
                            "amd_ci.metric.unit": row.metric.unit,
                            "amd_ci.metric.state": row.state.value,
                        }
                    ),
                )
        found = reader.get_metrics_data()
        if found is None:
            raise ValueError("no metric was recorded")
        return found

    def _all_shown(self, attributes: Mapping[str, Value]) -> dict[str, Value]:
        return {name: self._shown(value) for name, value in attributes.items()}

    def _shown(self, value: Value) -> Value:
        return self._plain(value) if isinstance(value, str) else value

    def _plain(self, text: str) -> str:
        """The text with no secret in it, and none of what UTF-8 cannot hold."""
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text.encode("utf-8", "backslashreplace").decode()


def start_export(record: RunRecord, environ: Mapping[str, str], secrets: Iterable[str]) -> Export | None:
    """Begin to send a run; None when nobody has asked for it."""
    return Export(record, environ, secrets) if exports_telemetry(environ) else None


class _Heard(logging.Handler):
    """What the SDK and what it sends by would have written to the terminal."""

    _LOGGERS: Final = ("opentelemetry", "requests", "urllib3")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())

    @property
    def words(self) -> str:
        """The last thing that was said, empty for nothing."""
        return self._lines[-1] if self._lines else ""

    def __enter__(self) -> None:
        for name in self._LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def __exit__(self, *_: object) -> None:
        """Stay: a thread that is given up must not begin to write."""


def _unsupported(environ: Mapping[str, str]) -> str:
    """Why this environment can send nothing at all; empty when it can."""
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    if protocol not in ("", "http/protobuf"):
        return f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and only http/protobuf is supported"
    if find_spec("opentelemetry") is None:
        return "this environment has no opentelemetry; a session with AMD_CI_OTEL=1 makes one that has"
    return ""


def _endpoint(environ: Mapping[str, str]) -> str:
    """The endpoint as it may be shown: without a user and a password."""
    given = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    try:
        parts = urlsplit(given or _DEFAULT_ENDPOINT)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an invalid address"
    return one_line(f"{parts.scheme}://{host}{parts.path}")


def _credentials(environ: Mapping[str, str]) -> Iterator[str]:
    """The values of headers, which are tokens as a rule, and passwords in addresses."""
    for name, text in environ.items():
        if name.startswith("OTEL_") and name.endswith("_HEADERS"):
            for pair in text.split(","):
                value = pair.partition("=")[2].strip()
                # as given, as sent, and without a scheme such as Bearer
                yield from (value, unquote(value), unquote(value).rpartition(" ")[2])
        elif name.startswith("OTEL_") and name.endswith("_ENDPOINT") and "@" in text:
            user = text.partition("//")[2].rpartition("@")[0]
            yield from (user, user.partition(":")[2])
