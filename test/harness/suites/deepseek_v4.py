"""DeepSeek-V4 on eight MI355X: what its four registered tests share.

The environments are rows: `[[test_env]]` of `ci/catalog/environment.toml` and the sets of `envs/deepseek_v4.toml`.
"""

from __future__ import annotations

from harness.bench import one_batch
from harness.bounds import check, check_all
from harness.evals import gsm8k
from harness.server import Server, ServerSpec

__all__ = ["METRICS", "measure_accuracy", "measure_perf", "server_spec"]

# sgl-project/sglang#26662
ARGS = (
    "--trust-remote-code",
    *("--tp", "8"),
    "--disable-radix-cache",
    *("--attention-backend", "dsv4"),
    *("--max-running-requests", "256"),
    *("--page-size", "256"),
    *("--mem-fraction-static", "0.90"),
    *("--swa-full-tokens-ratio", "0.1"),
    *("--chunked-prefill-size", "8192"),
    "--disable-shared-experts-fusion",
    *("--tool-call-parser", "deepseekv4"),
    *("--reasoning-parser", "deepseek-v4"),
)
NEEDS = ("completions", "stop", "streaming", "token_ids_prompt", "ignore_eos")
# the first batch of one warms the kernels of this length up: the second takes its place in the metrics
BATCH_SIZES = (1, 1, 2, 4, 8, 16, 32)
METRICS = (
    "bs1_latency_s",
    "bs1_ttft_s",
    "bs1_itl_ms",
    "bs1_input_tokens_per_s",
    "bs1_output_tokens_per_s",
    "bs2_latency_s",
    "bs2_ttft_s",
    "bs2_itl_ms",
    "bs2_input_tokens_per_s",
    "bs2_output_tokens_per_s",
    "bs4_latency_s",
    "bs4_ttft_s",
    "bs4_itl_ms",
    "bs4_input_tokens_per_s",
    "bs4_output_tokens_per_s",
    "bs8_latency_s",
    "bs8_ttft_s",
    "bs8_itl_ms",
    "bs8_input_tokens_per_s",
    "bs8_output_tokens_per_s",
    "bs16_latency_s",
    "bs16_ttft_s",
    "bs16_itl_ms",
    "bs16_input_tokens_per_s",
    "bs16_output_tokens_per_s",
    "bs32_latency_s",
    "bs32_ttft_s",
    "bs32_itl_ms",
    "bs32_input_tokens_per_s",
    "bs32_output_tokens_per_s",
)


def server_spec(model: str, *, path_variable: str, launch_timeout_s: float) -> ServerSpec:
    """The server of one variant; `path_variable` names the environment variable that may replace the model's path."""
    return ServerSpec(
        model=model,
        args=ARGS,
        needs=NEEDS,
        requires=("tensor_parallel",),
        path_variable=path_variable,
        launch_timeout_s=launch_timeout_s,
    )


def measure_accuracy(server: Server) -> None:
    """GSM8K with 8 worked examples, every other item of its test set at once."""
    evaluation = gsm8k.run(server, items=1319, shots=8, parallel=1319, max_tokens=512)
    check("gsm8k_accuracy", evaluation.score)


def measure_perf(server: Server) -> None:
    """One batch at a time, 8192 tokens in and 1024 out; runs whatever the accuracy was."""
    points = one_batch.run(server, batch_sizes=BATCH_SIZES, input_len=8192, output_len=1024)
    check_all({metric: value for point in points for metric, value in point.metrics().items()})
