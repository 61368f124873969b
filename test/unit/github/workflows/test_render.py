"""The rendered workflows: what they hold, and that they follow the rows."""

import importlib.util
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser as InvokeParser
from ruamel.yaml import YAML

from ci.catalog.catalog import Catalog
from ci.cli.ci_plan import ci_plan_parser
from ci.cli.options import parse, run_parser
from ci.cli.report import report_parser
from ci.errors import Problem
from ci.github.matrix import stage_waves
from ci.github.workflows.render import (
    ACTIONLINT,
    HEADER,
    WORKFLOWS,
    ZIZMOR,
    find_stale,
    render,
    write,
)

REPOSITORY = Path(__file__).parents[4]
SECRET = re.compile(r"secrets\.([A-Z_]+)")


@pytest.fixture(scope="module")
def rendered(catalog: Catalog) -> Mapping[str, str]:
    return render(catalog)


@pytest.fixture(scope="module")
def parsed(rendered: Mapping[str, str]) -> Mapping[str, Any]:
    """Each workflow by its short name, as YAML's own values."""
    loader = YAML(typ="safe", pure=True)
    return {
        Path(path).stem: loader.load(text) for path, text in rendered.items() if path.startswith(WORKFLOWS)
    }


def jobs_of(parsed: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, workflow in parsed.items():
        for job_id, job in workflow["jobs"].items():
            yield name, job_id, job


def steps_of(parsed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, _, job in jobs_of(parsed):
        for step in job.get("steps", ()):
            yield name, step


def commands(parsed: Mapping[str, Any]) -> list[list[str]]:
    """Every step's command in words, with its variables by name."""
    return [shlex.split(step["run"]) for _, step in steps_of(parsed) if "run" in step]


@cache
def tasks() -> Collection:
    """The verbs, as `./inv` loads them."""
    spec = importlib.util.spec_from_file_location("verbs_of_this_repository", REPOSITORY / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Collection = module.namespace
    return found


def test_every_file_says_how_it_is_made(rendered: Mapping[str, str]) -> None:
    assert sorted(Path(path).name for path in rendered) == sorted(
        [
            "actionlint.yaml",
            "amd-images.yml",
            "amd-nightly.yml",
            "amd-pr.yml",
            "amd-stage.yml",
            "ci.yml",
            "docs.yml",
            "zizmor.yml",
        ]
    )
    assert "nox -s workflows" in HEADER
    for text in rendered.values():
        assert text.startswith(HEADER)
        assert text.endswith("\n")
        assert not re.search(r"[ \t]$|\t|<<|<%|<#", text, flags=re.MULTILINE)


class TestSafety:
    def test_only_reading_is_granted(self, parsed: Mapping[str, Any]) -> None:
        for name, job_id, job in jobs_of(parsed):
            assert parsed[name]["permissions"] == {}
            publishes = (name, job_id) == ("docs", "publish")
            wanted = {"pages": "write", "id-token": "write"} if publishes else {"contents": "read"}
            assert job["permissions"] == wanted, job_id

    def test_every_job_and_every_stage_step_has_a_limit(self, parsed: Mapping[str, Any]) -> None:
        for _, job_id, job in jobs_of(parsed):
            assert ("timeout-minutes" in job) != ("uses" in job), job_id
        (job,) = parsed["amd-stage"]["jobs"].values()
        (step,) = [step for step in job["steps"] if "nox@" in step.get("run", "")]
        assert step["timeout-minutes"] == "${{ matrix.step_timeout_minutes }}"

    def test_actions_are_pinned_by_hash_with_the_tag_beside_it(
        self, rendered: Mapping[str, str], catalog: Catalog
    ) -> None:
        lines = [line.strip() for text in rendered.values() for line in text.splitlines() if "uses: " in line]
        wanted = {f"{pin.id}@{pin.hash} # {pin.tag}" for pin in catalog.actions.actions.values()}
        local = "./.github/workflows/amd-stage.yml"
        assert {line.partition("uses: ")[2] for line in lines} == wanted | {local}

    def test_no_checkout_leaves_a_token_behind(self, parsed: Mapping[str, Any]) -> None:
        checkouts = [
            step for _, step in steps_of(parsed) if step.get("uses", "").startswith("actions/checkout@")
        ]
        assert len(checkouts) > 8
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)

    def test_no_script_holds_an_expression_or_more_than_one_command(self, parsed: Mapping[str, Any]) -> None:
        scripts = [step["run"] for _, step in steps_of(parsed) if "run" in step]
        assert scripts
        for script in scripts:
            assert script.startswith("exec ")
            assert "${{" not in script
            assert not set(script) & set("\n;|&`")

    def test_a_plan_can_see_what_a_pull_request_of_either_tree_changed(
        self, parsed: Mapping[str, Any]
    ) -> None:
        """A commit alone has no base to compare with, and everything would be selected."""
        for name in ("amd-pr", "amd-nightly"):
            checkouts = [
                step for step in parsed[name]["jobs"]["plan"]["steps"] if "checkout" in step.get("uses", "")
            ]
            assert [step["with"]["fetch-depth"] for step in checkouts] == [0, 0]
        stage = parsed["amd-stage"]["jobs"]["test"]["steps"]
        assert not [step for step in stage if "fetch-depth" in step.get("with", {})], (
            "a test needs no history"
        )

    def test_every_verb_is_one_of_ours_with_its_options(self, parsed: Mapping[str, Any]) -> None:
        verbs = [words[words.index("./inv") + 1 :] for words in commands(parsed) if "./inv" in words]
        assert {words[0] for words in verbs} == {"image.build", "image.mirror", "runs.sweep"}
        for words in verbs:
            (found,) = InvokeParser(contexts=tasks().to_contexts()).parse_argv(words)
            assert found.name == words[0]

    @pytest.mark.parametrize(
        "words", ["image.bild", "image.mirror --rocm 700 --famliy mi30x", "runs.sweep --containers"]
    )
    def test_a_verb_or_option_that_does_not_exist_would_be_seen(self, words: str) -> None:
        with pytest.raises(ParseError):
            InvokeParser(contexts=tasks().to_contexts()).parse_argv(words.split())

    def test_every_session_is_one_of_ours_with_its_options(self, parsed: Mapping[str, Any]) -> None:
        sessions = [words[words.index("-s") + 1 :] for words in commands(parsed) if "-s" in words]
        assert len(sessions) == 11
        problems: list[Problem] = []
        for name, *rest in sessions:
            options = rest[1:] if rest[:1] == ["--"] else rest
            if name == "$SESSION" and options:
                assert parse(run_parser("x"), options, problems).executor == "docker"
            elif name == "ci_plan":
                parse(ci_plan_parser(), options, problems)
            elif name == "report":
                parse(report_parser(), options, problems)
            elif name == "docs":
                assert options == ["--check"]
            else:  # a matrix of our own sessions, which another test compares with those that there are
                assert (name, options) == ("$SESSION", [])
        assert problems == []

    def test_secrets_reach_only_the_steps_that_need_them_and_no_fork(
        self, parsed: Mapping[str, Any], catalog: Catalog
    ) -> None:
        holders: dict[str, set[str]] = {}
        for name, step in steps_of(parsed):
            for secret in SECRET.findall(str(step)):
                holders.setdefault(secret, set()).add(f"{name}: {step['name']}")
        images = {"amd-images: Build and push", "amd-images: Mirror"}
        assert holders == {
            row.id: {"amd-stage: Run"} | (images if "images" in row.kinds else set())
            for row in catalog.actions.secrets
        }
        (stage,) = parsed["amd-stage"]["jobs"].values()
        (run,) = [step for step in stage["steps"] if step["name"] == "Run"]
        for row in catalog.actions.secrets:
            value = run["env"][row.id]
            theirs = "github.event.pull_request.head.repo.full_name == github.repository"
            guard = f"(github.event.pull_request == null || {theirs})"
            assert value == f"${{{{ {guard} && secrets.{row.id} || '' }}}}"
        assert "pull_request" not in parsed["amd-images"]["on"]

    def test_a_push_ends_the_run_before_it_and_a_full_run_ends_nothing(
        self, parsed: Mapping[str, Any]
    ) -> None:
        for name, workflow in parsed.items():
            if name == "amd-stage":  # part of its caller's run
                assert "concurrency" not in workflow
                continue
            rule = workflow["concurrency"]
            ends = rule["cancel-in-progress"]
            one_at_a_time = name in ("amd-images", "docs")
            assert ends == (False if one_at_a_time else "${{ github.event_name == 'pull_request' }}")
            assert ("github.run_id" in rule["group"]) != one_at_a_time


class TestWaves:
    def test_there_are_as_many_as_the_longest_chain_of_stages(
        self, parsed: Mapping[str, Any], catalog: Catalog
    ) -> None:
        assert stage_waves(catalog, catalog.actions.workflows[0]) == {
            "stage-a-amd": 1, "stage-b-amd": 2, "stage-c-amd": 3,
        }  # fmt: skip
        assert list(parsed["amd-pr"]["jobs"]) == ["plan", "wave-1", "wave-2", "wave-3", "report", "finish"]
        assert list(parsed["amd-nightly"]["jobs"]) == ["plan", "wave-1", "report", "finish"]

    def test_a_stage_more_is_a_wave_more(self, catalog: Catalog) -> None:
        last = catalog.stages[2]
        more = replace(last, id="stage-d-amd", session="stage_d_amd", after=(last.id,))
        suite = next(suite for suite in catalog.suites if suite.stage == last.id)
        wider = replace(
            catalog,
            stages=(*catalog.stages, more),
            suites=(*catalog.suites, replace(suite, stage=more.id, name="stage-d-test-amd")),
        )
        files = render(wider)
        assert "needs: [plan, wave-1, wave-2, wave-3, wave-4]" in files[f"{WORKFLOWS}/amd-pr.yml"]
        assert "wave-2" not in files[f"{WORKFLOWS}/amd-nightly.yml"]

    def test_stages_in_a_circle_still_render(self, catalog: Catalog) -> None:
        """`check` names the circle; rendering has to come to an end."""
        stages = tuple(replace(stage, after=("stage-c-amd",)) for stage in catalog.stages)
        assert set(stage_waves(replace(catalog, stages=stages), catalog.actions.workflows[0])) == {
            "stage-a-amd", "stage-b-amd", "stage-c-amd",
        }  # fmt: skip

    def test_a_wave_starts_when_all_before_it_are_through(self, parsed: Mapping[str, Any]) -> None:
        """The rendered condition, taken through every result that GitHub knows."""
        results = ("success", "failure", "cancelled", "skipped")
        for number in (1, 2, 3):
            condition = parsed["amd-pr"]["jobs"][f"wave-{number}"]["if"]
            for plan, *earlier in itertools.product(results, repeat=number):
                for jobs in itertools.product((0, 7), repeat=number):
                    needs = {"plan": (plan, dict(enumerate(jobs, start=1)))}
                    needs |= {f"wave-{wave}": (result, {}) for wave, result in enumerate(earlier, start=1)}
                    before = zip(earlier, jobs, strict=False)
                    starts = (
                        plan == "success"
                        and jobs[-1] > 0
                        and all(result == "success" or not count for result, count in before)
                    )
                    assert holds(condition, needs) == starts, (number, needs)
            assert "!cancelled()" in condition

    def test_finish_judges_every_job_of_its_workflow(self, parsed: Mapping[str, Any]) -> None:
        for name in ("amd-pr", "amd-nightly"):
            jobs = parsed[name]["jobs"]
            assert jobs["finish"]["needs"] == [job for job in jobs if job not in ("finish", "report")]
            assert jobs["finish"]["if"] == "always()"

    def test_the_report_is_made_of_all_jobs_however_they_ended(self, parsed: Mapping[str, Any]) -> None:
        for name, waves in (("amd-pr", (1, 2, 3)), ("amd-nightly", (1,))):
            job = parsed[name]["jobs"]["report"]
            assert job["needs"] == ["plan", *(f"wave-{wave}" for wave in waves)]
            for plan, counts in itertools.product(
                ("success", "failure"), itertools.product((0, 7), repeat=len(waves))
            ):
                needs = {"plan": (plan, dict(enumerate(counts, start=1)))}
                assert holds(job["if"], needs) == (plan == "success" and any(counts))
            assert "always()" in job["if"]
            steps = {step["name"]: step for step in job["steps"]}
            assert steps["Merge"]["env"]["NEEDS"] == "${{ toJSON(needs) }}"
            (kept,) = [
                step["with"]["name"]
                for step in parsed["amd-stage"]["jobs"]["test"]["steps"]
                if "upload-artifact" in step.get("uses", "")
            ]
            assert kept.startswith("${{ matrix.session }}-"), (
                "the pattern finds the artifacts by their session"
            )
            assert steps["Get the run folders"]["with"]["pattern"] == "*_amd-*"

    def test_every_session_that_keeps_a_run_folder_is_found_by_the_pattern(self, catalog: Catalog) -> None:
        assert all(stage.session.endswith("_amd") for stage in catalog.stages)


def holds(condition: str, needs: Mapping[str, tuple[str, Mapping[int, int]]]) -> bool:
    """A rendered condition in Python's words, for a run that nobody cancelled."""
    words = re.sub(r"needs\.([\w-]+)\.result", lambda found: repr(needs[found[1]][0]), condition)
    words = re.sub(
        r"needs\.([\w-]+)\.outputs\.wave_(\d)_jobs",
        lambda found: repr(str(needs[found[1]][1][int(found[2])])),
        words,
    )
    words = (
        words.replace("!cancelled()", "True")
        .replace("always()", "True")
        .replace("&&", " and ")
        .replace("||", " or ")
    )
    return bool(eval(" ".join(words.split()), {}))  # noqa: S307 - our own text


class TestInputs:
    def test_each_reaches_the_planner_as_a_variable(
        self, parsed: Mapping[str, Any], catalog: Catalog
    ) -> None:
        for name in ("amd-pr", "amd-nightly"):
            (step,) = [step for step in parsed[name]["jobs"]["plan"]["steps"] if step.get("id") == "plan"]
            given = {key: value for key, value in step["env"].items() if key.startswith("INPUT_")}
            assert given == {row.variable: f"${{{{ inputs.{row.id} }}}}" for row in catalog.actions.inputs}

    def test_a_person_and_a_calling_workflow_may_give_what_the_rows_say(
        self, parsed: Mapping[str, Any], catalog: Catalog
    ) -> None:
        for name in ("amd-pr", "amd-nightly"):
            events = parsed[name]["on"]
            rows = catalog.actions.inputs
            assert list(events["workflow_dispatch"]["inputs"]) == [row.id for row in rows if row.dispatch]
            assert list(events["workflow_call"]["inputs"]) == [row.id for row in rows if row.calls]
            assert {row["type"] for row in events["workflow_call"]["inputs"].values()} == {
                "string",
                "boolean",
            }

    def test_dropdowns_offer_what_the_workflow_has(self, parsed: Mapping[str, Any], catalog: Catalog) -> None:
        inputs = parsed["amd-pr"]["on"]["workflow_dispatch"]["inputs"]
        assert inputs["runner_arch"]["options"] == ["", "north", "south"]
        stages = inputs["target_stage_select"]["options"]
        assert stages[:4] == ["", "stage-a-amd", "stage-b-amd", "stage-c-amd"]
        assert stages[4:] == [suite.name for suite in catalog.suites if not suite.nightly]
        nightly = parsed["amd-nightly"]["on"]["workflow_dispatch"]["inputs"]["target_stage_select"]["options"]
        assert nightly[2:] == [suite.name for suite in catalog.suites if suite.nightly]


def test_labels_and_ignores_of_the_linters_come_from_rows(catalog: Catalog) -> None:
    files = render(catalog)
    loader = YAML(typ="safe", pure=True)
    labels = loader.load(files[ACTIONLINT])["self-hosted-runner"]["labels"]
    assert set(labels) == {row.label for row in catalog.labels} | {"large-builder"}
    ignored = loader.load(files[ZIZMOR])["rules"]
    assert {rule: tuple(value["ignore"]) for rule, value in ignored.items()} == {
        row.rule: row.files for row in catalog.actions.ignores
    }
    assert all(f"# {row.why}" in files[ZIZMOR] for row in catalog.actions.ignores)


class TestFiles:
    """The rendered files in a checkout."""

    def test_only_what_differs_is_written(
        self, tmp_path: Path, catalog: Catalog, rendered: Mapping[str, str]
    ) -> None:
        assert sorted(write(catalog, tmp_path)) == sorted(rendered)
        assert {path: (tmp_path / path).read_text() for path in rendered} == dict(rendered)
        assert write(catalog, tmp_path) == ()
        first, *_ = rendered
        (tmp_path / first).write_text("edited\n")
        assert write(catalog, tmp_path) == (first,)

    def test_what_is_edited_missing_or_without_a_row_is_stale(
        self, tmp_path: Path, catalog: Catalog, rendered: Mapping[str, str]
    ) -> None:
        write(catalog, tmp_path)
        assert find_stale(catalog, tmp_path) == ()
        edited, missing, unreadable, *_ = rendered
        (tmp_path / edited).write_bytes((tmp_path / edited).read_bytes() + b"# \xff\n")
        (tmp_path / missing).unlink()
        (tmp_path / unreadable).unlink()
        (tmp_path / unreadable).mkdir()
        (tmp_path / WORKFLOWS / "by-hand.yaml").write_text("on: push\n")
        found = {file.path: file for file in find_stale(catalog, tmp_path)}
        assert set(found) == {edited, missing, unreadable, f"{WORKFLOWS}/by-hand.yaml"}
        assert "-# \\xff" in found[edited].diff
        assert found[missing].what == "is missing"
        assert found[unreadable].what.startswith("cannot be read: ")
        assert "remove it" in found[f"{WORKFLOWS}/by-hand.yaml"].what
