"""The serving bench against a peer whose latencies are known."""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench import serving
from harness.bench.prompts import Prompts
from harness.bench.serving import METRICS, ServingResult
from harness.errors import EngineError, InfraError, MeasurementError
from support.harness_peer import BENCH_FEATURES, LONG_WORDS, Peer, serve, tokens_in
from support.harness_run import LIMITS, MODEL, spec_data, use_spec

pytestmark = pytest.mark.in_container

SMALL: dict[str, Any] = {"prompts": 4, "input_len": 6, "output_len": 4}


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path, features=BENCH_FEATURES, known_features=BENCH_FEATURES):
        yield


def sizes(tmp_path: Path, kind: str, **values: Any) -> dict[str, Any]:
    """The models of a rehearsal whose stand-in has these sizes of a kind."""
    models: dict[str, Any] = spec_data(tmp_path)["harness"]["models"]
    models[MODEL]["stand_in"]["sizes"] = {kind: values}
    return models


def test_latencies_are_those_of_the_server() -> None:
    peer = Peer(first_s=0.1, step_s=0.04)
    with serve(peer) as server:
        result = serving.run(server, **SMALL)
    assert (result.requests, result.failed_requests) == (4, 0)
    assert 100 <= result.median_ttft_ms < 200
    assert 35 < result.median_itl_ms < 80
    assert 220 <= result.median_e2e_ms < 400
    for name in ("ttft", "itl", "e2e"):
        assert getattr(result, f"median_{name}_ms") <= getattr(result, f"p99_{name}_ms")
    assert result.duration_s == pytest.approx(result.p99_e2e_ms / 1000, rel=0.2)
    assert result.request_per_s == pytest.approx(4 / result.duration_s)
    assert result.output_tok_per_s == pytest.approx(16 / result.duration_s)
    assert result.total_tok_per_s == pytest.approx(40 / result.duration_s)
    assert result.concurrency == pytest.approx(4, rel=0.2)
    assert 0 < result.client_overhead_ms < 100
    assert result.client_overhead_share == pytest.approx(result.client_overhead_ms / result.median_e2e_ms)


def test_tokens_that_come_together_share_the_time_before_them() -> None:
    peer = Peer(step_s=0.06, tokens_per_event=3)
    with serve(peer) as server:
        result = serving.run(server, prompts=2, input_len=6, output_len=9)
    assert 18 < result.median_itl_ms < 50, "60 ms lie between two events of three tokens"
    options = peer.bodies("/v1/completions")[0]["stream_options"]
    assert options == {"include_usage": True, "continuous_usage_stats": True}


def test_prompts_have_their_exact_length_and_are_all_different(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Peer()
    with serve(peer) as server:
        serving.run(server, prompts=6, input_len=20, output_len=2, warmup=2)
    prompts = peer.prompts()
    assert {tokens_in(prompt, special=True) for prompt in prompts} == {20}
    assert len(set(prompts)) == len(prompts) == 8, "the prompts of the warm-up are others"
    assert not set(LONG_WORDS) & {word for prompt in prompts for word in prompt.split()}
    for body in peer.bodies("/v1/completions"):
        assert (body["model"], body["max_tokens"], body["temperature"], body["ignore_eos"]) == (
            "alias-1",
            2,
            0,
            True,
        )
    assert "estimated" not in capsys.readouterr().out


def prompts_of(seed: int) -> list[str]:
    peer = Peer()
    with serve(peer) as server:
        serving.run(server, **SMALL, concurrency=1, seed=seed)
    return peer.prompts()


def test_same_seed_asks_the_same() -> None:
    assert prompts_of(7) == prompts_of(7)
    assert prompts_of(7) != prompts_of(8)


def test_length_that_no_prompt_can_have_is_refused() -> None:
    with serve(Peer()) as server, pytest.raises(MeasurementError, match="no text has 1 tokens"):
        serving.run(server, prompts=1, input_len=1, output_len=1)


def test_without_a_tokenizer_lengths_are_estimated_and_a_note_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = Peer()
    with use_spec(monkeypatch, tmp_path), serve(peer) as server:
        serving.run(server, **SMALL)
    assert {len(prompt.split()) for prompt in peer.prompts()} == {6}
    assert "prompt lengths are estimated, one token a word" in capsys.readouterr().out


def test_tokenizer_whose_words_do_not_add_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Peer()) as server:
        maker = Prompts(server.client, seed=1)
        monkeypatch.setattr(server.client, "tokenize", lambda _text, **_options: [1, 2, 3])
        with pytest.raises(MeasurementError, match="should have 9 tokens has 3"):
            maker.texts(1, tokens=9)
        with pytest.raises(MeasurementError, match="only 0 of"):
            Prompts(server.client, seed=1)


def test_warm_up_comes_first_and_leaves_no_cache() -> None:
    peer = Peer()
    with serve(peer) as server:
        result = serving.run(server, **SMALL, warmup=2)
    assert [path for path, _ in peer.asked] == [
        *["/v1/completions"] * 2,
        "/flush_cache",
        *["/v1/completions"] * 4,
    ]
    assert result.requests == 4


def test_concurrency_and_rate_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Peer(first_s=0.03)
    with serve(peer) as server:
        result = serving.run(server, prompts=6, input_len=6, output_len=2, concurrency=2)
    assert peer.most == 2
    assert result.concurrency == pytest.approx(2, rel=0.25)
    assert "client: " in capsys.readouterr().out
    with serve(Peer()) as server:
        paced = serving.run(server, prompts=20, input_len=6, output_len=2, request_rate=40)
    assert 0.2 < paced.duration_s < 1.5, "20 requests at 40 a second take half a second or so"


def test_whole_replies_have_no_time_to_first_token(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Peer(first_s=0.05)
    with serve(peer) as server:
        result = serving.run(server, **SMALL, stream=False)
    assert "stream" not in peer.bodies("/v1/completions")[0]
    assert math.isnan(result.median_ttft_ms)
    assert math.isnan(result.p99_itl_ms)
    assert result.median_e2e_ms >= 50
    assert result.output_tok_per_s == pytest.approx(16 / result.duration_s)
    assert set(result.metrics()) == {name for name in METRICS if "ttft" not in name and "itl" not in name}
    assert "nan" not in capsys.readouterr().out


def test_adapter_goes_with_the_models_name() -> None:
    peer = Peer()
    with serve(peer) as server:
        serving.run(server, **SMALL, adapter="org/adapter")
    assert {body["model"] for body in peer.bodies("/v1/completions")} == {"alias-1:org/adapter"}


def test_pictures_go_before_the_words_of_a_chat() -> None:
    peer = Peer(step_s=0.01)
    with serve(peer) as server:
        result = serving.run(server, **SMALL, images=2, warmup=0)
    contents = [body["messages"][0]["content"] for body in peer.bodies("/v1/chat/completions")]
    assert [[part["type"] for part in content] for content in contents] == [
        ["image_url", "image_url", "text"]
    ] * 4
    urls = {
        part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"
    }
    assert len(urls) == 8, "a picture that was seen before could come from a cache"
    assert result.median_itl_ms > 5


def test_few_failed_requests_are_counted_and_many_are_no_measurement(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = Peer(fail=lambda number: number == 2)
    with serve(few) as server:
        result = serving.run(server, **SMALL, warmup=0)
    assert (result.requests, result.failed_requests) == (4, 1)
    assert result.output_tok_per_s == pytest.approx(12 / result.duration_s)
    assert "HTTP 500" in capsys.readouterr().out
    many = Peer(fail=lambda number: number in (2, 3))
    with (
        serve(many) as server,
        pytest.raises(InfraError, match=r"2 of 4 requests failed, more than 25%") as error,
    ):
        serving.run(server, **SMALL, warmup=0)
    assert error.value.verdict == "infra"
    assert "HTTP 500" in str(error.value)


def test_warm_up_that_fails_is_not_a_measurement_either() -> None:
    with (
        serve(Peer(fail=lambda number: number == 0)) as server,
        pytest.raises(InfraError, match=r"warm-up requests: 1 of 1 requests failed"),
    ):
        serving.run(server, **SMALL)


def test_crashed_server_is_an_engine_error_and_ends_the_bench() -> None:
    asked: list[str] = []

    def diagnose(what: str, _error: Exception) -> EngineError:
        asked.append(what)
        return EngineError("it is dead")

    peer = Peer(fail=lambda number: number >= 3, hang_up=True)
    with serve(peer, diagnose=diagnose) as server, pytest.raises(EngineError, match="it is dead"):
        serving.run(server, prompts=40, input_len=6, output_len=2, concurrency=1, warmup=0)
    assert len(peer.prompts()) < 20
    assert asked == ["requests answered: request 13"]


def test_reply_of_another_length_gives_no_rate() -> None:
    with serve(Peer(too_few=1)) as server, pytest.raises(MeasurementError, match="3 tokens instead of 4"):
        serving.run(server, **SMALL)


def test_rehearsal_takes_its_sizes_but_no_pace_that_was_not_requested(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    features = {"features": BENCH_FEATURES, "known_features": BENCH_FEATURES}
    models = sizes(tmp_path, "serving", prompts=3, input_len=5, output_len=2, request_rate=50, concurrency=1)
    offline, online = Peer(first_s=0.05), Peer()
    with use_spec(monkeypatch, tmp_path, models=models, **features):
        with serve(offline) as server:
            result = serving.run(server, prompts=500, input_len=2048, output_len=1024, warmup=0)
        with serve(online) as server:
            serving.run(server, prompts=500, request_rate=0.01, warmup=0)
    assert (result.requests, len(offline.prompts()), offline.most) == (3, 3, 3)
    assert len(online.prompts()) == 3, "one every 100 s would still run"


def test_client_that_takes_too_much_of_the_time_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = {**LIMITS, "client_overhead_max": 0.0}
    with use_spec(monkeypatch, tmp_path, limits=strict), serve(Peer()) as server:
        serving.run(server, **SMALL)
    assert "the latencies are partly its own" in capsys.readouterr().out


def test_names_of_metrics() -> None:
    result = ServingResult(
        requests=4,
        failed_requests=0,
        duration_s=2,
        **{name: float(place) for place, name in enumerate(METRICS)},
    )
    assert result.metrics("online_") == {f"online_{name}": place for place, name in enumerate(METRICS)}
    assert list(result.metrics()) == list(METRICS)
    assert {"median_ttft_ms", "p99_itl_ms", "output_tok_per_s", "client_overhead_share"} <= set(METRICS)


def test_bench_of_nothing_measures_nothing() -> None:
    with serve(Peer()) as server, pytest.raises(MeasurementError, match="no requests"):
        serving.run(server, prompts=0)


def test_a_client_under_load_costs_little_of_a_streams_time() -> None:
    peer = Peer(first_s=0.1, step_s=0.02)
    with serve(peer) as server:
        shares = [
            serving.run(server, prompts=8, input_len=32, output_len=8, concurrency=4).client_overhead_share
            for _ in range(3)
        ]
    assert statistics.median(shares) < 0.05
