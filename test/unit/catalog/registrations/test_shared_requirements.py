"""What tests share in `harness.suites` is asked for by each of them."""

from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.catalog.discovery import DiscoveryRules
from ci.catalog.registrations.parse import discover
from ci.catalog.registrations.test_requirements import Requirements

FILE = "test/registered/amd/test_shared.py"
SHARED = """
from harness.bounds import check, check_all

METRICS = ("bs1_latency_s", "bs2_latency_s")
ASKS = ("deterministic_inference",)


def measure(values):
    check("accuracy", 1)
    check_all(values)
"""
TEST = """
{importing}
from harness.bounds import check
from harness.register import register_amd_ci

register_amd_ci(est_time=1, suite="stage-a-test-1-gpu-small-amd")


def test_x():
    check("own", 1)


if __name__ == "__main__":
    print()
"""


@pytest.fixture(scope="module")
def rules() -> DiscoveryRules:
    return load_catalog().discovery


def requirements(tree: Path, rules: DiscoveryRules, importing: str, shared: str = SHARED) -> Requirements:
    """What the test file of a tree asks for when it imports like this."""
    for path, text in {
        FILE: TEST.format(importing=importing),
        "test/harness/suites/deepseek.py": shared,
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    return discover(tree, rules).requirements[FILE]


@pytest.mark.parametrize(
    "importing", ["from harness.suites import deepseek", "from harness.suites.deepseek import measure"]
)
def test_metrics_and_capabilities_of_the_shared_module_count_as_the_tests_own(
    tmp_path: Path, rules: DiscoveryRules, importing: str
) -> None:
    found = requirements(tmp_path, rules, importing)
    assert found.every_metric == ("own", "accuracy", "bs1_latency_s", "bs2_latency_s")
    assert found.asks == ("deterministic_inference",)
    assert found.faults == ()


def test_a_module_that_is_not_imported_requests_nothing(tmp_path: Path, rules: DiscoveryRules) -> None:
    assert requirements(tmp_path, rules, "import os").every_metric == ("own",)


def test_a_computed_name_in_the_shared_module_is_named_with_its_place(
    tmp_path: Path, rules: DiscoveryRules
) -> None:
    shared = SHARED.replace("METRICS = ", "NAMES = ")
    ((_, what, hint),) = requirements(tmp_path, rules, "from harness.suites import deepseek", shared).faults
    assert what.startswith("test/harness/suites/deepseek.py:10: ")
    assert "METRICS" in hint


def test_a_shared_module_that_is_missing_is_left_to_the_import_to_report(
    tmp_path: Path, rules: DiscoveryRules
) -> None:
    found = requirements(tmp_path, rules, "from harness.suites import nowhere")
    assert found.every_metric == ("own",)
