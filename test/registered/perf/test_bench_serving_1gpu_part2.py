"""Serving on one GPU: a vision model's throughput and latency, the score API's and the embeddings API's latency."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator, Sequence

from harness.bench import scaling, serving
from harness.bounds import check, check_all
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=900, suite="stage-b-test-1-gpu-large-amd")

BATCH_SIZES = (10, 25, 50)
METRICS = (
    "score_bs10_mean_ms",
    "score_bs10_p95_ms",
    "score_bs25_mean_ms",
    "score_bs25_p95_ms",
    "score_bs50_mean_ms",
    "score_bs50_p95_ms",
    "embeddings_bs10_mean_ms",
    "embeddings_bs10_p95_ms",
    "embeddings_bs25_mean_ms",
    "embeddings_bs25_p95_ms",
    "embeddings_bs50_mean_ms",
    "embeddings_bs50_p95_ms",
)


def check_scaling(api: str, points: Sequence[scaling.BatchPoint]) -> None:
    """Every request of every batch size was answered, and mean and p95 latency are within their bounds."""
    failed = {point.batch_size: point.total - point.successful for point in points}
    assert not any(failed.values()), f"failed requests by batch size: {failed}"
    values = {}
    for point in points:
        values[f"{api}_bs{point.batch_size}_mean_ms"] = point.mean_ms
        values[f"{api}_bs{point.batch_size}_p95_ms"] = point.p95_ms
    check_all(values)


class TestVision:
    @pytest.fixture(scope="class")
    def server(self) -> Iterator[Server]:
        needs = ("chat", "streaming", "ignore_eos", "vision")
        args = ("--mem-fraction-static", "0.7")
        with launch(ServerSpec(model="Qwen/Qwen2.5-VL-3B-Instruct", args=args, needs=needs)) as running:
            yield running

    def test_offline_throughput(self, server: Server) -> None:
        result = serving.run(server, prompts=200, input_len=128, output_len=2048, images=1)
        check("vlm_offline_output_tok_per_s", result.output_tok_per_s)

    def test_online_latency(self, server: Server) -> None:
        result = serving.run(server, prompts=250, request_rate=1, input_len=128, output_len=2048, images=1)
        check_all(
            {
                "vlm_online_median_e2e_ms": result.median_e2e_ms,
                "vlm_online_median_ttft_ms": result.median_ttft_ms,
                "vlm_online_median_itl_ms": result.median_itl_ms,
            }
        )


class TestScore:
    @pytest.fixture(scope="class")
    def server(self) -> Iterator[Server]:
        with launch(ServerSpec(model="Qwen/Qwen3-Reranker-0.6B", needs=("score_api",))) as running:
            yield running

    def test_latency_and_throughput(self, server: Server) -> None:
        (point,) = scaling.score(server, batch_sizes=(10,), requests=1000)
        assert point.successful == point.total
        check_all(
            {
                "score_mean_ms": point.mean_ms,
                "score_p95_ms": point.p95_ms,
                "score_request_per_s": point.request_per_s,
            }
        )

    def test_batch_scaling(self, server: Server) -> None:
        check_scaling("score", scaling.score(server, batch_sizes=BATCH_SIZES, requests=500))


class TestEmbeddings:
    @pytest.fixture(scope="class")
    def server(self) -> Iterator[Server]:
        model = "Alibaba-NLP/gte-Qwen2-1.5B-instruct"
        with launch(ServerSpec(model=model, needs=("embeddings",), embeddings=True)) as running:
            yield running

    def test_latency_and_throughput(self, server: Server) -> None:
        (point,) = scaling.embeddings(server, batch_sizes=(1,), requests=1000)
        assert point.successful == point.total
        check_all(
            {
                "embeddings_mean_ms": point.mean_ms,
                "embeddings_p95_ms": point.p95_ms,
                "embeddings_request_per_s": point.request_per_s,
            }
        )

    def test_batch_scaling(self, server: Server) -> None:
        check_scaling("embeddings", scaling.embeddings(server, batch_sizes=BATCH_SIZES, requests=500))
