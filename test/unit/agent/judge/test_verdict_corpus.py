"""The labelled logs can be read, and what is wrong with a folder of them is said at once."""

import json
from pathlib import Path

import pytest
from bench.verdicts import Result, figures, main

from ci.agent.judge import Facts, Judgement
from ci.errors import UsageError
from support.verdict_corpus import CORPUS, VERDICTS, LabelledCase, load_corpus

RIGHT = 'verdict = "infra"\nkind = "network"\nwhy = "no route"\nsource = "measured"\n'


def write_case(folder: Path, *, log: str = "x", expected: str = RIGHT, events: str | None = None) -> None:
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(log)
    (folder / "expected.toml").write_text(expected)
    if events is not None:
        (folder / "events.jsonl").write_text(events)


def result(right: str, said: str) -> Result:
    case = LabelledCase(
        name="one",
        facts=Facts(log=""),
        verdict=VERDICTS[right],
        kind="network",
        why="because",
        source="measured",
    )
    return Result(case=case, judgement=Judgement(outcome="failed", verdict=said))


def test_the_labelled_logs_are_named_by_their_kind() -> None:
    cases = load_corpus(CORPUS)
    assert [case.name for case in cases if not case.name.startswith(f"{case.kind}-")] == []


def test_events_say_what_the_log_does_not(tmp_path: Path) -> None:
    events = [
        {"type": "test-started", "test": "a.py", "attempt": 1, "gpu_ids": ["2"]},
        {"type": "case", "test": "a.py", "attempt": 1, "case": "a.py::old", "outcome": "failed"},
        {"type": "test-ended", "test": "a.py", "attempt": 1, "verdict": "device", "exit_code": 134},
        {"type": "test-started", "test": "a.py", "attempt": 2, "gpu_ids": ["5"]},
        {"type": "case", "test": "a.py", "attempt": 2, "case": "a.py::x", "outcome": "passed"},
        {
            "type": "case",
            "test": "a.py",
            "attempt": 2,
            "case": "a.py::y",
            "outcome": "failed",
            "message": "no",
        },
        {
            "type": "test-ended",
            "attempt": 2,
            "exit_code": None,
            "signal": "SIGKILL",
            "oom_kills": 1,
            "kernel_log": ["k"],
        },
    ]
    write_case(tmp_path / "deep/one", events="".join(json.dumps(event) + "\n" for event in events))
    [case] = load_corpus(tmp_path)
    assert case.name == "deep/one"
    facts = case.facts
    assert (facts.signal, facts.oom_kills, facts.kernel_log, facts.gpu_ids) == ("SIGKILL", 1, "k", ("5",))
    assert [(failed.case, failed.message) for failed in facts.failed] == [("a.py::y", "no")]
    assert [(earlier.verdict, earlier.gpu_ids) for earlier in facts.earlier] == [("device", ("2",))]


def test_all_problems_of_a_folder_are_said_at_once_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "a", expected=RIGHT.replace("infra", "infrastructure") + "rule = 1\n")
    write_case(tmp_path / "b", expected='verdict = "infra"\nkind = ')
    write_case(tmp_path / "c", events='{"type": "test-ended", "exit_code": "1"}\nnot json\n')
    write_case(tmp_path / "d", expected='verdict = "oom"\nkind = "x"\nwhy = "y"\n')
    (tmp_path / "d/log.txt").unlink()
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    for place in (
        "a/expected.toml:1: verdict is 'infrastructure'",
        "a/expected.toml:5: rule is unknown",
        "b/expected.toml:2: cannot be read",
        "c/events.jsonl:1: exit_code is '1'",
        "c/events.jsonl:2: is not JSON",
        "d/expected.toml:1: source is missing",
        "d/log.txt:1: cannot be read",
    ):
        assert f"{tmp_path}/{place}" in said


def test_a_folder_without_a_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_corpus(tmp_path)


def test_the_two_figures_decide() -> None:
    fine = (
        [result("product", "product")] * 9
        + [result("infra", "infra")] * 97
        + [result("infra", "product")] * 3
    )
    assert figures(fine).met
    assert not figures([*fine, result("oom", "product"), result("infra", "bounds")]).met
    assert not figures([*fine, result("product", "hardware")]).met
    # undecided is neither an excuse nor a blame
    assert figures([*fine, result("product", "device"), result("infra", "unknown")]).met


def test_a_product_failure_that_is_excused_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "one", log="AssertionError: 1 != 2", expected=RIGHT.replace("infra", "product"))
    assert main([str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["right"] == 1
    write_case(tmp_path / "two", log="AssertionError: 1 != 2")
    assert main([str(tmp_path), "--json"]) == 1
    assert [wrong["case"] for wrong in json.loads(capsys.readouterr().out)["wrong"] if wrong["blamed"]] == [
        "two"
    ]
