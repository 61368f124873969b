"""The benches and evaluations on the real engine: what they measure, and what they cost the one who measures."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from integration.test_harness_engine import MODEL, harness_data, write_spec

from harness import spec
from harness.bench import scaling, serving, traffic
from harness.bench.prompts import Prompts
from harness.bench.traffic import Recording
from harness.errors import EngineError, InfraError, RequestError
from harness.evals import mgsm
from harness.server import Server, ServerSpec, launch

pytestmark = pytest.mark.engine

SIZES: dict[str, Any] = {
    "mgsm_en": {"items": 12, "shots": 3, "max_tokens": 64},
    "embeddings": {"batch_sizes": [1, 4], "requests": 4, "input_len": 16},
}


@pytest.fixture(scope="module", autouse=True)
def _spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The catalog's rows, but the sizes are this file's."""
    data = harness_data()
    for model in data["models"].values():
        model["stand_in"] = {**model["stand_in"], "sizes": SIZES}
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMD_CI_SPEC", str(write_spec(folder, data)))
        patch.setenv("AMD_CI_TEST", "test_harness_bench")
        patch.delenv("AMD_CI_EVENTS_FD", raising=False)
        spec.current.cache_clear()
        yield
    spec.current.cache_clear()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL)) as running:
        yield running


@pytest.mark.alone
def test_client_costs_less_than_a_twentieth_of_the_engines_latency(server: Server) -> None:
    result = serving.run(server, prompts=12, input_len=64, output_len=32, concurrency=4)
    assert (result.requests, result.failed_requests) == (12, 0)
    assert result.client_overhead_share < 0.05
    assert 3 < result.concurrency <= 4.01
    assert 0 < result.median_itl_ms < result.median_ttft_ms < result.median_e2e_ms
    assert result.output_tok_per_s == pytest.approx(12 * 32 / result.duration_s)
    assert result.total_tok_per_s == pytest.approx(12 * (64 + 32) / result.duration_s), "prompts of 64 tokens"
    assert result.metrics().keys() == set(serving.METRICS)


@pytest.mark.alone
def test_times_are_those_that_the_engine_itself_counts(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp says how long prompt and tokens took; what we measure is that and little more."""
    recorded: list[Recording] = []

    def send_all(*arguments: Any, **options: Any) -> list[Recording]:
        recordings = send_really(*arguments, **options)
        recorded[:] = recordings
        return recordings

    send_really = traffic.send_all
    monkeypatch.setattr(traffic, "send_all", send_all)
    result = serving.run(server, prompts=4, input_len=128, output_len=32, concurrency=1)
    own = [last_timings(recording) for recording in recorded]
    counted_ms = sorted(timings["prompt_ms"] + timings["predicted_ms"] for timings in own)
    assert counted_ms[0] <= result.median_e2e_ms
    assert result.median_e2e_ms == pytest.approx((counted_ms[1] + counted_ms[2]) / 2, rel=0.1, abs=50)


def last_timings(recording: Recording) -> dict[str, float]:
    events = [line[6:] for line in recording.data.split(b"\n") if line.startswith(b"data: {")]
    timings: dict[str, float] = json.loads(events[-1])["timings"]
    return timings


def test_same_seed_makes_the_same_prompts_of_the_real_tokenizer(server: Server) -> None:
    first, second = (Prompts(server.client, seed=3).texts(5, tokens=77) for _ in range(2))
    assert first == second
    assert {len(server.client.tokenize(text, special=True)) for text in first} == {77}
    usage = server.client.completions(first[0], max_tokens=1).usage
    assert usage["prompt_tokens"] == 77


@pytest.mark.alone
def test_open_loop_keeps_its_pace_and_whole_replies_come_whole(server: Server) -> None:
    result = serving.run(
        server, prompts=6, request_rate=4, input_len=16, output_len=4, stream=False, warmup=0
    )
    assert result.failed_requests == 0
    assert 0.3 < result.duration_s < 10
    assert "median_ttft_ms" not in result.metrics()
    assert result.client_overhead_share == pytest.approx(
        result.client_overhead_ms / result.median_e2e_ms, rel=0.01
    )


def test_prompt_beyond_the_context_is_not_a_measurement() -> None:
    with (
        launch(ServerSpec(model=MODEL, slots=1, context=128)) as small,
        pytest.raises(InfraError, match=r"requests answered: 1 of 2 requests failed.*") as error,
    ):
        serving.run(small, prompts=2, input_len=500, output_len=4, concurrency=1, warmup=0)
    assert "HTTP 400" in str(error.value)


def serve_and_kill(after_s: float) -> None:
    with launch(ServerSpec(model=MODEL)) as server:
        threading.Timer(after_s, os.kill, (server.pid, signal.SIGKILL)).start()
        serving.run(server, prompts=200, input_len=64, output_len=64, concurrency=4, warmup=0)


def test_engine_killed_in_a_bench_ends_it_with_its_log() -> None:
    with pytest.raises(EngineError, match="died under the test: requests answered") as error:
        serve_and_kill(after_s=2)
    assert "it ended with signal SIGKILL" in str(error.value)


@pytest.mark.alone
def test_embeddings_take_longer_in_larger_batches_and_texts_go_on() -> None:
    with launch(ServerSpec(model=MODEL, embeddings=True)) as server:
        one, four = scaling.embeddings(server)
        vectors = server.client.embeddings(["A cat sat down.", "A cat sat down.", "Stocks fell."])
        text = server.client.completions("The capital of France is", max_tokens=4, temperature=0).text
    assert (one.successful, one.total, four.successful, four.total) == (4, 4, 4, 4)
    assert 0 < one.mean_ms < four.mean_ms
    assert one.p95_ms >= one.mean_ms * 0.9
    assert four.request_per_s < one.request_per_s
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-3)
    assert vectors[0] != pytest.approx(vectors[2], abs=1e-3)
    assert {len(vector) for vector in vectors} == {576}
    assert "Paris" in text


def test_server_that_was_not_started_for_embeddings_has_none(server: Server) -> None:
    with pytest.raises(RequestError) as error:
        server.client.embeddings(["x"])
    assert error.value.status == 501
    with pytest.raises(InfraError, match=r"warm-up requests to /v1/embeddings of 1: 1 of 1 requests failed"):
        scaling.embeddings(server)


def test_word_problems_are_neither_beyond_the_stand_in_nor_trivial(server: Server) -> None:
    evaluation = mgsm.run(server)
    assert (evaluation.total, evaluation.failed_requests) == (12, 0)
    assert 0.25 <= evaluation.score <= 0.95, "measured: 6 and 7 of 12; a regression has to show either way"
