"""DeepSeek-V3.2 on eight GPUs: GSM8K, then the speed of one request on the same server."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bench import one_batch
from harness.bounds import check
from harness.evals import gsm8k
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=3600, suite="stage-c-test-large-8-gpu-amd")

MODEL = "deepseek-ai/DeepSeek-V3.2"
# tensor parallel alone: SGLang's data-parallel class of this test does not run on AMD
ARGS = (
    "--trust-remote-code",
    *("--tp", "8"),
    *("--model-loader-extra-config", '{"enable_multithread_load": true}'),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    needs = ("completions", "stop", "streaming", "token_ids_prompt", "ignore_eos")
    spec = ServerSpec(
        model=MODEL,
        args=ARGS,
        needs=needs,
        requires=("tensor_parallel",),
        asks=("sparse_attention_tilelang",),
    )
    with launch(spec) as running:
        yield running


def test_accuracy(server: Server) -> None:
    check("gsm8k_accuracy", gsm8k.run(server, items=1400, shots=20, parallel=1400, max_tokens=512).score)


def test_speed_of_one_request(server: Server) -> None:
    alone = one_batch.run(server, batch_sizes=(1,), input_len=32, output_len=2048)[0]
    check("bs1_output_tokens_per_s", alone.output_tokens_per_s)
