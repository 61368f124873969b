"""Plans of SGLang's seeds: a model's path from outside, and bounds that differ within a family."""

import json
from pathlib import Path

from support.files import ci


def test_a_model_path_that_is_given_is_in_the_plan(tmp_path: Path) -> None:
    arguments = ("plan", "nightly-dsv4-amd", "--hardware", "mi355x", "--executor", "host", "--json")
    given = ("--env", "DEEPSEEK_V4_FP4_MODEL_PATH=/models/flash")
    plain, with_path = (
        json.loads(ci(*arguments, *extra, runs=tmp_path / "runs").out) for extra in ((), given)
    )
    assert plain["digest"] != with_path["digest"]
    for suite in with_path["work"]["suites"]:
        assert suite["env"]["DEEPSEEK_V4_FP4_MODEL_PATH"] == "/models/flash"


def test_two_classes_of_one_family_differ_in_bounds_and_in_nothing_else_of_the_work(tmp_path: Path) -> None:
    files = []
    for name in ("mi325x", "mi300x"):
        arguments = (
            "plan",
            "stage-b-amd",
            "--suite",
            "1-gpu-large",
            "--hardware",
            name,
            "--executor",
            "host",
            "--json",
        )
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(ci(*arguments, runs=tmp_path / "runs").out)
    compared = ci("plan", "--diff", *map(str, files), "--json", runs=tmp_path / "runs")
    paths = [
        row["path"] for row in json.loads(compared.out)["differences"] if row["path"].startswith("work.")
    ]
    assert {path.split(".")[1] for path in paths} == {"bounds", "hardware_class"}
    assert any("vlm_offline_output_tok_per_s" in path for path in paths), (
        "sgl-project/sglang#23156 changed it"
    )
    assert not any("score_mean_ms" in path for path in paths), "sgl-project/sglang#23156 left it as it was"
