"""Latency and throughput of many independent requests: all at once, at a rate, or so many at a time.

Prompts are random words of an exact number of tokens and differ in every request; replies have an exact length, because
the end of text is ignored. Latencies run from the moment when a request was due: a client that is late does not hide it.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import events
from harness.bench import arrivals
from harness.bench.exchange import Exchange, exchange
from harness.bench.images import data_url
from harness.bench.prompts import Prompts
from harness.bench.replies import Answered, read_json, read_stream
from harness.bench.stats import percentile
from harness.bench.traffic import Recording, http_request
from harness.errors import MeasurementError, RequestError
from harness.server import Server
from harness.spec import current

__all__ = ["METRICS", "ServingResult", "run"]

# What `ServingResult.metrics` hands out, in this order.
# side of the pictures: several hundred tokens for a vision model, as SGLang's MMMU prompts have
IMAGE_PX = 512
METRICS = (
    "request_per_s",
    "output_tok_per_s",
    "total_tok_per_s",
    "median_ttft_ms",
    "p99_ttft_ms",
    "median_itl_ms",
    "p99_itl_ms",
    "median_e2e_ms",
    "p99_e2e_ms",
    "concurrency",
    "client_overhead_ms",
    "client_overhead_share",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """One bench. Latencies are of the requests that succeeded, rates over the time from the first until the last.

    `ttft` is the time to the first token, `itl` the time between two tokens of one reply, `e2e` the whole request;
    `ttft` and `itl` are NaN without a stream, `itl` also for replies of one token. `concurrency` is the mean number of
    requests under way. `client_overhead_ms` is the mean time for which the client itself held a request up,
    `client_overhead_share` its share of the median `e2e`.
    """

    requests: int
    failed_requests: int
    duration_s: float
    request_per_s: float
    output_tok_per_s: float
    total_tok_per_s: float
    median_ttft_ms: float
    p99_ttft_ms: float
    median_itl_ms: float
    p99_itl_ms: float
    median_e2e_ms: float
    p99_e2e_ms: float
    concurrency: float
    client_overhead_ms: float
    client_overhead_share: float

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Values by the metric's name in `ci/catalog/bounds.toml`: those of `METRICS` that were measured."""
        values = {name: float(getattr(self, name)) for name in METRICS}
        return {f"{prefix}{name}": value for name, value in values.items() if not math.isnan(value)}

    def table(self) -> str:
        """The result as lines of aligned columns."""
        lines = [f"{'':>4} {'median ms':>11} {'p99 ms':>11}"]
        for name in ("ttft", "itl", "e2e"):
            median, p99 = getattr(self, f"median_{name}_ms"), getattr(self, f"p99_{name}_ms")
            if math.isnan(median):
                continue
            lines.append(f"{name:>4} {median:>11.2f} {p99:>11.2f}")
        done = self.requests - self.failed_requests
        lines += [
            f"{done} of {self.requests} requests in {self.duration_s:.2f} s, {self.concurrency:.2f} under way on average",
            f"{self.request_per_s:.2f} requests/s, {self.output_tok_per_s:.1f} tok/s out, {self.total_tok_per_s:.1f} tok/s in all",
            f"client: {self.client_overhead_ms:.3f} ms a request, {self.client_overhead_share:.2%} of the median e2e",
        ]
        return "\n".join(lines)


def run(
    server: Server,
    *,
    prompts: int = 500,
    request_rate: float | None = None,
    input_len: int = 1024,
    output_len: int = 256,
    concurrency: int | None = None,
    stream: bool = True,
    images: int = 0,
    warmup: int = 1,
    seed: int = 1,
    adapter: str | None = None,
    kind: str = "serving",
) -> ServingResult:
    """Send `prompts` requests of `input_len` tokens that want `output_len` tokens each, and print what came of it.

    Without a `request_rate` all are due at once; with one they come as a Poisson process of so many a second.
    `concurrency` lets no more than so many be under way. `images` pictures go before each prompt, `adapter` names a LoRA
    adapter that the server has. `warmup` requests of the same kind go first, all at once, and don't count; then a prefix
    cache is emptied where the engine can. The same seed gives the same prompts at the same times.

    In rehearsal the stand-in's `sizes.<kind>` replaces what was asked for; a rate and a concurrency only where the test
    asked for one. Raises `InfraError` when too many requests failed, `EngineError` when the server died,
    `MeasurementError` when a reply has not exactly the tokens that were asked for.
    """
    spec = current()
    asked: dict[str, Any] = {
        "prompts": prompts,
        "request_rate": request_rate,
        "input_len": input_len,
        "output_len": output_len,
        "concurrency": concurrency,
        "images": images,
        "warmup": warmup,
    }
    sizes = spec.sizes(server.model, kind, **asked)
    load = _Load(server, sizes, seed=seed, stream=stream, adapter=adapter)
    if sizes["warmup"]:
        warm = load.make(sizes["warmup"])
        load.send("warm-up requests", warm, arrivals.all_at_once(len(warm)), None)
    if "flush_cache" in spec.features:
        server.client.get("/flush_cache")
    requests = load.make(sizes["prompts"])
    rate = sizes["request_rate"] if request_rate is not None else None
    due_s = arrivals.schedule(len(requests), rate=rate, seed=seed)
    limit = sizes["concurrency"] if concurrency is not None else None
    result = _result(load.send("requests answered", requests, due_s, limit), len(requests))
    sys.stdout.write(result.table() + "\n")
    if result.client_overhead_share > spec.limits.client_overhead_max:
        events.note(
            f"the client held requests up for {result.client_overhead_share:.1%} of their time: "
            "the latencies are partly its own"
        )
    return result


class _Load:
    """Makes and sends the requests of one bench; each call of `make` goes on where the one before ended."""

    def __init__(
        self, server: Server, sizes: dict[str, Any], *, seed: int, stream: bool, adapter: str | None
    ) -> None:
        self._server = server
        self._sizes = sizes
        self._stream = stream
        self._prompts = Prompts(server.client, seed=seed)
        self._choose = random.Random(seed)
        client = server.client
        self._base: dict[str, Any] = {
            "model": client.model if adapter is None else f"{client.model}:{adapter}",
            **client.defaults,
            "max_tokens": sizes["output_len"],
            "temperature": 0,
            "ignore_eos": True,
        }
        if stream:
            # SGLang may put several tokens into one event and says how many; llama.cpp sends one at a time
            options = {"include_usage": True, "continuous_usage_stats": True}
            self._base |= {"stream": True, "stream_options": options}

    def make(self, count: int) -> list[bytes]:
        return [self._request(text) for text in self._prompts.texts(count, tokens=self._sizes["input_len"])]

    def _request(self, text: str) -> bytes:
        body = dict(self._base)
        path = "/v1/completions"
        if self._sizes["images"]:
            path = "/v1/chat/completions"
            urls = [data_url(IMAGE_PX, self._choose) for _ in range(self._sizes["images"])]
            pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
            body["messages"] = [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]
        else:
            body["prompt"] = text
        return http_request(self._server.client.port, path, body)

    def send(
        self, what: str, requests: Sequence[bytes], due_s: Sequence[float], concurrency: int | None
    ) -> Exchange[Answered]:
        def read(recording: Recording) -> Answered:
            reply = read_stream(recording) if self._stream else _read_whole(recording)
            wanted = self._sizes["output_len"]
            if reply.output_tokens != wanted:
                raise MeasurementError(
                    f"a reply has {reply.output_tokens} tokens instead of {wanted}",
                    cause="the engine stopped early although ignore_eos was set, or it reports no usage",
                )
            return reply

        return exchange(self._server, requests, what=what, due_s=due_s, concurrency=concurrency, read=read)


def _read_whole(recording: Recording) -> Answered:
    raw, done_s = read_json(recording)
    if not raw.get("choices"):
        raise RequestError(f"the answer has no choices: {str(raw)[:200]}")
    usage = raw.get("usage") or {}
    return Answered(
        done_s=done_s,
        tokens=(),
        prompt_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _result(done: Exchange[Answered], total: int) -> ServingResult:
    e2e_ms = [(reply.done_s - sent.due_s) * 1000 for sent, reply in done.good]
    ttft_ms = [(reply.tokens[0][0] - sent.due_s) * 1000 for sent, reply in done.good if reply.tokens]
    itl_ms = [gap for _, reply in done.good for gap in _gaps_ms(reply)]
    duration_s = max(reply.done_s for _, reply in done.good) - min(sent.due_s for sent, _ in done.good)
    output_tokens = sum(reply.output_tokens or 0 for _, reply in done.good)
    prompt_tokens = sum(reply.prompt_tokens or 0 for _, reply in done.good)
    overhead_ms = statistics.fmean(sent.client_s for sent, _ in done.good) * 1000
    median_e2e_ms = statistics.median(e2e_ms)
    return ServingResult(
        requests=total,
        failed_requests=done.failed,
        duration_s=duration_s,
        request_per_s=len(done.good) / duration_s,
        output_tok_per_s=output_tokens / duration_s,
        total_tok_per_s=(prompt_tokens + output_tokens) / duration_s,
        median_ttft_ms=percentile(ttft_ms, 0.5),
        p99_ttft_ms=percentile(ttft_ms, 0.99),
        median_itl_ms=percentile(itl_ms, 0.5),
        p99_itl_ms=percentile(itl_ms, 0.99),
        median_e2e_ms=median_e2e_ms,
        p99_e2e_ms=percentile(e2e_ms, 0.99),
        concurrency=sum(e2e_ms) / 1000 / duration_s,
        client_overhead_ms=overhead_ms,
        client_overhead_share=overhead_ms / median_e2e_ms,
    )


def _gaps_ms(reply: Answered) -> list[float]:
    """The time before each token but the first; tokens that came in one event share the time before it."""
    gaps: list[float] = []
    for (before_s, _), (at_s, count) in itertools.pairwise(reply.tokens):
        gaps += [(at_s - before_s) * 1000 / count] * count
    return gaps
