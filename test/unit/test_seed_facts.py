"""What the tests of SGLang's seeds expect on which hardware: the rows say what SGLang's pull requests said."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.registrations.parse import discover
from harness.suites import deepseek_v4

REPOSITORY = Path(__file__).parents[2]
TESTS = "test/registered"
PART_1 = f"{TESTS}/perf/test_bench_serving_1gpu_part1.py"
PART_2 = f"{TESTS}/perf/test_bench_serving_1gpu_part2.py"
MOE = f"{TESTS}/moe/test_torch_compile_moe.py"
MULTI = f"{TESTS}/tokenizer/test_multi_tokenizer.py"
MTP = f"{TESTS}/amd/test_deepseek_v3_mtp.py"
MLA = f"{TESTS}/mla/test_mla_fp8.py"

# sgl-project/sglang#23156 and #23382: test, metric, then mi325x (before it), mi300x and CUDA
BOUNDS = [
    (PART_1, "lora_median_ttft_ms", "< 58", "< 100", "< 58"),
    (PART_1, "lora_updates_median_ttft_ms", "< 80", "< 130", "< 80"),
    (PART_1, "lora_median_e2e_ms", "< 2400", "< 2400", "< 2400"),
    (PART_1, "lora_updates_median_e2e_ms", "< 4000", "< 4000", "< 4000"),
    (PART_2, "vlm_offline_output_tok_per_s", "> 2000", "> 900", "> 2500"),
    (PART_2, "score_bs10_mean_ms", "< 45", "< 60", "< 45"),
    (PART_2, "score_bs10_p95_ms", "< 50", "< 65", "< 50"),
    (PART_2, "score_bs25_mean_ms", "< 50", "< 70", "< 50"),
    (PART_2, "score_bs25_p95_ms", "< 60", "< 80", "< 60"),
    (PART_2, "score_bs50_mean_ms", "< 60", "< 80", "< 60"),
    (PART_2, "score_bs50_p95_ms", "< 65", "< 90", "< 65"),
    (PART_2, "embeddings_mean_ms", "< 20", "< 35", "< 20"),
    (PART_2, "embeddings_p95_ms", "< 25", "< 40", "< 25"),
    (PART_2, "embeddings_request_per_s", "> 60", "> 30", "> 60"),
    (PART_2, "embeddings_bs10_mean_ms", "< 60", "< 80", "< 60"),
    (PART_2, "embeddings_bs10_p95_ms", "< 65", "< 90", "< 65"),
    (PART_2, "embeddings_bs25_mean_ms", "< 115", "< 140", "< 115"),
    (PART_2, "embeddings_bs25_p95_ms", "< 120", "< 150", "< 120"),
    (PART_2, "embeddings_bs50_mean_ms", "< 190", "< 230", "< 190"),
    (PART_2, "embeddings_bs50_p95_ms", "< 195", "< 240", "< 195"),
    (MOE, "bs1_output_tokens_per_s", ">= 270", ">= 240", ">= 285"),
    (MULTI, "median_ttft_ms", "< 86", "< 130", "< 86"),
    (MULTI, "median_e2e_ms", "< 11000", "< 11000", "< 11000"),
    (MULTI, "median_itl_ms", "< 10", "< 10", "< 10"),
    (MTP, "gsm8k_accuracy", "> 0.935", ">= 0.93", ">= 0.93"),
    (MTP, "accepted_length", "> 2.8", "> 2.8", "> 2.9"),
    (MLA, "mgsm_en_accuracy", ">= 0.8", ">= 0.8", ">= 0.8"),
]

# sgl-project/sglang#26662: model, the variable that overrides it, seconds to launch, estimate, suite, floor on mi355x
QUARTET = {
    "flash_fp4": ("deepseek-ai/DeepSeek-V4-Flash", "DEEPSEEK_V4_FP4_MODEL_PATH", 3600, 7200, 0.91),
    "flash_fp8": ("sgl-project/DeepSeek-V4-Flash-FP8", "DEEPSEEK_V4_FP8_MODEL_PATH", 3600, 7200, 0.91),
    "pro_fp4": ("deepseek-ai/DeepSeek-V4-Pro", "DEEPSEEK_V4_PRO_MODEL_PATH_FP4", 5400, 14400, 0.92),
    "pro_fp8": ("sgl-project/DeepSeek-V4-Pro-FP8", "DEEPSEEK_V4_PRO_MODEL_PATH_FP8", 5400, 14400, 0.91),
}
SERVER_ARGS = (
    "--trust-remote-code --tp 8 --disable-radix-cache --attention-backend dsv4 --max-running-requests 256 --page-size 256 "
    "--mem-fraction-static 0.90 --swa-full-tokens-ratio 0.1 --chunked-prefill-size 8192 --disable-shared-experts-fusion "
    "--tool-call-parser deepseekv4 --reasoning-parser deepseek-v4"
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def bound(catalog: Catalog, test: str, metric: str, hardware_class: str) -> str:
    """The row as `op limit`, `report only` for one that judges nothing."""
    (row,) = (
        row
        for row in catalog.bounds
        if (row.test, row.metric) == (test, metric) and hardware_class in row.hardware
    )
    return "report only" if row.report_only else f"{row.op} {row.limit:g}"


@pytest.mark.parametrize(("test", "metric", "mi325x", "mi300x", "cuda"), BOUNDS)
def test_a_bound_is_what_the_pull_request_said(
    catalog: Catalog, test: str, metric: str, mi325x: str, mi300x: str, cuda: str
) -> None:
    classes = ("mi325x", "mi300x", "cuda", "mi355x")
    assert [bound(catalog, test, metric, name) for name in classes] == [mi325x, mi300x, cuda, "report only"]


def load(variant: str) -> Any:
    """One of the quartet's files as a module."""
    path = REPOSITORY / TESTS / "amd" / f"test_deepseek_v4_{variant}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("variant", QUARTET)
def test_a_variant_of_deepseek_v4_is_launched_as_the_pull_request_says(
    catalog: Catalog, variant: str
) -> None:
    model, variable, launch_s, estimate_s, floor = QUARTET[variant]
    server = load(variant).SERVER
    assert (server.model, server.path_variable, server.launch_timeout_s) == (model, variable, launch_s)
    assert " ".join(server.args) == SERVER_ARGS
    file = f"{TESTS}/amd/test_deepseek_v4_{variant}.py"
    (registration,) = (
        row for row in discover(REPOSITORY, catalog.discovery).registrations if row.file == file
    )
    size = variant.partition("_")[0]
    assert registration.suite == f"nightly-amd-8-gpu-mi35x-deepseek-v4-{size}"
    assert (registration.est_time_s, registration.nightly) == (estimate_s, True)
    assert bound(catalog, file, "gsm8k_accuracy", "mi355x") == f"> {floor:g}"


def test_the_four_environments_differ_in_the_experts_alone(catalog: Catalog) -> None:
    sets = {row.test: row.sets for row in catalog.test_envs}
    environments = {}
    for variant in QUARTET:
        names = sets[f"{TESTS}/amd/test_deepseek_v4_{variant}.py"]
        environments[variant] = {
            variable.name: variable.value for name in names for variable in catalog.env_sets[name].variables
        }
    assert environments["flash_fp4"] == environments["pro_fp4"]
    assert environments["flash_fp8"] == environments["pro_fp8"]
    fp4, fp8 = environments["flash_fp4"], environments["flash_fp8"]
    assert {name: (fp4[name], fp8[name]) for name in fp4 if fp4[name] != fp8[name]} == {
        "SGLANG_DSV4_FP4_EXPERTS": ("true", "false")
    }
    assert len(fp4) == 19 + 1


@pytest.mark.parametrize("hardware_class", ["mi300x", "mi325x", "mi355x", "cpu"])
def test_the_metrics_of_the_quartet_all_have_a_row(catalog: Catalog, hardware_class: str) -> None:
    asked = {"gsm8k_accuracy", *deepseek_v4.METRICS}
    if hardware_class == "cpu":  # a rehearsal runs the first two batch sizes
        asked = {name for name in asked if name.startswith(("gsm8k", "bs1_", "bs2_"))}
    for variant in QUARTET:
        file = f"{TESTS}/amd/test_deepseek_v4_{variant}.py"
        rows = {row.metric for row in catalog.bounds if row.test == file and hardware_class in row.hardware}
        assert rows == asked
