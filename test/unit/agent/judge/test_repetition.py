"""What several device aborts prove together."""

from collections.abc import Sequence

import pytest

from ci.agent.judge import Ended, Facts, Judgement, failed
from ci.agent.judge.repetition import ABORTED, weighed

PASSED = Judgement(outcome="passed", verdict="passed")
ABORT = failed("device", "Memory access fault by GPU node-2", rule="gpu-memory-fault")

History = Sequence[tuple[str, str, Judgement]]


def last(history: History) -> Judgement:
    """What the last of these attempts is weighed as; the GPUs are the letters of a word."""
    ended: list[Ended] = []
    for test, gpu_ids, judgement in history:
        facts = Facts(log="", test=test, gpu_ids=tuple(gpu_ids), earlier=tuple(ended))
        found = weighed(facts, judgement) if judgement.verdict == ABORTED else judgement
        passed = judgement.outcome == "passed"
        ended.append(Ended(test=test, verdict=judgement.verdict, gpu_ids=facts.gpu_ids, passed=passed))
    return found


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        # one abort, and the same again
        ([("a", "0", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "0", ABORT)], "device"),
        ([("a", "", ABORT), ("a", "", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "1", ABORT)], "product"),
        ([("a", "01", ABORT), ("a", "12", ABORT)], "device"),
        ([("a", "01", ABORT), ("a", "23", ABORT)], "product"),
        # another test on the same GPU: hardware only if the first one is well elsewhere
        ([("a", "0", ABORT), ("b", "0", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "1", PASSED), ("b", "0", ABORT)], "hardware"),
        ([("a", "0", ABORT), ("c", "1", PASSED), ("b", "0", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "1", PASSED), ("b", "1", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "1", ABORT), ("b", "0", ABORT)], "device"),
        ([("a", "0", ABORT), ("a", "1", failed("product")), ("b", "0", ABORT)], "device"),
        # a test that stopped both is the code's, whatever else stopped the second
        ([("a", "1", ABORT), ("a", "0", PASSED), ("b", "0", ABORT), ("b", "1", ABORT)], "product"),
    ],
)
def test_verdict(history: History, verdict: str) -> None:
    assert last(history).verdict == verdict


def test_the_second_line_names_tests_and_gpus() -> None:
    found = last([("test_a.py", "0", ABORT), ("test_a.py", "1", PASSED), ("test_b.py", "0", ABORT)])
    assert found.evidence[0] == ABORT.evidence[0]
    assert found.evidence[1].startswith("test_a.py stopped GPU 0 too, and passed on GPU 1")
    twice = last([("test_a.py", "01", ABORT), ("test_a.py", "23", ABORT)])
    assert twice.evidence[1].startswith("the same test stopped GPUs 0, 1 and then GPUs 2, 3")
    assert twice.rule == "gpu-memory-fault"
