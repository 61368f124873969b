"""What `./inv doctor`, `runs.sweep` and `runs.prune` print."""

from pathlib import Path

import pytest

from ci.execute.process_sweep import Found
from ci.facts.doctor import Finding
from ci.report.views.doctor import show_findings, show_pruned, show_swept


def test_each_finding_is_a_line_with_a_word_for_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    findings = (
        Finding(name="hardware", ok=True, text="cpu"),
        Finding(name="docker", ok=False, text="no engine"),
        Finding(name="mirror", ok=None, text="no row"),
    )
    show_findings({}, findings)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["hardware", "ok", "cpu"],
        ["docker", "no", "no", "engine"],
        ["mirror", "unchecked", "no", "row"],
    ]


def test_every_process_that_was_ended_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_swept({}, [Found(pid=7, command="python [red]x[/red]")])
    out = capsys.readouterr().out
    assert "ended 7: python [red]x[/red]\n" in out
    assert "1 processes of killed runs were found and ended" in out


@pytest.mark.parametrize(
    ("dry", "text"), [(True, "1 run folders would be removed"), (False, "1 run folders were removed")]
)
def test_removed_folders_are_listed_and_counted(
    capsys: pytest.CaptureFixture[str], *, dry: bool, text: str
) -> None:
    show_pruned({}, [Path("/runs/a")], dry=dry)
    assert capsys.readouterr().out.splitlines() == ["/runs/a", text]
