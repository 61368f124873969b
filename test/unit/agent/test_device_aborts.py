"""What several device aborts prove together."""

from collections.abc import Sequence

import pytest

from ci.agent.device_aborts import DeviceAborts
from ci.agent.judge import Judgement, failed

PASSED = Judgement(outcome="passed", verdict="passed")
ABORTED = failed("device", "Memory access fault by GPU node-2", rule="gpu-memory-fault")

History = Sequence[tuple[str, str, Judgement]]


def last(history: History) -> Judgement:
    """What the last of these attempts is weighed as; the GPUs are the letters of a word."""
    aborts = DeviceAborts()
    return [aborts.weigh(test, list(gpus), judgement) for test, gpus, judgement in history][-1]


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        # one abort, and the same again
        ([("a", "0", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "0", ABORTED)], "device"),
        ([("a", "", ABORTED), ("a", "", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "1", ABORTED)], "product"),
        ([("a", "01", ABORTED), ("a", "12", ABORTED)], "device"),
        ([("a", "01", ABORTED), ("a", "23", ABORTED)], "product"),
        # another test on the same GPU: hardware only if the first one is well elsewhere
        ([("a", "0", ABORTED), ("b", "0", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "1", PASSED), ("b", "0", ABORTED)], "hardware"),
        ([("a", "0", ABORTED), ("c", "1", PASSED), ("b", "0", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "1", PASSED), ("b", "1", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "1", ABORTED), ("b", "0", ABORTED)], "device"),
        ([("a", "0", ABORTED), ("a", "1", failed("product")), ("b", "0", ABORTED)], "device"),
        # a test that stopped both is the code's, whatever else stopped the second
        ([("a", "1", ABORTED), ("a", "0", PASSED), ("b", "0", ABORTED), ("b", "1", ABORTED)], "product"),
    ],
)
def test_verdict(history: History, verdict: str) -> None:
    assert last(history).verdict == verdict


def test_the_second_line_names_tests_and_gpus() -> None:
    found = last([("test_a.py", "0", ABORTED), ("test_a.py", "1", PASSED), ("test_b.py", "0", ABORTED)])
    assert found.evidence[0] == ABORTED.evidence[0]
    assert found.evidence[1].startswith("test_a.py stopped GPU 0 too, and passed on GPU 1")
    twice = last([("test_a.py", "01", ABORTED), ("test_a.py", "23", ABORTED)])
    assert twice.evidence[1].startswith("the same test stopped GPUs 0, 1 and then GPUs 2, 3")
    assert twice.rule == "gpu-memory-fault"


def test_other_verdicts_stay_as_they_are() -> None:
    assert last([("a", "0", ABORTED), ("a", "1", failed("infra", "x"))]) == failed("infra", "x")
