"""A mixture-of-experts model whose decoding is compiled by torch.compile: the speed of one request."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bench import one_batch
from harness.bounds import check
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=1400, suite="stage-b-test-1-gpu-small-amd")

MODEL = "Qwen/Qwen1.5-MoE-A2.7B"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    needs = ("completions", "streaming", "token_ids_prompt", "ignore_eos")
    with launch(ServerSpec(model=MODEL, needs=needs, requires=("torch_compile",))) as running:
        yield running


def test_throughput(server: Server) -> None:
    alone = one_batch.run(server, batch_sizes=(1,), input_len=8, output_len=256)[0]
    check("bs1_output_tokens_per_s", alone.output_tokens_per_s)


def test_a_compiled_batch_is_greedy_text(server: Server) -> None:
    reply = server.client.completions("The capital of France is", max_tokens=8, temperature=0)
    assert "Paris" in reply.text, "kernels that torch.compile made answer something else"
