"""The same command twice is the same work with the same scores."""

from pathlib import Path

import pytest

from support.files import ci


@pytest.mark.engine
def test_two_runs_have_one_digest_and_equal_scores(tmp_path: Path) -> None:
    digests, scores = [], []
    for number in range(2):
        ended = ci(
            "run", "stage-a-amd", "--test", "amd/test_gsm8k_sample.py", "--json", runs=tmp_path / str(number)
        )
        assert ended.code == 0, ended.text
        events = ended.events()
        digests.append(events[0]["plan_digest"])
        scores.append([(event["metric"], event["value"]) for event in events if event["type"] == "metric"])
    assert digests[0] == digests[1]
    assert scores[0] == scores[1]
    assert [metric for metric, _ in scores[0]] == ["gsm8k_accuracy"]
    changed = ci(
        "plan",
        "stage-a-amd",
        "--test",
        "amd/test_gsm8k_sample.py",
        "--env",
        "SGLANG_USE_AITER=0",
        "--json",
        runs=tmp_path / "x",
    )
    assert digests[0] not in changed.out
