"""What the bench makes of streams: times, rates, and no numbers from replies that are too short."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.bench import one_batch
from harness.bench.one_batch import Point
from harness.client import Client
from harness.errors import MeasurementError
from harness.server import Server
from support.harness_run import MODEL, answer_with, use_spec

pytestmark = pytest.mark.in_container

FIRST_S, STEP_S = 0.2, 0.1


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path):
        yield


def stream_tokens(handler: BaseHTTPRequestHandler, body: Any, tokens: int) -> None:
    """A first token after FIRST_S, the others STEP_S apart, then the usage."""
    handler.send_response(200)
    handler.end_headers()
    time.sleep(FIRST_S)
    for number in range(tokens):
        if number:
            time.sleep(STEP_S)
        handler.wfile.write(f"data: {json.dumps({'choices': [{'text': 'a'}]})}\n\n".encode())
        handler.wfile.flush()
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": tokens}
    handler.wfile.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())


def server_on(port: int) -> Server:
    return cast("Server", SimpleNamespace(client=Client(port=port, model="a", timeout_s=5), model=MODEL))


def test_batch_is_asked_at_once_with_prompts_of_its_own() -> None:
    prompts: list[list[int]] = []

    def reply(handler: BaseHTTPRequestHandler, _path: str, body: Any) -> None:
        prompts.append(body["prompt"])
        assert body["ignore_eos"] is True
        stream_tokens(handler, body, body["max_tokens"])

    with answer_with(reply) as port:
        # the stand-in's sizes say one batch of 2 with 3 tokens each
        (point,) = one_batch.run(server_on(port), batch_sizes=(1, 64), input_len=16, output_len=100)
    assert (point.batch_size, point.input_len, point.output_len) == (2, 16, 3)
    assert [len(prompt) for prompt in prompts] == [16, 16, 16], "one warm-up and a batch of two"
    assert len({tuple(prompt) for prompt in prompts}) == 3, "a prefix cache could help"
    one_after_the_other = 2 * (FIRST_S + 2 * STEP_S)
    assert FIRST_S <= point.ttft_s < point.latency_s < one_after_the_other
    assert point.latency_s >= FIRST_S + 2 * STEP_S
    assert point.itl_ms == pytest.approx(STEP_S * 1000, rel=0.5)


def test_reply_that_is_too_short_gives_no_rate() -> None:
    with (
        answer_with(lambda handler, _path, body: stream_tokens(handler, body, 2)) as port,
        pytest.raises(MeasurementError, match=r"2 tokens instead of 3"),
    ):
        one_batch.run(server_on(port), batch_sizes=(2,), input_len=4, output_len=3)


def test_rates_and_names_of_metrics() -> None:
    point = Point(batch_size=4, input_len=1024, output_len=128, latency_s=4.0, ttft_s=0.5, itl_ms=27.5)
    assert point.metrics() == {
        "bs4_latency_s": 4.0,
        "bs4_ttft_s": 0.5,
        "bs4_itl_ms": 27.5,
        "bs4_input_tokens_per_s": 8192.0,
        "bs4_output_tokens_per_s": 128.0,
    }


def test_table_has_a_line_for_each_point_and_aligned_columns() -> None:
    points = [
        Point(batch_size=size, input_len=64, output_len=16, latency_s=size * 0.5, ttft_s=0.25, itl_ms=10.0)
        for size in (1, 16)
    ]
    lines = one_batch.table(points).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split() == ["16", "64", "16", "8.000", "0.250", "10.00", "4096.0", "32.0"]
