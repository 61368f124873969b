"""One batch at a time: latency, time to first token and throughput within their bounds."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bench import one_batch
from harness.bounds import check_all
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=60, suite="stage-a-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
METRICS = (
    "bs1_latency_s",
    "bs1_ttft_s",
    "bs1_itl_ms",
    "bs1_input_tokens_per_s",
    "bs1_output_tokens_per_s",
    "bs4_latency_s",
    "bs4_ttft_s",
    "bs4_itl_ms",
    "bs4_input_tokens_per_s",
    "bs4_output_tokens_per_s",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, needs=("streaming", "token_ids_prompt", "ignore_eos"))) as running:
        yield running


def test_latency_and_throughput(server: Server) -> None:
    points = one_batch.run(server, batch_sizes=(1, 4), input_len=1024, output_len=128)
    check_all({metric: value for point in points for metric, value in point.metrics().items()})
