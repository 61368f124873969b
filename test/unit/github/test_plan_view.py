"""The planned jobs as a page, on a terminal and for machines."""

import io
import re
from typing import Any

from ci.github.job_plan import JobPlan
from ci.github.matrix import Job, NotMade, Waves
from ci.github.plan_view import plan_data, plan_markdown, show_ci_plan
from ci.plan.jobs import ChangedFile, Changes, Choice, Reason, Selection
from ci.report.console import Console
from support.planning import STAGE_A, STAGE_B_SMALL, catalog


def shown(**changes: Any) -> JobPlan:
    values: dict[str, Any] = {
        "event": "pull_request",
        "workflow": "amd-pr",
        "changes": Changes(tree="own", base="b", files=(ChangedFile(path="README.md"),)),
        "full": "",
        "selection": Selection(choices={}, nothing=(Reason(file="a|b`<x>.md", rule="docs", why="text"),)),
        "waves": Waves(waves=((), (), ()), not_made=()),
        "not_selected": (STAGE_A,),
        "shadow": False,
        "would_skip": (),
        "notes": (),
    }
    return JobPlan(**{**values, **changes})


def test_the_page_says_that_nothing_runs_and_keeps_paths_from_being_markup() -> None:
    text = plan_markdown(shown())
    assert "no test is selected: 1 changed file" in text
    assert "a|b" not in text
    assert "<x>" not in text


def test_shadow_names_what_the_rules_would_leave_out() -> None:
    text = plan_markdown(shown(shadow=True, would_skip=("suite (label)",)))
    assert "the rules would leave out 1 of them" in text
    assert "shadow, the rules would leave out: <code>suite (label)</code>" in text


WHY = Reason(file="ci/x.py", rule="house", why="it is used by all")


def job(name: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "name": name,
        "session": "stage_a_amd",
        "suite": "1-gpu-small",
        "shard": "1/1",
        "runner": "linux",
        "timeout_minutes": 45,
        "step_timeout_minutes": 30,
        "image": "",
        "rocm": "700",
        "hardware": "mi300x",
        "continue_on_error": "",
        "digest": "",
    }
    return Job(**{**values, **changes})


def selected(**changes: Any) -> JobPlan:
    choices = {
        STAGE_A: Choice(suite=STAGE_A, tests=None, reasons=(WHY,)),
        STAGE_B_SMALL: Choice(suite=STAGE_B_SMALL, tests=frozenset({"b.py", "a.py"}), reasons=(WHY,)),
    }
    values: dict[str, Any] = {
        "selection": Selection(choices=choices, nothing=(Reason(file="README.md", rule="docs", why="text"),)),
        "waves": Waves(
            waves=((job("first"), job("second")), (), (job("third"),)),
            not_made=(NotMade(suite="empty-suite", because="no test is registered"),),
        ),
        "not_selected": ("other-suite",),
        "notes": ("2 files are not committed",),
    }
    return shown(**{**values, **changes})


def on_terminal(plan: JobPlan, *, why: bool = False) -> str:
    stream = io.StringIO()
    show_ci_plan(Console(file=stream, width=200, no_color=True), plan, why=why)
    return stream.getvalue()


class TestTerminal:
    def test_the_jobs_are_shown_by_wave_with_their_limits(self) -> None:
        text = on_terminal(selected())
        assert "wave 1: 2 jobs" in text
        assert "wave 2" not in text
        assert re.search(r"wave 3: 1 job\b", text)
        row = next(line for line in text.splitlines() if "second" in line)
        for cell in ("stage_a_amd", "1-gpu-small", "1/1", "700", "30 min", "45 min"):
            assert cell in row

    def test_what_gets_no_job_is_named_with_its_reason(self) -> None:
        text = on_terminal(selected())
        for line in (
            "no job: empty-suite: no test is registered",
            "not selected: other-suite",
            "note: 2 files are not committed",
        ):
            assert line in text

    def test_reasons_are_shown_on_request(self) -> None:
        assert "it is used by all" not in on_terminal(selected())
        text = on_terminal(selected(), why=True)
        for words in (
            STAGE_A,
            f"{STAGE_B_SMALL}: a.py, b.py",
            "ci/x.py",
            "house",
            "it is used by all",
            "README.md",
        ):
            assert words in text

    def test_a_reason_without_a_file_has_a_dash(self) -> None:
        full = Selection(
            choices={
                STAGE_A: Choice(
                    suite=STAGE_A, tests=None, reasons=(Reason(file="", rule="full-run", why="w"),)
                )
            },
            nothing=(),
        )
        row = next(
            line
            for line in on_terminal(selected(selection=full), why=True).splitlines()
            if "full-run" in line
        )
        assert " - " in row

    def test_while_rules_are_tried_everything_is_selected(self) -> None:
        text = on_terminal(selected(shadow=True, would_skip=("third",)))
        assert "not selected" not in text
        assert "shadow: the rules would leave out third" in text


class TestPage:
    def test_it_has_every_job_with_its_wave_and_reason(self) -> None:
        text = plan_markdown(selected())
        assert "| 3 | <code>third</code> | <code>stage_a_amd</code> | 30 min |" in text
        assert "<code>ci/x.py</code>" in text
        assert f"<code>{STAGE_B_SMALL}: a.py, b.py</code>" in text
        for line in ("- no job: <code>empty-suite</code>", "- not selected: <code>other-suite</code>"):
            assert line in text
        assert "<code>2 files are not committed</code>" in text

    def test_a_full_run_needs_no_reasons(self) -> None:
        text = plan_markdown(selected(full="the event is schedule"))
        assert "<code>third</code>" in text
        assert "ci/x.py" not in text
        assert "| wave |" not in plan_markdown(shown())


class TestMachines:
    def test_everything_is_in_it(self) -> None:
        data = plan_data(selected(), catalog())
        assert [[one["name"] for one in wave] for wave in data["waves"]] == [
            ["first", "second"],
            [],
            ["third"],
        ]
        assert [(row["suite"], row["stage"], row["tests"]) for row in data["suites"]] == [
            (STAGE_A, "stage-a-amd", None),
            (STAGE_B_SMALL, "stage-b-amd", ["a.py", "b.py"]),
        ]
        assert data["changed_files"] == ["README.md"]
        assert data["not_made"] == [{"suite": "empty-suite", "because": "no test is registered"}]
        assert data["selects_nothing"][0]["file"] == "README.md"


def test_the_sentence_counts_jobs_and_files() -> None:
    files = (ChangedFile(path="a"), ChangedFile(path="b"))
    two = Changes(tree="own", base="b", files=files)
    one_job = Waves(waves=((job("only"),), (), ()), not_made=())
    assert selected().sentence == "1 changed file selects 3 jobs"
    assert selected(changes=two, waves=one_job).sentence == "2 changed files select 1 job"
    assert selected(full="it is nightly").sentence == "every suite is selected, it is nightly: 3 jobs"
    unknown = Changes(tree="own", base="", files=(), unknown="no base")
    assert selected(changes=unknown).sentence.endswith("no base: 3 jobs")
    nothing = Changes(tree="own", base="b", files=())
    assert shown(changes=nothing).sentence == "nothing has changed, so no test is selected"
    assert "(2 changed files)" in selected(shadow=True, changes=two).sentence
