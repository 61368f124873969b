"""Latency and throughput of one batch at a time: all its requests start together, the batch ends with the last.

Prompts are token ids, so that their length is exact on every engine, and differ in every request, so that no prefix
cache can help.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness import events
from harness.client import Chunk
from harness.errors import MeasurementError
from harness.server import Server
from harness.spec import current

__all__ = ["Point", "run", "table"]

# Ids of ordinary tokens in every vocabulary that we serve: above the special ones, below the smallest size (32,000).
_TOKEN_IDS = range(1_000, 30_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One batch. Latency runs from the common start to the last token, `ttft_s` to the last request's first token."""

    batch_size: int
    input_len: int
    output_len: int
    latency_s: float
    ttft_s: float
    itl_ms: float

    @property
    def input_tokens_per_s(self) -> float:
        """Prompt tokens over the time until every request had its first token."""
        return self.batch_size * self.input_len / self.ttft_s

    @property
    def output_tokens_per_s(self) -> float:
        """Generated tokens over the time of the whole batch."""
        return self.batch_size * self.output_len / self.latency_s

    def metrics(self) -> dict[str, float]:
        """Values by the metric's name in `ci/catalog/bounds.toml`, e.g. `bs4_output_tokens_per_s`."""
        name = f"bs{self.batch_size}"
        return {
            f"{name}_latency_s": self.latency_s,
            f"{name}_ttft_s": self.ttft_s,
            f"{name}_itl_ms": self.itl_ms,
            f"{name}_input_tokens_per_s": self.input_tokens_per_s,
            f"{name}_output_tokens_per_s": self.output_tokens_per_s,
        }


def run(server: Server, *, batch_sizes: Sequence[int], input_len: int, output_len: int) -> list[Point]:
    """Measure every batch size after one warm-up request and print the table; in rehearsal `sizes.one_batch` replaces what was asked for.

    Raises `MeasurementError` when a reply has not exactly `output_len` tokens, since rates would mean nothing then.
    """
    sizes = current().sizes(
        server.model, "one_batch", batch_sizes=list(batch_sizes), input_len=input_len, output_len=output_len
    )
    points: list[Point] = []
    for number, batch_size in enumerate(sizes["batch_sizes"]):
        _batch(
            server,
            batch_size=1,
            input_len=sizes["input_len"],
            output_len=sizes["output_len"],
            seed=2 * number,
        )
        points.append(
            _batch(
                server,
                batch_size=batch_size,
                input_len=sizes["input_len"],
                output_len=sizes["output_len"],
                seed=2 * number + 1,
            )
        )
        events.progress("batches measured", number + 1, len(sizes["batch_sizes"]))
    sys.stdout.write(table(points) + "\n")
    return points


def table(points: Iterable[Point]) -> str:
    """The points as lines of aligned columns."""
    head = f"{'batch':>5} {'in':>6} {'out':>6} {'latency s':>10} {'ttft s':>8} {'itl ms':>8} {'in tok/s':>10} {'out tok/s':>10}"
    rows = [
        f"{p.batch_size:>5} {p.input_len:>6} {p.output_len:>6} {p.latency_s:>10.3f} {p.ttft_s:>8.3f} {p.itl_ms:>8.2f} "
        f"{p.input_tokens_per_s:>10.1f} {p.output_tokens_per_s:>10.1f}"
        for p in points
    ]
    return "\n".join([head, *rows])


def _batch(server: Server, *, batch_size: int, input_len: int, output_len: int, seed: int) -> Point:
    choose = random.Random(seed)
    prompts = [choose.choices(_TOKEN_IDS, k=input_len) for _ in range(batch_size)]
    together = threading.Barrier(batch_size)

    def one(prompt: list[int]) -> list[Chunk]:
        together.wait()
        stream = server.client.stream_completions(
            prompt, max_tokens=output_len, temperature=0, ignore_eos=True
        )
        return list(stream)

    with ThreadPoolExecutor(max_workers=batch_size) as pool:
        replies = list(pool.map(one, prompts))
    arrivals = [_token_arrivals(chunks, output_len) for chunks in replies]
    latency_s = max(times[-1] for times in arrivals)
    ttft_s = max(times[0] for times in arrivals)
    # a chunk may hold several tokens: the time between first and last token over the steps is right all the same
    per_request = [(times[-1] - times[0]) / max(1, output_len - 1) for times in arrivals]
    return Point(
        batch_size=batch_size,
        input_len=input_len,
        output_len=output_len,
        latency_s=latency_s,
        ttft_s=ttft_s,
        itl_ms=statistics.median(per_request) * 1000,
    )


def _token_arrivals(chunks: Sequence[Chunk], output_len: int) -> list[float]:
    """When chunks of a reply with tokens arrived; the count comes from `usage`, since a token may have no text yet."""
    counts = [chunk.usage["completion_tokens"] for chunk in chunks if chunk.usage]
    if not counts or counts[-1] != output_len:
        raise MeasurementError(
            f"a reply has {counts[-1] if counts else 'an unknown number of'} tokens instead of {output_len}",
            cause="the engine stopped early although ignore_eos was set, or it reports no usage",
        )
    return [chunk.at_s for chunk in chunks if chunk.text or chunk.finish_reason]
