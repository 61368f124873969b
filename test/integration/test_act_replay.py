"""The rendered workflows, replayed with the real `act`: each event's jobs are the planned sessions on the planned labels."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import load_catalog
from ci.github.matrix import Job
from ci.github.parity.plans import full_runs
from support.files import REPOSITORY, git, only_tests, registered
from support.replay import Replay, clone_with_base, inline_stage

pytestmark = pytest.mark.slow

STAGE_A = "test/registered/amd/test_gsm8k_sample.py"
QUICK = "def test_quick() -> None:\n    assert True\n"
# no registry can be asked here: an image that is pinned needs none
PINNED = {"AMD_CI_IMAGE": f"rocm/sgl-dev@sha256:{'0' * 64}"}
MI300, MI325 = ([f"linux-{pool}-{gpus}gpu-sglang" for gpus in (1, 2, 4, 8)] for pool in ("mi300", "mi325"))


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    folder = tmp_path_factory.mktemp("replay")
    return Replay(root=clone_with_base(folder / "clone"), scratch=folder / "scratch", extra_env=PINNED)


@pytest.fixture(scope="module")
def inlined(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """A clone whose stage jobs are written into their caller: only so does act go on after a failed one."""
    folder = tmp_path_factory.mktemp("inlined")
    root = clone_with_base(folder / "clone")
    inline_stage(root)
    git(root, "commit", "-q", "-a", "-m", "inlined")
    return Replay(root=root, scratch=folder / "scratch", extra_env=PINNED)


@cache
def planned(workflow: str, event: str) -> tuple[Job, ...]:
    """The jobs of a full run, as this repository's catalog has them."""
    catalog = load_catalog()
    row = next(row for row in catalog.actions.workflows if row.id == workflow)
    return full_runs(catalog, row, [event])[event]


def line(job: Job | Mapping[str, Any]) -> str:
    """What the recorder has to have seen of a job."""
    row = asdict(job) if isinstance(job, Job) else job
    nox = f"nox@{load_catalog().actions.tools['nox']} -s {row['session']}"
    return f"{row['runner']}: {nox} -- --executor docker --suite {row['suite']} --shard {row['shard']} --checkout "


def pull_request(root: Path, *files: str) -> dict[str, Any]:
    """A pull request of one commit that changes these files."""
    base = git(root, "rev-parse", "main")
    git(root, "checkout", "-q", "-B", "change", "main")
    for name in files:
        with (root / name).open("a") as file:
            file.write("\n# changed\n")
    git(root, "commit", "-q", "-a", "-m", "change")
    head = {"ref": "change", "sha": git(root, "rev-parse", "HEAD"), "repo": {"full_name": "owner/name"}}
    return {
        "number": 7,
        "pull_request": {"number": 7, "base": {"ref": "main", "sha": base}, "head": head, "labels": []},
    }


def dispatch(root: Path, **inputs: str) -> dict[str, Any]:
    git(root, "checkout", "-q", "main")
    return {"inputs": inputs}


def test_a_schedule_runs_every_planned_job_once_on_its_label(replay: Replay) -> None:
    seen = replay.act("schedule", labels=MI325, payload=dispatch(replay.root))
    jobs = planned("amd-pr", "schedule")
    assert seen.code == 0, seen.log
    assert seen.runs == sorted(map(line, jobs))
    assert {job.name: "success" for job in jobs}.items() <= seen.results.items()
    assert seen.cleanups == len(jobs)
    assert not seen.unmapped


def test_the_nightly_runs_its_own_suites(replay: Replay) -> None:
    seen = replay.act(
        "schedule", workflow="amd-nightly", labels=["linux-mi35x-gpu-8"], payload=dispatch(replay.root)
    )
    assert seen.code == 0, seen.log
    assert seen.runs == sorted(map(line, planned("amd-nightly", "schedule")))
    assert {call["env"]["AMD_CI_ROCM"] for call in seen.calls} == {"", "720"}


def test_a_pull_request_runs_what_it_changed_stage_by_stage(replay: Replay) -> None:
    files = [STAGE_A, "test/registered/pp/test_pp_single_node.py", "test/registered/kernel/test_rmsnorm.py"]
    seen = replay.act("pull_request", labels=MI300, payload=pull_request(replay.root, *files))
    assert seen.code == 0, seen.log
    stages = seen.sessions
    assert stages == sorted(stages), "a stage started before the one that it waits for"
    by_line = {line(job): job for job in planned("amd-pr", "pull_request")}
    assert seen.runs, seen.log
    assert set(seen.runs) < set(by_line), "a job that no full run has, or all of them"
    assert "stage_a_amd" in stages
    assert not seen.unmapped


def test_inputs_choose_pool_suite_and_flavour(replay: Replay) -> None:
    """The label of another pool and of more GPUs is the only one with a runner."""
    request = dispatch(replay.root, runner_arch="mi325", target_stage="stage-c-test-4-gpu-amd", rocm="720")
    seen = replay.act("workflow_dispatch", labels=["linux-mi325-4gpu-sglang"], payload=request)
    assert seen.code == 0, seen.log
    (run,) = seen.runs
    assert run.startswith("linux-mi325-4gpu-sglang: ")
    assert "-s stage_c_amd -- --executor docker --suite 4-gpu --shard 1/1" in run
    assert {call["env"]["AMD_CI_ROCM"] for call in seen.calls} == {"", "720"}


def test_a_failed_job_reaches_finish_and_every_job_cleans_up(inlined: Replay) -> None:
    request = dispatch(inlined.root, target_stage="stage-c-test-large-8-gpu-amd")
    seen = inlined.act(
        "workflow_dispatch", labels=["linux-mi300-8gpu-sglang"], payload=request, codes={"--shard 2/3": 5}
    )
    assert seen.code != 0
    assert seen.results["finish"] == "failure"
    ends = [
        seen.steps[f"stage-c-test-large-8-gpu-amd (linux-mi300-8gpu-sglang, {part}/3)", "Run"]
        for part in (1, 2, 3)
    ]
    assert ends == ["success", "failure", "success"]
    assert seen.cleanups == 3
    assert "wave-1: failed" in seen.log


def test_a_failed_stage_keeps_the_next_from_starting(inlined: Replay) -> None:
    change = pull_request(inlined.root, STAGE_A, "test/registered/pp/test_pp_single_node.py")
    seen = inlined.act("pull_request", labels=MI300, payload=change, codes={"stage_a_amd": 1})
    assert seen.sessions == ["stage_a_amd"]
    assert seen.results["finish"] == "failure"
    assert "wave-1: failed" in seen.log


def test_a_job_whose_label_nothing_takes_is_not_a_success(replay: Replay) -> None:
    """act passes over it and ends with 0 by itself; the finish job does not."""
    request = dispatch(replay.root, target_stage="stage-c-test-4-gpu-amd")
    seen = replay.act("workflow_dispatch", labels=["linux-mi325-4gpu-sglang"], payload=request)
    assert seen.runs == []
    assert seen.unmapped == ("stage-c-test-4-gpu-amd (linux-mi300-4gpu-sglang)",)
    assert seen.results["finish"] == "failure"
    assert "wave-1: was skipped although 1 jobs were planned" in seen.log


def test_a_change_of_documents_runs_nothing_and_is_green(replay: Replay) -> None:
    seen = replay.act("pull_request", labels=[], payload=pull_request(replay.root, "README.md"))
    assert seen.code == 0, seen.log
    assert seen.runs == []
    assert "no test is selected" in seen.log
    assert seen.results == {"plan": "success", "finish": "success"}


def test_inputs_that_mean_nothing_end_the_run_with_all_of_them(replay: Replay) -> None:
    request = dispatch(replay.root, runner_arch="mi3oo", target_stage="stage-z", pr_head_sha="$(id)")
    seen = replay.act("workflow_dispatch", labels=MI300, payload=request)
    assert seen.results == {"plan": "failure", "finish": "failure"}
    for name in ("INPUT_RUNNER_ARCH", "INPUT_TARGET_STAGE", "INPUT_PR_HEAD_SHA"):
        assert name in seen.log
    assert "uid=" not in json.dumps(seen.log)


REAL_NOX = """#!{python} -IS
import os, shutil, sys
words = sys.argv[1:]
if "ci_plan" in words:
    arguments = words[words.index("--") + 1:]
    os.execv({python!r}, [{python!r}, "-B", "-m", "ci", "ci_plan", *arguments])
if words[0].startswith("nox@"):
    words, more = words[1:], []
    if "report" in words:
        # STAND-IN for the actions that keep and bring artifacts
        shutil.copytree(os.environ["REPLAY_KEPT"], os.environ["RUNS"])
    else:
        os.environ["AMD_CI_RUNS"] = os.environ["REPLAY_KEPT"]
        # the runner has no GPU and no Docker: the same session and suite, rehearsed on the host
        words, more = ["host" if word == "docker" else word for word in words], ["--hardware", "cpu"]
        os.environ.pop("AMD_CI_RUNNER_LABEL")
    os.execv({python!r}, [{python!r}, "-m", "nox", "--envdir", os.environ["REPLAY_ENVDIR"], *words, *more])
"""


def network() -> dict[str, str]:
    """What uv needs to reach its index, should the environment not be there yet."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("UV_", "PIP_", "SSL_")) or name.lower().endswith("_proxy")
    }
    return {"UV_CACHE_DIR": str(Path.home() / ".cache/uv"), **mine}


def test_the_real_nox_rehearses_a_suite_inside_act(tmp_path: Path) -> None:
    """What the recorder stands in for works: the step's own line, with the real Nox."""
    root = clone_with_base(tmp_path / "clone")
    only_tests(root, {"amd/test_gsm8k_sample.py": registered(QUICK)})
    replay = Replay(
        root=root,
        scratch=tmp_path / "scratch",
        shim=REAL_NOX,
        extra_env={
            **network(),
            **PINNED,
            "REPLAY_ENVDIR": str(REPOSITORY / ".nox"),
            "REPLAY_KEPT": str(tmp_path / "kept"),
        },
    )
    seen = replay.act(
        "workflow_dispatch",
        labels=MI300[:1],
        payload={"inputs": {"target_stage": "stage-a-amd"}},
        offline=False,
    )
    assert seen.code == 0, seen.log
    assert "REHEARSAL" in seen.log
    assert "1 passed" in seen.log
    assert seen.results["finish"] == "success"
    assert seen.results["report"] == "success"
    assert "stage-a-test-1-gpu-small-amd  passed  1 passed" in re.sub(r"\x1b\[[0-9;]*m", "", seen.log)
