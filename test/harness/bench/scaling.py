"""Latency of one request at a time by the number of texts in it, for the endpoints that take batches."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.bench import arrivals
from harness.bench.exchange import exchange
from harness.bench.prompts import Prompts
from harness.bench.replies import read_json
from harness.bench.stats import percentile
from harness.bench.traffic import Recording, http_request
from harness.errors import RequestError
from harness.server import Server
from harness.spec import current

__all__ = ["BatchPoint", "embeddings", "score", "table"]

_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPoint:
    """One batch size. Latencies are of the requests that succeeded, the rate over the time of all."""

    batch_size: int
    mean_ms: float
    p95_ms: float
    request_per_s: float
    successful: int
    total: int

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Values by the metric's name in `ci/catalog/bounds.toml`, e.g. `bs25_p95_ms`."""
        name = f"{prefix}bs{self.batch_size}"
        return {
            f"{name}_mean_ms": self.mean_ms,
            f"{name}_p95_ms": self.p95_ms,
            f"{name}_request_per_s": self.request_per_s,
        }


def embeddings(
    server: Server,
    *,
    batch_sizes: Sequence[int] = (10, 25, 50),
    requests: int = 10,
    input_len: int = 500,
    warmup: int = 1,
    seed: int = 1,
) -> list[BatchPoint]:
    """`/v1/embeddings`: `requests` for each batch size, one after the other, of texts with `input_len` tokens each.

    `warmup` requests go before each batch size and don't count. In rehearsal `sizes.embeddings` replaces what was asked
    for. A request fails when it has not a vector for each text; raises `InfraError` when too many do.
    """
    sizes = current().sizes(
        server.model,
        "embeddings",
        batch_sizes=list(batch_sizes),
        requests=requests,
        input_len=input_len,
        warmup=warmup,
    )
    prompts = Prompts(server.client, seed=seed)

    def body(batch_size: int) -> dict[str, Any]:
        return {"input": prompts.texts(batch_size, tokens=sizes["input_len"])}

    def count(answer: Any) -> int:
        vectors = [item["embedding"] for item in answer["data"]]
        return len(vectors) if all(vectors) else 0

    return _measure(server, "/v1/embeddings", sizes, body, count)


def score(
    server: Server,
    *,
    batch_sizes: Sequence[int] = (10, 25, 50),
    requests: int = 10,
    query_len: int = 120,
    item_len: int = 180,
    warmup: int = 1,
    seed: int = 1,
) -> list[BatchPoint]:
    """SGLang's `/v1/score`: a query of `query_len` tokens against a batch of items of `item_len` tokens each.

    As `embeddings` in all else; its sizes in rehearsal are `sizes.score`. The default lengths are those of SGLang's own
    benchmark of this endpoint.
    """
    sizes = current().sizes(
        server.model,
        "score",
        batch_sizes=list(batch_sizes),
        requests=requests,
        query_len=query_len,
        item_len=item_len,
        warmup=warmup,
    )
    prompts = Prompts(server.client, seed=seed)
    labels = [server.client.tokenize(label)[-1] for label in (" yes", " no")]

    def body(batch_size: int) -> dict[str, Any]:
        (query,) = prompts.texts(1, tokens=sizes["query_len"], special=False)
        items = prompts.texts(batch_size, tokens=sizes["item_len"], special=False)
        return {"query": query, "items": items, "label_token_ids": labels, "apply_softmax": True}

    return _measure(server, "/v1/score", sizes, body, lambda answer: len(answer["scores"]))


def _measure(
    server: Server,
    path: str,
    sizes: Mapping[str, Any],
    body: Callable[[int], dict[str, Any]],
    count: Callable[[Any], int],
) -> list[BatchPoint]:
    points = []
    for batch_size in sizes["batch_sizes"]:
        made = [
            http_request(server.client.port, path, {"model": server.client.model, **body(batch_size)})
            for _ in range(sizes["warmup"] + sizes["requests"])
        ]
        warm, measured = made[: sizes["warmup"]], made[sizes["warmup"] :]
        if warm:
            _send(server, f"warm-up requests to {path} of {batch_size}", warm, batch_size, count)
        points.append(_send(server, f"requests to {path} of {batch_size}", measured, batch_size, count))
    sys.stdout.write(table(points) + "\n")
    return points


def _send(
    server: Server, what: str, requests: Sequence[bytes], batch_size: int, count: Callable[[Any], int]
) -> BatchPoint:
    def read(recording: Recording) -> float:
        answer, done_s = read_json(recording)
        try:
            has = count(answer)
        except (KeyError, TypeError) as error:
            raise RequestError(f"the answer lacks {error}: {str(answer)[:_SHOWN]}") from error
        if has != batch_size:
            raise RequestError(f"the answer has {has} results for {batch_size} texts")
        return done_s

    due_s = arrivals.all_at_once(len(requests))
    done = exchange(server, requests, what=what, due_s=due_s, concurrency=1, read=read)
    latencies_ms = [(done_s - sent.due_s) * 1000 for sent, done_s in done.good]
    duration_s = max(done_s for _, done_s in done.good) - done.good[0][0].due_s
    return BatchPoint(
        batch_size=batch_size,
        mean_ms=statistics.fmean(latencies_ms),
        p95_ms=percentile(latencies_ms, 0.95),
        request_per_s=len(latencies_ms) / duration_s,
        successful=len(latencies_ms),
        total=len(requests),
    )


def table(points: Iterable[BatchPoint]) -> str:
    """The points as lines of aligned columns."""
    head = f"{'batch':>5} {'mean ms':>10} {'p95 ms':>10} {'requests/s':>11} {'successful':>11}"
    rows = [
        f"{p.batch_size:>5} {p.mean_ms:>10.2f} {p.p95_ms:>10.2f} {p.request_per_s:>11.2f} "
        f"{f'{p.successful} of {p.total}':>11}"
        for p in points
    ]
    return "\n".join([head, *rows])
