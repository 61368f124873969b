"""Expert parallelism over MoRI's all-to-all on eight GPUs, in its two modes: the model answers as it should."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from harness.bounds import check
from harness.evals import gsm8k
from harness.register import register_amd_ci
from harness.server import ServerSpec, launch

register_amd_ci(est_time=5400, suite="stage-c-test-large-8-gpu-amd")

MODEL = "deepseek-ai/DeepSeek-V3-0324"
METRICS = ("normal_gsm8k_accuracy", "low_latency_gsm8k_accuracy")
ARGS = (
    "--trust-remote-code",
    *("--tp-size", "8"),
    *("--ep-size", "8"),
    *("--dp-size", "8"),
    "--enable-dp-attention",
    "--enable-dp-lm-head",
    *("--moe-a2a-backend", "mori"),
    *("--moe-dense-tp-size", "1"),
    *("--load-balance-method", "round_robin"),
    *("--attention-backend", "aiter"),
    *("--chunked-prefill-size", "1024"),
    *("--max-running-requests", "128"),
    *("--context-length", "4096"),
)


@pytest.mark.parametrize("mode", ["normal", "low_latency"])
def test_accuracy(mode: str) -> None:
    args = (*ARGS, "--deepep-mode", mode)
    # what share of the memory the server may take goes by the hardware
    spec = ServerSpec(
        model=MODEL,
        args=args,
        needs=("completions", "stop"),
        requires=("tensor_parallel",),
        asks=("mori_ep_memory",),
    )
    with launch(spec) as server:
        evaluation = gsm8k.run(server, items=200, shots=5, parallel=128)
    check(f"{mode}_gsm8k_accuracy", evaluation.score)
