"""The tests of SGLang's seeds, rehearsed for real: the DeepSeek-V4 quartet, the serving benches, the larger stages."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.files import Ended, ci, copy_repository, run_folder

pytestmark = [pytest.mark.engine, pytest.mark.alone, pytest.mark.slow]

QUARTET = ("flash_fp4", "flash_fp8", "pro_fp4", "pro_fp8")
ACCURACY_ROW = """metric = "gsm8k_accuracy"
hardware = ["cpu"]
engine = "llamacpp"
op = ">="
limit = 0.6
"""


def path_of(variant: str) -> str:
    return f"test/registered/amd/test_deepseek_v4_{variant}.py"


def of(events: list[dict[str, Any]], kind: str, test: str = "") -> list[dict[str, Any]]:
    """The events of a kind, of one test when it is named."""
    return [event for event in events if event["type"] == kind and test in ("", event.get("test"))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nightly") / "runs"


@pytest.fixture(scope="module")
def nightly(runs: Path) -> Ended:
    """The whole nightly, once for all tests of this file."""
    return ci("run", "nightly-dsv4-amd", "--hardware", "cpu", "--json", runs=runs, timeout_s=600)


def test_the_quartet_passes_on_the_stand_in_within_six_minutes(nightly: Ended) -> None:
    assert nightly.code == 0, nightly.text
    events = nightly.events()
    ended = {event["test"]: event for event in of(events, "test-ended")}
    assert set(ended) == {path_of(variant) for variant in QUARTET}
    for event in ended.values():
        assert (event["outcome"], event["cases"]) == ("passed", {"passed": 2})
    assert sum(event["duration_s"] for event in ended.values()) < 360


def test_each_of_the_four_launches_one_server_for_both_of_its_tests(nightly: Ended, runs: Path) -> None:
    assert nightly.code == 0, nightly.text
    logs = sorted(path.name for path in (run_folder(runs) / "logs").glob("*.server-*.log"))
    assert logs == [f"test_registered_amd_test_deepseek_v4_{variant}.py.server-1.log" for variant in QUARTET]


def test_accuracy_comes_first_and_all_metrics_are_judged_by_the_rows_for_the_cpu(nightly: Ended) -> None:
    for variant in QUARTET:
        metrics = of(nightly.events(), "metric", path_of(variant))
        assert metrics[0]["metric"] == "gsm8k_accuracy"
        assert {name.partition("_")[0] for name in (event["metric"] for event in metrics[1:])} == {
            "bs1",
            "bs2",
        }
        judged = [event for event in metrics if not event["bound"]["report_only"]]
        assert {"gsm8k_accuracy", "bs1_latency_s", "bs2_output_tokens_per_s"} <= {
            event["metric"] for event in judged
        }
        for event in judged:
            assert event["bound"]["ok"]
            assert event["bound"]["source"].startswith("measured on 2 cores")


def test_the_four_environments_differ_in_the_experts_alone(nightly: Ended, runs: Path) -> None:
    assert nightly.code == 0, nightly.text
    spec = json.loads((run_folder(runs) / "spec.json").read_text())
    environments = {
        test["id"]: {**suite["env"], **test["env"]} for suite in spec["suites"] for test in suite["tests"]
    }
    reference = environments[path_of("flash_fp4")]
    for variant in QUARTET:
        environment = environments[path_of(variant)]
        different = {
            name for name in {*reference, *environment} if reference.get(name) != environment.get(name)
        }
        assert different == (set() if variant.endswith("fp4") else {"SGLANG_DSV4_FP4_EXPERTS"})
        assert environment["SGLANG_DSV4_FP4_EXPERTS"] == ("true" if variant.endswith("fp4") else "false")
        assert environment["SGLANG_DSV4_REASONING_EFFORT"] == "max"
        assert environment["AITER_BF16_FP8_MOE_BOUND"] == "0"


def test_a_raised_bound_is_exit_8_with_its_source_and_perf_still_runs(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "copy")
    rows = copy / "ci/catalog/bounds.toml"
    text = rows.read_text()
    place = text.index(path_of("flash_fp4"), text.index(path_of("pro_fp8")))
    assert ACCURACY_ROW in text[place:], (
        "the quartet's accuracy row for the CPU was changed: change it here too"
    )
    head, tail = text[:place], text[place:]
    rows.write_text(head + tail.replace(ACCURACY_ROW, ACCURACY_ROW.replace("0.6", "1.01"), 1))
    # no score meets this bound: a quarter of the problems shows it as well
    models = copy / "ci/catalog/models.toml"
    models.write_text(re.sub(r"^items = \d+$", "items = 2", models.read_text(), flags=re.MULTILINE))

    test = path_of("flash_fp4")
    ended = ci("run", "nightly-dsv4-amd", "--test", test, "--json", runs=tmp_path / "runs", cwd=copy)
    assert ended.code == 8, ended.text
    cases = {event["case"].rpartition("::")[2]: event for event in of(ended.events(), "case")}
    assert {name: case["outcome"] for name, case in cases.items()} == {
        "test_accuracy": "failed",
        "test_perf": "passed",
    }
    failed = cases["test_accuracy"]
    assert failed["verdict"] == "bounds"
    assert "must be >= 1.01 on cpu" in failed["message"]
    assert "source: measured on 2 cores" in failed["message"] + failed["details"]
    assert "bs1_output_tokens_per_s" in {event["metric"] for event in of(ended.events(), "metric")}
    summary = (run_folder(tmp_path / "runs") / "summary.md").read_text()
    assert "gsm8k_accuracy" in summary
    assert "measured on 2 cores" in summary


def test_the_serving_benches_rehearse_and_name_what_the_engine_lacks(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    arguments = ("run", "stage-b-amd", "--suite", "1-gpu-large", "--hardware", "cpu")
    ended = ci(*arguments, runs=runs, timeout_s=400)
    assert ended.code == 0, ended.text
    for feature in ("lora", "vision", "score_api"):
        assert f"engine llamacpp lacks '{feature}'" in ended.out
    events = [json.loads(line) for line in (run_folder(runs) / "events.jsonl").read_text().splitlines()]
    measured = {event["metric"]: event["value"] for event in of(events, "metric")}
    assert {"offline_default_output_tok_per_s", "online_median_ttft_ms", "embeddings_bs50_p95_ms"} <= set(
        measured
    )
    assert measured["online_client_overhead_share"] < 0.05
    assert not {name for name in measured if name.startswith(("lora", "vlm", "score"))}


def test_stage_c_rehearses_and_names_what_the_engine_lacks(tmp_path: Path) -> None:
    ended = ci("run", "stage-c-amd", "--hardware", "cpu", runs=tmp_path / "runs", timeout_s=400)
    assert ended.code == 0, ended.text
    assert "3 passed, 1 skipped" in ended.out
    assert "engine llamacpp lacks 'speculative'" in ended.out
