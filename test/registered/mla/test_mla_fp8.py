"""An MLA model with FP8 weights and an FP8 KV cache still solves English word problems."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.bounds import check
from harness.evals import mgsm
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=800, suite="stage-b-test-1-gpu-small-amd")

MODEL = "neuralmagic/DeepSeek-Coder-V2-Lite-Instruct-FP8"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # without determinism the score swings by one to three points (sgl-project/sglang#23303)
    spec = ServerSpec(
        model=MODEL,
        args=("--trust-remote-code",),
        needs=("chat",),
        requires=("fp8_kv_cache",),
        asks=("deterministic_inference",),
    )
    with launch(spec) as running:
        yield running


def test_mgsm_en(server: Server) -> None:
    check("mgsm_en_accuracy", mgsm.run(server).score)
