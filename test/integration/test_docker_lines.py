"""What is shown about a run in a container: the docker line, the plan that comes back, and no secret."""

import json
import signal
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import load_catalog
from ci.docker.create_args import create_arguments
from ci.execute.run_folder import read_plan
from ci.plan.compare.replay import only_tests
from ci.plan.model import Plan
from ci.repro.docker_line import docker_argv
from ci.repro.understand import from_log
from support.docker_runs import HANGING, PASSING, Runs, make_repository, ours
from support.engines import Engine
from support.files import Ended

CANARY = f"canary-{uuid.uuid4().hex}"
# one that reaches the tests, and others that stay outside
SECRETS = {
    "HF_TOKEN": f"{CANARY}-0",
    "DOCKERHUB_AMD_TOKEN": f"{CANARY}-1",
    "GITHUB_TOKEN": f"{CANARY}-2",
    "DOCKERHUB_AMD_USERNAME": "somebody",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("lines") / "repository")


@pytest.fixture(scope="module")
def stopped(
    repository: Path, engine: Engine, small_image: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runs, list[str]]:
    """A run with secrets in its environment that was stopped in its test, and what the engine said while it ran."""
    runs = Runs(repository, engine.host, small_image, tmp_path_factory.mktemp("stopped") / "runs")
    since = engine.client.info()["SystemTime"]
    process = runs.start("--test", HANGING, "--test", PASSING, env=SECRETS)
    try:
        runs.wait_for_event("output")
        (container,) = ours(engine)
        seen = [json.dumps(engine.client.api.inspect_container(container))]
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
    until = engine.client.info()["SystemTime"]
    seen += [
        str(event) for event in engine.client.api.events(since=_seconds(since), until=_seconds(until) + 1)
    ]
    return runs, seen


def _seconds(text: str) -> int:
    """The engine's clock, as its list of events takes it."""
    return int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())


def log_of(runs: Runs) -> str:
    return (runs.folder.parent / "out.txt").read_text()


def repro(runs: Runs, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "tasks.py", "repro", *arguments],
        cwd=runs.repository, env=runs.env(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def test_no_secret_is_seen_by_who_looks_at_the_engine_or_reads_what_was_written(
    stopped: tuple[Runs, list[str]],
) -> None:
    runs, seen = stopped
    assert any("exec_create" in text for text in seen), "the engine's events were not seen"
    assert (runs.newest() / "plan.json").read_text().count('"HF_TOKEN"') == 1, "it did not reach the tests"
    for text in [*seen, log_of(runs)]:
        assert CANARY not in text
    for file in runs.newest().rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file


def test_the_plan_comes_back_from_folder_and_log_with_its_container(stopped: tuple[Runs, list[str]]) -> None:
    runs, _ = stopped
    plan = read_plan(runs.newest())
    found = from_log(log_of(runs), load_catalog(), where="log").plan
    assert found is not None
    assert found.digest == plan.digest
    assert found.placement.python == plan.placement.python
    done = repro(runs, str(runs.newest()), "--json")
    assert done.code == 0, done.text
    assert "the local store has it" in done.err
    report = json.loads(done.out)
    assert report["digest"] == plan.digest
    asked = report["lines"]["the original command"]
    assert f"--executor docker --image {runs.image}" in asked
    assert "--env HF_TOKEN " in report["lines"]["docker"]
    assert report["lines"]["docker"].endswith(plan.work.image or "?")
    assert report["lines"]["inside, 2"].endswith(f"{HANGING} {PASSING}")


def test_a_log_is_enough_to_run_the_plan_in_its_container_again(
    stopped: tuple[Runs, list[str]], tmp_path: Path
) -> None:
    runs, _ = stopped
    found = from_log(log_of(runs), load_catalog(), where="log").plan
    assert found is not None
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(only_tests(load_catalog(), found, [("", PASSING)]).to_json()))
    again = replace(runs, folder=tmp_path / "again" / "runs", started=[])
    done = again.run("--plan", str(file))
    assert done.code == 0, done.text
    assert read_plan(again.newest()).work.image == found.work.image


def test_an_image_that_is_gone_is_exit_2_with_the_nearest(
    stopped: tuple[Runs, list[str]], tmp_path: Path
) -> None:
    runs, _ = stopped
    plan = read_plan(runs.newest())
    gone = replace(plan, work=replace(plan.work, image="sha256:" + "0" * 64))
    place = plan.placement.container
    assert place is not None
    name = f"{place.image.rpartition(':')[0]}:gone"
    moved = replace(place, image=name, image_pinned=name)
    gone = replace(gone, placement=replace(gone.placement, container=moved))
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(gone.to_json()))
    done = repro(runs, str(file))
    assert done.code == 2, done.text
    assert gone.digest[:12] in done.out, "what was understood is not shown"
    assert "no longer exists" in done.err
    assert f"add --image {place.image.rpartition(':')[0]}" in done.err


def test_the_line_by_hand_makes_the_container_that_the_executor_makes(
    stopped: tuple[Runs, list[str]], engine: Engine, tmp_path: Path
) -> None:
    """Made by docker from our line, and by the SDK from the executor's arguments: the engine sees no difference."""
    plan = read_plan(stopped[0].newest())
    (tmp_path / "run, with a comma").mkdir()
    folder, root = str(tmp_path / "run, with a comma"), str(stopped[0].repository)
    argv = docker_argv(plan, root=root, run_dir=folder, secrets=())
    command = ["docker", "--host", engine.host, "create", *argv[2:]]
    by_hand = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert by_hand.returncode == 0, by_hand.stderr
    made = {**arguments_of(plan, root=root, run_dir=folder)}
    host = made.pop("host_config")
    detach = made.pop("detach")
    by_sdk = engine.client.api.create_container(**made, detach=detach, host_config=host)["Id"]
    try:
        one, two = (
            comparable(engine.client.api.inspect_container(made_one))
            for made_one in (by_hand.stdout.strip(), by_sdk)
        )
        assert {key: (one.get(key), two.get(key)) for key in one | two if one.get(key) != two.get(key)} == {}
    finally:
        for container in (by_hand.stdout.strip(), by_sdk):
            engine.client.api.remove_container(container, force=True)


def arguments_of(plan: Plan, *, root: str, run_dir: str) -> dict[str, Any]:
    return create_arguments(
        plan,
        image=plan.work.image or "",
        name=f"lines-{uuid.uuid4().hex[:8]}",
        labels={},
        run_dir=run_dir,
        root=root,
        ttl_s=60,
        kept=False,
    )


def comparable(inspected: dict[str, Any]) -> dict[str, Any]:
    """What a test inside could notice; the program that holds it, its terminal and its name may differ."""
    config, host = inspected["Config"], dict(inspected["HostConfig"])
    # the client's own columns of a terminal, and defaults that the two clients spell differently
    host.pop("ConsoleSize", None)
    host["RestartPolicy"] = host["RestartPolicy"]["Name"] or "no"
    host["CapAdd"] = [name.removeprefix("CAP_") for name in host["CapAdd"]]
    empty = {key: value for key, value in host.items() if value in (None, [], {}, "", 0, False, -1)}
    kept = {key: value for key, value in host.items() if key not in empty}
    return {**kept, **{key: config[key] for key in ("User", "WorkingDir", "Env", "Image", "OpenStdin")}}
