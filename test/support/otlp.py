"""An OTLP endpoint on loopback: a real HTTP server, whose bytes are decoded by OpenTelemetry's own messages."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Collector", "collector", "values"]


@dataclass
class Collector:
    """What was received: bodies by path, and the headers of the last request."""

    url: str = ""
    status: int = 200
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    silent: threading.Event = field(default_factory=threading.Event)

    @property
    def resource(self) -> dict[str, object]:
        (body,) = self.bodies["/v1/traces"]
        (group,) = ExportTraceServiceRequest.FromString(body).resource_spans
        return values(group.resource.attributes)

    @property
    def spans(self) -> list[Span]:
        found = []
        for body in self.bodies.get("/v1/traces", []):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in group.scope_spans:
                    found += scope.spans
        return found

    @property
    def metrics(self) -> dict[str, list[tuple[dict[str, object], float]]]:
        """Each metric's points: their attributes, and a sum, a count's value or a gauge's."""
        found: dict[str, list[tuple[dict[str, object], float]]] = {}
        for body in self.bodies.get("/v1/metrics", []):
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in group.scope_metrics:
                    for metric in scope.metrics:
                        points = found.setdefault(metric.name, [])
                        for each in metric.histogram.data_points:
                            points.append((values(each.attributes), each.sum))
                        for number in (*metric.sum.data_points, *metric.gauge.data_points):
                            value = number.as_int if number.HasField("as_int") else number.as_double
                            points.append((values(number.attributes), value))
        return found


def values(attributes: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes as Python has them."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes}


@contextmanager
def collector(*, status: int = 200, answers: bool = True) -> Iterator[Collector]:
    """An endpoint that takes everything, refuses everything, or takes it and never answers."""
    found = Collector(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.bodies.setdefault(self.path, []).append(body)
            found.headers = {name.lower(): text for name, text in self.headers.items()}
            if not answers:
                found.silent.wait(60)
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        found.silent.set()
        server.shutdown()
        server.server_close()
