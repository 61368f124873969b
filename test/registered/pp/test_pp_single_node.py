"""Pipeline parallelism over tensor parallelism, two by two GPUs: the model answers as it does on one."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bounds import check
from harness.evals import gsm8k
from harness.needs import needs
from harness.register import register_amd_ci
from harness.replies import wrong_logprobs
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=500, suite="stage-c-test-4-gpu-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
# a small chunk makes every prompt cross the pipeline in several pieces
ARGS = ("--tp-size", "2", "--pp-size", "2", "--chunked-prefill-size", "256")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    spec = ServerSpec(
        model=MODEL,
        args=ARGS,
        needs=("completions", "stop"),
        requires=("tensor_parallel", "pipeline_parallel"),
    )
    with launch(spec) as running:
        yield running


def test_accuracy(server: Server) -> None:
    check("gsm8k_accuracy", gsm8k.run(server, items=200, shots=5, parallel=128).score)


def test_every_token_of_a_reply_has_its_logprobs(server: Server) -> None:
    needs("logprobs")
    reply = server.client.completions("The capital of France is", max_tokens=16, temperature=0, logprobs=5)
    assert wrong_logprobs(reply) is None
    assert all(len(token.top) == 5 for token in reply.tokens)
