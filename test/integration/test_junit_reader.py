"""junit.xml of a real run with retries, as a reader of another author has it: junit2html's parser."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from junit2htmlreport.case_result import CaseResult
from junit2htmlreport.parser import Junit

from ci.execute.run_folder import RunFolder
from ci.record.model import RunRecord
from support.files import ci, copy_repository, only_tests, registered, run_folder, set_limits

SUITE = "stage-c-test-4-gpu-amd"
TESTS = {
    # fails once for lack of disk, then passes
    "x/test_flaky.py": """
from pathlib import Path

SEEN = Path(__file__).with_name("seen.txt")


def test_second_time() -> None:
    if not SEEN.exists():
        SEEN.touch()
        raise OSError(28, "No space left on device")


def test_always() -> None:
    pass
""",
    # fails for lack of disk as often as it is tried
    "x/test_infra.py": """
def test_full() -> None:
    raise OSError(28, "No space left on device")
""",
    "x/test_mixed.py": """
import time


def test_slow() -> None:
    time.sleep(0.3)


@pytest.mark.parametrize("word", ["a", "b<&>"])
def test_wrong(word: str) -> None:
    assert word == "a"


def test_not_here() -> None:
    pytest.skip("needs a GPU & more")
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The folder of a run in which one test passed on its second attempt."""
    root = tmp_path_factory.mktemp("junit")
    copy = copy_repository(root / "repository")
    only_tests(copy, {path: registered(body, suite=SUITE) for path, body in TESTS.items()})
    set_limits(copy, {"agent.settle_s": 0.05})
    stages = copy / "ci/catalog/stages.toml"
    stages.write_text(stages.read_text().replace("retry_wait_s = 120", "retry_wait_s = 0.3"))
    done = ci("run", "stage-c-amd", "--suite", "4-gpu", "--hardware", "cpu", runs=root / "runs", cwd=copy)
    assert done.code == 1, done.text
    return RunFolder(path=run_folder(root / "runs"))


def read(path: Path) -> dict[tuple[str, str], tuple[CaseResult, float]]:
    """Each case that the reader finds: its outcome and seconds."""
    found: dict[tuple[str, str], tuple[CaseResult, float]] = {}
    for suite in Junit(str(path)).suites:
        for case in suite.all():
            assert case.testclass is not None
            key = (str(case.testclass.name), str(case.name))
            assert key not in found, "one case of ours is two of the reader's"
            found[key] = (case.outcome(), case.duration)
    return found


def recorded(record: RunRecord) -> Mapping[tuple[str, str], tuple[str, float]]:
    """Each case of the attempt that decided its test, as the record has it."""
    return {
        (test.id.removesuffix(".py").replace("/", "."), case.case.removeprefix(f"{test.id}::")): (
            case.outcome.value,
            case.duration_s,
        )
        for test in record.tests
        for case in (test.last.cases if test.last is not None else ())
    }


def test_it_has_every_case_with_its_outcome_and_time(folder: RunFolder) -> None:
    wanted = recorded(folder.record())
    found = read(folder.path / "junit.xml")
    ends = {"passed": CaseResult.PASSED, "failed": CaseResult.FAILED, "skipped": CaseResult.SKIPPED}
    assert {key: outcome for key, (outcome, _) in found.items()} == {
        key: ends[outcome] for key, (outcome, _) in wanted.items()
    }
    for key, (_, seconds) in found.items():
        assert seconds == pytest.approx(wanted[key][1], abs=0.001)
    assert found["test.registered.x.test_mixed", "test_slow"][1] > 0.25


def test_its_counts_are_those_of_the_run(folder: RunFolder) -> None:
    (suite,) = Junit(str(folder.path / "junit.xml")).suites
    names = {case.name for case in suite.failed()}
    assert names == {"test_full", "test_wrong[b<&>]"}
    assert [case.name for case in suite.skipped()] == ["test_not_here"]
    assert [case.skipped_msg for case in suite.skipped()] == ["needs a GPU & more"]
    assert {case.name for case in suite.passed()} == {
        "test_second_time",
        "test_always",
        "test_slow",
        "test_wrong[a]",
    }
    properties = {each.name: each.value for each in suite.properties}
    assert properties["attempts: test/registered/x/test_flaky.py"] == "1 failed (infra), 2 passed (passed)"


def test_earlier_attempts_stay_beside_the_last_one(folder: RunFolder) -> None:
    text = (folder.path / "junit.xml").read_text()
    assert text.count("<flakyError") == 1
    assert text.count("<rerunError") == 1


def test_it_makes_its_page_of_it(folder: RunFolder) -> None:
    page = Junit(str(folder.path / "junit.xml")).html()
    assert "test_wrong[b&lt;&amp;&gt;]" in page
