"""Serving on one GPU: throughput of many requests at once, latency at a steady rate, latency through LoRA adapters.

SGLang draws lengths evenly up to 4096 tokens in and 2048 out (LoRA: 256 and 256). Ours are the means of those: the same
work, and medians that do not depend on the draw.
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from harness.bench import lora, serving
from harness.bounds import check, check_all
from harness.register import register_amd_ci
from harness.server import ServerSpec, launch

register_amd_ci(est_time=1100, suite="stage-b-test-1-gpu-large-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
NEEDS = ("completions", "streaming", "token_ids_prompt", "ignore_eos")
OFFLINE = {
    "default": (),
    "no_radix_cache": ("--disable-radix-cache",),
    "no_chunked_prefill": ("--chunked-prefill-size", "-1"),
    "triton_attention": ("--attention-backend", "triton", "--context-length", "8192"),
}
REQUIRES = ("triton_attention",)
ADAPTER = "nvidia/llama-3.1-nemoguard-8b-topic-control"
UPDATED = (
    "pbevan11/llama-3.1-8b-ocr-correction",
    "faridlazuarda/valadapt-llama-3.1-8B-it-chinese",
    "philschmid/code-llama-3-1-8b-text-to-sql-lora",
)
LORA_ARGS = (
    "--enable-lora",
    *("--max-loras-per-batch", "1"),
    *("--max-lora-rank", "256"),
    *("--lora-paths", ADAPTER),
    "--disable-radix-cache",
    *("--random-seed", "42"),
    *("--mem-fraction-static", "0.8"),
)
METRICS = (
    "offline_default_output_tok_per_s",
    "offline_no_radix_cache_output_tok_per_s",
    "offline_no_chunked_prefill_output_tok_per_s",
    "offline_triton_attention_output_tok_per_s",
)


@pytest.mark.parametrize("setting", OFFLINE)
def test_offline_throughput(setting: str) -> None:
    requires = tuple(name for name in REQUIRES if name == setting)
    with launch(ServerSpec(model=MODEL, args=OFFLINE[setting], needs=NEEDS, requires=requires)) as server:
        result = serving.run(server, prompts=500, input_len=2048, output_len=1024)
    check(f"offline_{setting}_output_tok_per_s", result.output_tok_per_s)


def test_offline_throughput_of_whole_replies_in_small_batches() -> None:
    # SGLang takes ShareGPT's conversations: some 300 tokens in and 200 out on average
    with launch(ServerSpec(model=MODEL, args=("--max-running-requests", "10"), needs=NEEDS)) as server:
        result = serving.run(server, prompts=200, input_len=300, output_len=200, stream=False)
    check("offline_small_batches_output_tok_per_s", result.output_tok_per_s)


def test_online_latency() -> None:
    with launch(ServerSpec(model=MODEL, needs=NEEDS)) as server:
        result = serving.run(server, prompts=100, request_rate=1, input_len=2048, output_len=1024)
    check_all(
        {
            "online_median_e2e_ms": result.median_e2e_ms,
            "online_median_ttft_ms": result.median_ttft_ms,
            "online_median_itl_ms": result.median_itl_ms,
            "online_client_overhead_share": result.client_overhead_share,
        }
    )


def lora_latency(*, updates_in_background: bool) -> serving.ServingResult:
    """400 requests through one adapter, 8 a second; with updates, others are loaded and unloaded meanwhile."""
    adapters = {name: name for name in (ADAPTER, *UPDATED)}
    with launch(ServerSpec(model=MODEL, args=LORA_ARGS, needs=(*NEEDS, "lora"))) as server:
        return lora.run(
            server,
            adapters,
            updates_in_background=updates_in_background,
            prompts=400,
            request_rate=8,
            input_len=128,
            output_len=128,
        )


def test_lora_latency() -> None:
    result = lora_latency(updates_in_background=False)
    check_all({"lora_median_e2e_ms": result.median_e2e_ms, "lora_median_ttft_ms": result.median_ttft_ms})


def test_lora_latency_while_other_adapters_come_and_go() -> None:
    result = lora_latency(updates_in_background=True)
    check_all(
        {
            "lora_updates_median_e2e_ms": result.median_e2e_ms,
            "lora_updates_median_ttft_ms": result.median_ttft_ms,
        }
    )
