"""Eight tokenizer processes before one scheduler: latency, and every reply reaches the request that it is for."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.bench import serving
from harness.bounds import check_all
from harness.needs import needs
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=345, suite="stage-b-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ARGS = ("--tokenizer-worker-num", "8", "--mem-fraction-static", "0.7")
REQUESTS = 32


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    spec = ServerSpec(
        model=MODEL, args=ARGS, needs=("completions", "streaming", "token_ids_prompt", "ignore_eos")
    )
    with launch(spec) as running:
        yield running


def test_each_reply_counts_the_tokens_of_its_own_prompt(server: Server) -> None:
    needs("token_ids_prompt")
    lengths = range(8, 8 + REQUESTS)

    def count(length: int) -> int:
        reply = server.client.completions([1000] * length, max_tokens=4, temperature=0)
        return int(reply.usage["prompt_tokens"])

    with ThreadPoolExecutor(REQUESTS) as pool:
        assert list(pool.map(count, lengths)) == list(lengths)


def test_online_latency(server: Server) -> None:
    # SGLang draws lengths evenly up to 4096 in and 2048 out: these are their medians
    result = serving.run(server, prompts=100, request_rate=1, input_len=2048, output_len=1024)
    check_all(
        {
            "median_ttft_ms": result.median_ttft_ms,
            "median_itl_ms": result.median_itl_ms,
            "median_e2e_ms": result.median_e2e_ms,
        }
    )
