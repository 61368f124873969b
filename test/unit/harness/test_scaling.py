"""Embeddings and scores in batches against a peer that takes as long as the batch is large."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench import scaling
from harness.bench.exchange import Exchange
from harness.bench.scaling import BatchPoint
from harness.bench.traffic import Recording
from harness.errors import InfraError
from support.harness_peer import Peer, serve, tokens_in
from support.harness_run import MODEL, spec_data, use_spec

pytestmark = pytest.mark.in_container

FEATURES = ["embeddings", "score_api", "tokenize"]
STEP_S = 0.01


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path, features=FEATURES, known_features=FEATURES):
        yield


def vectors(body: Any) -> tuple[int, Any]:
    time.sleep(STEP_S * len(body["input"]))
    return 200, {"data": [{"index": n, "embedding": [0.5, 0.5]} for n in range(len(body["input"]))]}


def scores(body: Any) -> tuple[int, Any]:
    time.sleep(STEP_S * len(body["items"]))
    return 200, {"scores": [[0.4, 0.6] for _ in body["items"]]}


def test_embeddings_by_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    peer = Peer(answers={"/v1/embeddings": vectors})
    with serve(peer) as server:
        points = scaling.embeddings(server, batch_sizes=(1, 4), requests=5, input_len=12)
    assert [(p.batch_size, p.successful, p.total) for p in points] == [(1, 5, 5), (4, 5, 5)]
    for point in points:
        assert point.mean_ms >= 1000 * STEP_S * point.batch_size
    bodies = peer.bodies("/v1/embeddings")
    assert [len(body["input"]) for body in bodies] == [1] * 6 + [4] * 6, "each batch size has a warm-up"
    texts = [text for body in bodies for text in body["input"]]
    assert len(set(texts)) == len(texts)
    assert {tokens_in(text, special=True) for text in texts} == {12}
    out = capsys.readouterr().out
    assert "5 of 5" in out
    assert len({len(line) for line in out.splitlines() if line.split()[:1] in (["batch"], ["1"], ["4"])}) == 1


def test_figures_are_those_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent at 0, 1, 3 and 6 s, one after the other, each answered when the next one is sent; the last after 4 s."""
    times = [(0.0, 1.0), (1.0, 3.0), (3.0, 6.0), (6.0, 10.0)]
    good = [
        (Recording(number=n, due_s=due, ended_s=done, client_s=0, data=b"", arrivals=(), error=None), done)
        for n, (due, done) in enumerate(times)
    ]
    asked: list[int | None] = []

    def exchange(*_: object, concurrency: int | None, **_named: object) -> Exchange[float]:
        asked.append(concurrency)
        return Exchange(good, failed=1)

    monkeypatch.setattr(scaling, "exchange", exchange)
    with serve(Peer()) as server:
        (point,) = scaling.embeddings(server, batch_sizes=(2,), requests=5, input_len=3, warmup=0)
    assert point.p95_ms == pytest.approx(3850)
    assert (point.mean_ms, point.request_per_s) == (2500, 0.4)
    assert (point.successful, point.total) == (4, 5)
    assert asked == [1], "one after the other"


def test_scores_by_batch_size() -> None:
    peer = Peer(answers={"/v1/score": scores})
    with serve(peer) as server:
        points = scaling.score(server, batch_sizes=(2, 3), requests=2, query_len=4, item_len=7, warmup=0)
    assert [(p.batch_size, p.successful) for p in points] == [(2, 2), (3, 2)]
    for body in peer.bodies("/v1/score"):
        assert body["model"] == "alias-1"
        assert body["apply_softmax"] is True
        assert len(body["label_token_ids"]) == 2
        assert tokens_in(body["query"], special=False) == 4
        assert {tokens_in(item, special=False) for item in body["items"]} == {7}


def test_sizes_of_a_rehearsal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models: dict[str, Any] = spec_data(tmp_path)["harness"]["models"]
    models[MODEL]["stand_in"]["sizes"] = {"embeddings": {"batch_sizes": [2], "requests": 1, "input_len": 3}}
    peer = Peer(answers={"/v1/embeddings": vectors})
    with use_spec(monkeypatch, tmp_path, models=models, features=FEATURES), serve(peer) as server:
        (point,) = scaling.embeddings(server, requests=500)
    assert (point.batch_size, point.total) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _body: (503, {}), "HTTP 503"),
        (lambda body: (200, {"data": vectors(body)[1]["data"][1:]}), "1 results for 2 texts"),
        (lambda _body: (200, {"data": [{"embedding": []}] * 2}), "0 results for 2 texts"),
        (lambda _body: (200, {"object": "list"}), "lacks 'data'"),
    ],
)
def test_answers_that_are_none_are_infra_with_their_count(answer: Any, says: str) -> None:
    peer = Peer(answers={"/v1/embeddings": answer})
    with (
        serve(peer) as server,
        pytest.raises(InfraError, match=r"of 8 requests failed, more than 25%") as error,
    ):
        scaling.embeddings(server, batch_sizes=(2,), requests=8, warmup=0)
    assert says in str(error.value)


def test_a_failed_request_is_not_in_the_latencies() -> None:
    asked: list[int] = []

    def answer(body: Any) -> tuple[int, Any]:
        asked.append(1)
        return (500, {}) if len(asked) == 3 else vectors(body)

    with serve(Peer(answers={"/v1/embeddings": answer})) as server:
        (point,) = scaling.embeddings(server, batch_sizes=(2,), requests=8, warmup=0)
    assert (point.successful, point.total) == (7, 8)


def test_names_of_metrics() -> None:
    point = BatchPoint(batch_size=25, mean_ms=70.5, p95_ms=80, request_per_s=14, successful=10, total=10)
    assert point.metrics("score_") == {
        "score_bs25_mean_ms": 70.5,
        "score_bs25_p95_ms": 80,
        "score_bs25_request_per_s": 14,
    }
