"""Jobs from selected suites, what inputs may say, what later jobs are handed, and the verdict over all of them."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.workflows import WorkflowRow
from ci.cli.ci_plan import ci_plan
from ci.cli.plan_images import PlannedImages
from ci.errors import CiError, ExitCode, InfrastructureError, Problem, UsageError
from ci.github.ci_request import Asked, base_of_event, read_ask
from ci.github.job_plan import JobPlan, check_size
from ci.github.matrix import Ask, Waves, make_waves, matrix_json, stage_waves, suites_of
from ci.github.outputs import add_summary, set_outputs
from ci.github.plan_view import plan_markdown
from ci.github.verdict import judge, read_needs
from ci.plan.container.image import ImageAsk, parse_reference
from ci.plan.container.image_fact import ImageFact
from ci.plan.jobs import ChangedFile, Changes, Choice, Reason, Selection
from ci.plan.model import TestWork
from support.http_server import serve_http
from support.planning import STAGE_A, STAGE_B_SMALL, catalog

PR, NIGHTLY = catalog().actions.of_kind("tests")
FOUR_GPU, EIGHT = "stage-c-test-4-gpu-amd", "stage-c-test-8-gpu-amd"
WHY = Reason(file="x.py", rule="house", why="test")


def work(name: str, est_s: float = 60) -> TestWork:
    return TestWork(id=name, path=name, kind="pytest", cases=(), est_s=est_s, timeout_s=60, env={})


def ask(event: str = "pull_request", **changes: Any) -> Ask:
    return Ask(
        **{"event": event, "at_once": False, "pool": "", "rocm": "", "continue_on_error": False, **changes}
    )


def waves(
    choices: Mapping[str, frozenset[str] | None],
    tests: Mapping[str, int],
    wish: Ask | None = None,
    workflow: WorkflowRow = PR,
) -> Waves:
    """Waves of these suites (None: whole) with so many tests each, named t0, t1 ... from the longest on."""
    return make_waves(
        catalog(),
        {name: Choice(suite=name, tests=only, reasons=(WHY,)) for name, only in choices.items()},
        {
            name: [work(f"t{number}", 100 - number) for number in range(count)]
            for name, count in tests.items()
        },
        stage_waves(catalog(), workflow),
        wish or ask(),
        lambda family, rocm: f"{family}-{rocm}@sha256:1",
    )


def test_stages_wait_for_each_other_on_a_pull_request_and_not_in_a_full_run() -> None:
    suites = dict.fromkeys((STAGE_A, STAGE_B_SMALL, FOUR_GPU))
    tests = {STAGE_A: 1, STAGE_B_SMALL: 2, FOUR_GPU: 1}
    assert [len(wave) for wave in waves(suites, tests).waves] == [1, 2, 1]
    assert [len(wave) for wave in waves(suites, tests, ask("schedule", at_once=True)).waves] == [4, 0, 0]


def test_a_job_holds_everything_that_its_runner_needs() -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}, ask("schedule", continue_on_error=True)).jobs
    assert asdict(job) == {
        "name": "stage-c-test-4-gpu-amd (linux-south-4gpu)",
        "session": "stage_c_amd",
        "suite": "4-gpu",
        "shard": "1/1",
        "runner": "linux-south-4gpu",
        "timeout_minutes": catalog().actions.job_limit_min(70 * 60),
        "step_timeout_minutes": catalog().actions.step_limit_min(70 * 60),
        "image": "mi30x-700@sha256:1",
        "rocm": "700",
        "hardware": "mi325x",
        "continue_on_error": "true",
        "digest": "",
    }


def test_shards_without_tests_get_no_job_and_are_named() -> None:
    made = waves({STAGE_B_SMALL: None, EIGHT: None}, {STAGE_B_SMALL: 3})
    assert [job.name for job in made.jobs] == [
        f"{STAGE_B_SMALL} (linux-north-1gpu, {number}/5)" for number in (1, 2, 3)
    ]
    told = {row.suite: row.because for row in made.not_made}
    assert told[STAGE_B_SMALL].startswith("shards 4/5, ")
    assert told[STAGE_B_SMALL].endswith("are empty: the suite has 3 tests")
    assert told[EIGHT] == "no enabled test is registered for it"


def test_a_single_test_gets_the_shard_that_holds_it() -> None:
    made = waves({STAGE_B_SMALL: frozenset({"t16"})}, {STAGE_B_SMALL: 20})
    (job,) = made.jobs
    (whole,) = [
        part for part in waves({STAGE_B_SMALL: None}, {STAGE_B_SMALL: 20}).jobs if part.shard == job.shard
    ]
    assert whole == job
    assert any("hold no test that was selected" in row.because for row in made.not_made)


@pytest.mark.parametrize(
    ("event", "pool", "label"),
    [
        ("pull_request", "", "linux-north-4gpu"),
        ("schedule", "", "linux-south-4gpu"),
        ("workflow_dispatch", "", "linux-north-4gpu"),
        ("workflow_dispatch", "south", "linux-south-4gpu"),
        ("push", "", "linux-north-4gpu"),
    ],
)
def test_event_and_pool_choose_the_label(event: str, pool: str, label: str) -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}, ask(event, pool=pool)).jobs
    assert job.runner == label
    assert job.hardware == ("mi325x" if "south" in label else "mi300x")


def test_a_pool_and_a_flavour_touch_only_what_they_can() -> None:
    name = "stage-b-test-1-gpu-west-amd"
    (job,) = waves({name: None}, {name: 1}, ask("workflow_dispatch", pool="south", rocm="724")).jobs
    assert (job.runner, job.hardware, job.rocm) == ("linux-west-1gpu", "mi355x", "724")
    flash = "nightly-amd-8-gpu-west-big-flash"
    (job,) = waves({flash: None}, {flash: 4}, workflow=NIGHTLY).jobs
    assert job.rocm == "720"


@given(
    st.dictionaries(
        st.sampled_from([suite.name for suite in suites_of(catalog(), PR)]), st.integers(0, 40), max_size=6
    ),
    st.booleans(),
)
def test_every_selected_test_is_in_exactly_one_job(tests: dict[str, int], at_once: bool) -> None:  # noqa: FBT001
    made = waves(dict.fromkeys(tests), tests, ask(at_once=at_once))
    for name, count in tests.items():
        suite = next(suite for suite in catalog().suites if suite.name == name)
        jobs = [job for job in made.jobs if job.name.startswith(f"{name} (")]
        assert len(jobs) == min(count, suite.shards)
        assert len({job.shard for job in jobs}) == len(jobs)
    assert json.loads(matrix_json(made.jobs))["include"] == [asdict(job) for job in made.jobs]
    assert "\n" not in matrix_json(made.jobs)


# --- inputs ---------------------------------------------------------------------------------------------------------------


def asked(
    event: str = "pull_request",
    inputs: Mapping[str, str] | None = None,
    *,
    stages: tuple[str, ...] = (),
    workflow: str = "",
) -> Asked:
    problems: list[Problem] = []
    environ = {f"INPUT_{name.upper()}": value for name, value in (inputs or {}).items()}
    found = read_ask(catalog(), environ, workflow=workflow, event=event, stages=stages, problems=problems)
    assert problems == []
    return found


def refused(**inputs: str) -> list[str]:
    problems: list[Problem] = []
    environ = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
    read_ask(catalog(), environ, workflow="", event="workflow_dispatch", stages=(), problems=problems)
    return [problem.where for problem in problems]


def test_a_pull_request_is_planned_by_its_changes_and_everything_else_in_full() -> None:
    assert asked().full == ""
    assert not asked().ask.at_once
    for full in (
        asked("schedule"),
        asked("workflow_dispatch"),
        asked(inputs={"run_all_tests": "true"}),
        asked(inputs={"target_stage": STAGE_A}),
    ):
        assert full.full
        assert full.ask.at_once


def test_each_workflow_has_its_suites() -> None:
    assert {suite.nightly for suite in asked().suites} == {False}
    assert {suite.nightly for suite in asked("schedule", workflow="amd-nightly").suites} == {True}


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"target_stage_select": STAGE_A}, [STAGE_A]),
        (
            {"target_stage_select": "stage-a-amd", "target_stage": f" {FOUR_GPU} , stage_a_amd,"},
            [STAGE_A, FOUR_GPU],
        ),
        ({"target_stage": EIGHT}, [EIGHT]),
    ],
)
def test_stages_are_named_by_stage_session_or_suite(inputs: dict[str, str], names: list[str]) -> None:
    assert [suite.name for suite in asked("workflow_dispatch", inputs).suites] == names


def test_the_command_line_goes_before_the_inputs() -> None:
    found = asked("schedule", stages=("stage_a_amd",), inputs={"target_stage": FOUR_GPU})
    assert [suite.name for suite in found.suites] == [STAGE_A]


@pytest.mark.parametrize(
    "inputs",
    [
        {"runner_arch": "west"},
        {"runner_arch": "nort"},
        {"rocm": "71"},
        {"run_all_tests": "yes"},
        {"continue_on_error": "1"},
        {"target_stage": "stage-z"},
        {"target_stage": "nightly-amd-8-gpu-west-big-flash"},
        {"target_stage_select": "1-gpu-small"},
        {"pr_head_sha": "$(id)"},
        {"pr_head_sha": "--upload-pack=x"},
        {"ref": "a..b"},
        {"aiter_ref": "x; rm -rf /"},
    ],
)
def test_invalid_inputs_are_refused_by_name(inputs: dict[str, str]) -> None:
    ((name, _),) = inputs.items()
    assert refused(**inputs) == [f"INPUT_{name.upper()}"]


def test_all_bad_inputs_are_named_at_once() -> None:
    assert len(refused(runner_arch="x", rocm="x", run_all_tests="x", target_stage="x", pr_head_sha="$x")) == 5


@pytest.mark.parametrize(
    "event", ["", "[]", '{"pull_request": {"base": {"sha": "main"}}}', '{"pull_request": null}', "{"]
)
def test_an_event_without_a_base_has_none(event: str) -> None:
    assert base_of_event(event) == ""


def test_the_base_of_an_event() -> None:
    assert base_of_event(json.dumps({"pull_request": {"base": {"sha": "a" * 40}}})) == "a" * 40


# --- what later jobs get --------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from(["wave_1", "x"]), st.text(st.characters(blacklist_categories=["Cs"])), max_size=2
    )
)
def test_outputs_survive_any_text(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "outputs-of-a-test"
    path.unlink(missing_ok=True)
    set_outputs({"GITHUB_OUTPUT": str(path)}, values)
    text = path.read_bytes().decode() if path.exists() else ""
    path.unlink(missing_ok=True)
    found = {}
    while text:
        name, mark, rest = re.fullmatch(r"(\w+)<<(end-[0-9a-f]{32})\n(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        found[name], _, text = rest.partition(f"\n{mark}\n")
    assert found == values


def test_outside_actions_nothing_is_written_and_a_lost_file_is_an_error(tmp_path: Path) -> None:
    set_outputs({}, {"a": "b"})
    add_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}, "one\n")
    add_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}, "two\n")
    assert (tmp_path / "s.md").read_text() == "one\ntwo\n"
    with pytest.raises(InfrastructureError, match="GITHUB_OUTPUT"):
        set_outputs({"GITHUB_OUTPUT": str(tmp_path / "gone/out")}, {"a": "b"})


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


# --- verdict --------------------------------------------------------------------------------------------------------------


def needs(*results: str, counts: tuple[Any, ...] = (1, 2, 1), plan: str = "success") -> dict[str, Any]:
    outputs = {f"wave_{number}_jobs": str(count) for number, count in enumerate(counts, start=1)}
    jobs = {f"wave-{number}": {"result": result} for number, result in enumerate(results, start=1)}
    return {"plan": {"result": plan, "outputs": outputs}, **jobs}


OK = "success"


@pytest.mark.parametrize(
    ("jobs", "code", "words"),
    [
        (needs(OK, OK, OK), 0, ""),
        (needs("skipped", "skipped", "skipped", counts=(0, 0, 0)), 0, ""),
        (needs(OK, "skipped", "skipped", counts=(16, 0, 0)), 0, ""),
        (needs(OK, "failure", "skipped"), 1, "wave-2: failed"),
        (needs(OK, "cancelled", "skipped"), 130, "wave-2: was cancelled"),
        (needs(OK, "skipped", OK), 4, "wave-2: was skipped although 2 jobs were planned"),
        (needs(OK, "", OK), 4, "wave-2: was skipped although 2 jobs"),
        (needs(OK, OK, OK, counts=(1, 0, 1)), 4, "ended as 'success' although no job was planned"),
        (needs(OK, OK, OK, counts=(1, "", 1)), 4, "does not say how many"),
        (needs(OK, OK), 4, "wave-3: is not among the jobs"),
        (needs("skipped", "skipped", "skipped", counts=(), plan="failure"), 1, "plan: failed"),
        (needs(OK, OK, OK, plan="skipped"), 4, "plan: ended as 'skipped'"),
        ({"wave-1": {"result": OK}}, 4, "plan: is not among the jobs"),
        ({**needs(OK, OK, OK), "extra": {"result": "skipped"}}, 4, "extra: ended as 'skipped'"),
    ],
)
def test_the_verdict(jobs: dict[str, Any], code: int, words: str) -> None:
    found, problems, told = judge(jobs)
    assert found == code
    assert words in "\n".join(map(str, problems))
    assert bool(problems) is bool(code)
    assert len(told) == len(jobs)


@pytest.mark.parametrize("text", ["", " ", "{", "[]", '{"a": 1}'])
def test_needs_that_can_t_be_read_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="NEEDS"):
        read_needs(text)


@given(
    st.lists(st.sampled_from([OK, "failure", "cancelled", "skipped", ""]), min_size=3, max_size=3),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_green_means_that_everything_planned_has_passed(results: list[str], counts: list[int]) -> None:
    code, _, _ = judge(needs(*results, counts=tuple(counts)))
    wanted = all(
        result == OK if count else result in ("skipped", "")
        for result, count in zip(results, counts, strict=True)
    )
    assert (code == 0) is wanted


def test_a_matrix_that_is_too_large_is_refused() -> None:
    (job,) = waves({FOUR_GPU: None}, {FOUR_GPU: 1}).jobs
    check_size(Waves(waves=((job,) * 256,), not_made=()))
    with pytest.raises(CiError, match="may have 256") as caught:
        check_size(Waves(waves=((job,) * 257,), not_made=()))
    assert caught.value.exit_code is ExitCode.USAGE


# --- images ---------------------------------------------------------------------------------------------------------------


class Registry:
    """Answers for one newest tag of each family, which is another one each time that it is asked."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[ImageAsk] = []
        self.changes = changes

    def __call__(self, ask: ImageAsk) -> ImageFact:
        self.asked.append(ask)
        fact = ImageFact(
            reference=f"org/engine:v0.5.12-{ask.flavour}-{ask.family}-2026052{len(self.asked)}",
            manifest_digest=f"sha256:{len(self.asked):064x}",
            config_digest=f"sha256:{len(self.asked) + 10:064x}",
            flavour=ask.flavour,
            labels={},
            env={},
            size_bytes=1,
            age_days=2,
            stale_after_days=3,
            candidates=(),
            source="newest",
        )
        return replace(fact, **self.changes)  # type: ignore[arg-type]  # the keywords are ImageFact's own


def images(registry: Registry, *, look: bool = True, **environ: str) -> PlannedImages:
    return PlannedImages(
        catalog=catalog(), environ=environ, today=date(2026, 5, 29), look=look, resolve=registry
    )


def test_all_shards_of_a_run_get_one_image_although_the_registry_moves_on() -> None:
    registry = Registry()
    found = images(registry)
    got = {found.of("mi30x", "700") for _ in range(5)}
    assert got == {f"org/engine:v0.5.12-rocm700-mi30x-20260521@sha256:{1:064x}"}
    assert found.of("mi35x", "720") not in got
    assert [(ask.family, ask.flavour) for ask in registry.asked] == [
        ("mi30x", "rocm700"),
        ("mi35x", "rocm720"),
    ]
    found.require()
    assert "2 days old" in found.notes[0]


def test_what_is_handed_out_means_the_same_image_to_a_job() -> None:
    reference = parse_reference(images(Registry()).of("mi30x", "700"))
    assert (reference.tag, reference.digest) == ("v0.5.12-rocm700-mi30x-20260521", f"sha256:{1:064x}")


def test_jobs_without_an_image_are_refused_with_every_family() -> None:
    found = images(Registry(config_digest="", problem="registry.invalid: no answer"))
    assert {found.of("mi30x", "700"), found.of("mi35x", "720")} == {""}
    with pytest.raises(InfrastructureError) as caught:
        found.require()
    text = caught.value.render()
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    for words in ("mi30x, rocm700", "mi35x, rocm720", "no answer", "./inv image.resolve --family mi30x"):
        assert words in text


def test_a_person_who_asks_why_waits_for_no_registry_and_gets_a_note() -> None:
    registry = Registry()
    found = images(registry, look=False)
    assert found.of("mi30x", "700") == ""
    assert registry.asked == []
    assert "--images" in found.notes[0]
    found.require()


def test_an_image_that_is_pinned_already_is_handed_out_as_it_is() -> None:
    registry = Registry()
    pinned = f"org/engine@sha256:{'a' * 64}"
    found = images(registry, AMD_CI_IMAGE=pinned)
    assert (found.of("mi30x", "700"), registry.asked) == (pinned, [])
    tag = images(registry, AMD_CI_IMAGE="org/engine:v1")
    assert "@sha256:" in tag.of("mi30x", "700")
    assert registry.asked[0].override == "org/engine:v1"


def test_a_stale_image_is_the_first_thing_reported() -> None:
    found = images(Registry(age_days=9))
    found.of("mi30x", "700")
    assert found.notes[0].startswith("STALE IMAGE: ")
    assert "9 days old" in found.notes[1]


class Hub:
    """A registry on the loopback address with one tag, which is another image each time that its manifest is asked for."""

    TAG = "v0.5.12-rocm700-mi30x-20260528"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[str] = []

    def __call__(self, path: str, _headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/v2/org/engine/tags/list"):
            return 200, {}, json.dumps({"tags": [self.TAG, "v0.5.12-rocm700-mi30x-20260501"]}).encode()
        if path == f"/v2/org/engine/manifests/{self.TAG}":
            config = self._put({"config": {}, "rootfs": {"diff_ids": [str(len(self.manifests))]}})
            digest = self._put({"schemaVersion": 2, "config": {"digest": config}, "layers": []})
            self.manifests.append(digest)
            return 200, {}, self.blobs[digest]
        body = self.blobs.get(path.rpartition("/")[2])
        return (200, {}, body) if body is not None else (404, {}, b"{}")

    def _put(self, content: object) -> str:
        body = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.blobs[digest] = body
        return digest


@pytest.mark.processes
def test_in_actions_every_job_of_every_wave_gets_the_image_that_was_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub()
    with serve_http() as server:
        server.answer = hub
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "schedule",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "AMD_CI_REGISTRY": server.url.removeprefix("http://"),
            "AMD_CI_TODAY": "2026-05-29",
        }.items():
            monkeypatch.setenv(name, value)
        assert ci_plan(["--json"]) == 0
    (digest,) = hub.manifests
    found = json.loads(capsys.readouterr().out)
    (image,) = {job["image"] for wave in found["waves"] for job in wave}
    assert image.endswith(f"/org/engine:{Hub.TAG}@{digest}")
    assert (tmp_path / "output").read_text().count(image) == len(
        [job for wave in found["waves"] for job in wave]
    )
    assert [(row["family"], row["rocm"], row["age_days"]) for row in found["images"]] == [("mi30x", "700", 1)]
