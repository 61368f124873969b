"""A capability that a row leaves out is asked for all the same: the real server refuses it, and the verdict says why."""

from pathlib import Path

import pytest

from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir
from support.files import ci, copy_repository

TEST = "test/registered/mla/test_mla_fp8.py"
DETERMINISTIC, FP8 = "deterministic_inference", "fp8_kv_cache"
REFUSALS = {
    # no backend that SGLang takes by itself on a CPU is allowed with it
    DETERMINISTIC: (
        "attention backends are supported for deterministic inference, "
        "but you explicitly specified 'intel_amx'"
    ),
    FP8: "--kv-cache-dtype fp8_e5m2 is not supported on CPU",
}


def force(repository: Path, capability: str) -> None:
    """Have the row of this capability give its arguments to SGLang on a CPU."""
    path = repository / "ci/catalog/capabilities.toml"
    head, row, rest = path.read_text().partition(
        f'id = "{capability}"\nengine = "sglang"\nhardware = ["cpu"]\n'
    )
    assert row, "the row that leaves the argument out"
    path.write_text(head + row + rest.replace("allowed = false", "allowed = true", 1))


# the test is nothing without its cache, so that is forced along with the other, which SGLang refuses first
@pytest.mark.parametrize(("forced", "refused"), [((FP8, DETERMINISTIC), DETERMINISTIC), ((FP8,), FP8)])
def test_a_forced_argument_is_the_products_failure_with_sglangs_own_words(
    tmp_path: Path, forced: tuple[str, ...], refused: str
) -> None:
    copy = copy_repository(tmp_path / "copy")
    for capability in forced:
        force(copy, capability)
    run = ci(
        *("run", "stage-b-amd", "--engine", "sglang", "--test", TEST, "--json", "--yes"),
        runs=tmp_path / "runs",
        cwd=copy,
        env={"AMD_CI_CACHE": str(cache_dir(read_environ()))},
        timeout_s=900,
    )
    (ended,) = [event for event in run.events() if event["type"] == "test-ended"]
    assert (ended["outcome"], ended["verdict"]) == ("failed", "product"), run.text
    assert any(REFUSALS[refused] in line for line in ended["evidence"]), ended["evidence"]
    assert run.code == 1
