"""Two replicas of a model on two GPUs: whichever answers, the answers are as good."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bounds import check
from harness.evals import gsm8k
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=73, suite="stage-b-test-2-gpu-large-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    spec = ServerSpec(
        model=MODEL, args=("--dp", "2"), needs=("completions", "stop"), requires=("data_parallel",)
    )
    with launch(spec) as running:
        yield running


def test_accuracy(server: Server) -> None:
    check("gsm8k_accuracy", gsm8k.run(server, items=200, shots=5, parallel=128).score)
