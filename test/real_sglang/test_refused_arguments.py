"""A capability that a row leaves out is asked for all the same: the real server refuses it, and the verdict says why."""

import pytest

from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir
from support.files import Ended, ci, copy_repository

TEST = "test/registered/mla/test_mla_fp8.py"
ROW = """id = "deterministic_inference"
engine = "sglang"
hardware = ["cpu"]
args = ["--enable-deterministic-inference"]
allowed = {}
"""
# what the row says: no backend that SGLang takes by itself on a CPU is allowed with it
REFUSAL = (
    "attention backends are supported for deterministic inference, but you explicitly specified 'intel_amx'"
)


@pytest.fixture(scope="module")
def forced(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The run of a copy of this repository whose row gives the server the argument."""
    folder = tmp_path_factory.mktemp("forced")
    copy = copy_repository(folder / "copy")
    rows = copy / "ci/catalog/capabilities.toml"
    text = rows.read_text()
    assert ROW.format("false") in text, "the row that leaves the argument out"
    rows.write_text(text.replace(ROW.format("false"), ROW.format("true")))
    cache = str(cache_dir(read_environ()))
    return ci(
        *("run", "stage-b-amd", "--engine", "sglang", "--test", TEST, "--json", "--yes"),
        runs=folder / "runs",
        cwd=copy,
        env={"AMD_CI_CACHE": cache},
        timeout_s=900,
    )


def test_the_forced_argument_is_the_products_failure_with_sglangs_own_words(forced: Ended) -> None:
    (ended,) = [event for event in forced.events() if event["type"] == "test-ended"]
    assert (ended["outcome"], ended["verdict"]) == ("failed", "product"), forced.text
    assert any(REFUSAL in line for line in ended["evidence"]), ended["evidence"]
    assert forced.code == 1
