"""Registered tests through `--executor docker` on a real engine: what runs where, what is kept, what is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ci.cli.containers import list_verb, prune_verb, stop_verb, sweep_verb
from ci.errors import UsageError
from support.docker_runs import HANGING, ODD, PASSING, STAGE, Runs, make_repository, ours, owned_by, volumes
from support.engines import Engine
from support.files import REPOSITORY, wait_for
from support.standins import build_standin_image

NOBODY = 65534
SANITY = "test/registered/amd/test_basic_sanity.py"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # a path that no shell and no `source:target` would survive
    return make_repository(tmp_path_factory.mktemp("docker") / "it's $HOME: é; `x`")


@pytest.fixture
def runs(repository: Path, engine: Engine, small_image: str, tmp_path: Path) -> Runs:
    return Runs(repository, engine.host, small_image, tmp_path / "run s: 'é'" / "runs")


@pytest.fixture
def no_engine(tmp_path: Path) -> Runs:
    """Runs of this repository where no engine answers."""
    return Runs(REPOSITORY, f"unix://{tmp_path}/no.sock", "test/none:1", tmp_path / "runs")


def state_of(tree: Path) -> list[tuple[str, int, float]]:
    """Every file of a tree but git's own, with its owner and its time."""
    files = [path for path in tree.rglob("*") if ".git" not in path.parts]
    return sorted((str(path), path.lstat().st_uid, path.lstat().st_mtime) for path in files)


class TestARun:
    def test_a_test_runs_inside_and_nothing_is_left(self, runs: Runs, engine: Engine) -> None:
        before, files = volumes(engine), state_of(runs.repository)
        done = runs.run("--test", PASSING, "--test", ODD, "--env", "ODD=$(touch /tmp/x) 'é' \\ \n end")
        assert done.code == 0, done.text
        events = runs.events()
        phases = [event["phase"] for event in events if event["type"] == "phase-ended"]
        assert phases[:4] == ["sweep", "health-before", "pull", "create"]
        assert phases[-1] == "stop"
        assert all(event["by"] == "ci" for event in events if event["type"].startswith("phase-"))
        agent = next(event for event in events if event["type"] == "agent-started")
        assert agent["host"] != os.uname().nodename
        log = runs.newest() / "logs" / "test_registered_test_passes.py.log"
        assert "in the container" in log.read_text()
        assert not ours(engine)
        assert volumes(engine) == before
        assert state_of(runs.repository) == files

    def test_a_plan_is_done_again_as_it_is(self, runs: Runs) -> None:
        planned = runs.run("--test", PASSING, "--dry-run", "--json")
        assert planned.code == 0, planned.text
        file = runs.folder.parent / "plan.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(planned.out)
        again = runs.run("--plan", str(file))
        assert again.code == 0, again.text
        assert (
            json.loads((runs.newest() / "plan.json").read_text())["digest"]
            == json.loads(planned.out)["digest"]
        )
        refused = runs.run("--plan", str(file), "--executor", "host")
        assert refused.code == 2
        assert "the tests run without a container, those of the plan run in one" in refused.err

    def test_two_at_once_do_not_meet(self, runs: Runs, engine: Engine, tmp_path: Path) -> None:
        other = Runs(runs.repository, runs.host, runs.image, tmp_path / "other" / "runs")
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda one=one: codes.append(one.run("--test", PASSING).code))
            for one in (runs, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [0, 0]
        assert not ours(engine)


class TestTheUsersFiles:
    def test_a_user_gets_logs_of_his_own(self, runs: Runs, engine: Engine) -> None:
        """The tests are root inside; the runner is not, and has to be able to remove what a run leaves."""
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            pytest.fail("this test needs root and setpriv, to be another user")
        socket = Path(engine.host.removeprefix("unix://"))
        home = Path("/tmp") / f"amd-ci-nobody-{os.getpid()}"
        mine = Runs(runs.repository, runs.host, runs.image, home / "runs")
        mode, owner = socket.stat().st_mode, socket.stat().st_gid
        opened = [path for path in socket.parents if path.stat().st_mode & 1 == 0]
        opened += [path for path in runs.repository.parents if path.stat().st_mode & 1 == 0]
        modes = {path: path.stat().st_mode for path in opened}
        home.mkdir()
        try:
            os.chown(home, NOBODY, NOBODY)
            os.chown(socket, 0, NOBODY)
            socket.chmod(0o660)
            for path in opened:
                path.chmod(modes[path] | 1)
            argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            done = subprocess.run(
                [*argv, *mine.argv("--test", PASSING)],
                cwd=runs.repository,
                env=mine.env(
                    {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
                ),
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr.decode()
            assert list((mine.newest() / "logs").iterdir())
            assert not owned_by(home, 0)
        finally:
            socket.chmod(mode)
            os.chown(socket, 0, owner)
            for path, was in modes.items():
                path.chmod(was)
            shutil.rmtree(home)


class TestKeep:
    def test_the_next_run_finds_the_container(
        self, runs: Runs, engine: Engine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environ = {"DOCKER_HOST": engine.host}
        try:
            assert runs.run("--keep", "--test", PASSING).code == 0
            (kept,) = ours(engine)
            second = runs.run("--keep", "--test", PASSING)
            assert second.code == 0, second.text
            assert ours(engine) == [kept]
            created = next(
                event
                for event in runs.events()
                if event["type"] == "phase-ended" and event["phase"] == "create"
            )
            assert f"{kept}, kept by run" in created["text"]

            # its run is over, and it was kept on purpose: only who asks for it by name or kind ends it
            list_verb(environ, as_json=True)
            (row,) = json.loads(capsys.readouterr().out)
            assert (row["name"], row["kept"], row["owner_dead"]) == (kept, True, True)
            sweep_verb(environ)
            assert ours(engine) == [kept]
            prune_verb(environ, kept=True)
            assert "1 containers were removed" in capsys.readouterr().out
            assert not ours(engine)
        finally:
            for name in ours(engine):
                engine.client.api.remove_container(name, force=True)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
    def test_what_an_ended_run_started_is_gone_from_it(
        self, runs: Runs, engine: Engine, number: signal.Signals, code: int
    ) -> None:
        try:
            process = runs.start("--keep", "--test", HANGING)
            runs.wait_for_event("output")
            process.send_signal(number)
            assert process.wait(20) == code
            (kept,) = ours(engine)

            def hanging() -> list[str]:
                return [
                    row[-1] for row in engine.client.api.top(kept)["Processes"] if "sleep(600)" in row[-1]
                ]

            wait_for("an empty container", lambda: not hanging(), 10)
            environ = {"DOCKER_HOST": engine.host}
            with pytest.raises(UsageError, match="no container of this project"):
                stop_verb(environ, "somebody-elses")
            stop_verb(environ, kept)
            assert not ours(engine)
        finally:
            for name in ours(engine):
                engine.client.api.remove_container(name, force=True)


def test_without_an_engine_a_run_says_so(no_engine: Runs) -> None:
    done = no_engine.run()
    assert done.code == 4
    assert "no.sock" in done.err
    assert "Traceback" not in done.text


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("--keep", "--executor", "host"), "has no effect with --executor host"),
        (("--from-dockerfile",), "--checkout PATH"),
        (("--image", "UPPER/case"), "is not an image reference"),
    ],
)
def test_invalid_input_is_exit_2(no_engine: Runs, arguments: tuple[str, ...], printed: str) -> None:
    done = no_engine.run(*arguments)
    assert done.code == 2
    assert printed in done.err


@pytest.mark.parametrize("host", ["ssh://ci@10.0.0.7", "tcp://10.0.0.7:2375"])
def test_an_engine_of_another_machine_is_refused_without_being_asked(no_engine: Runs, host: str) -> None:
    done = no_engine.run(env={"DOCKER_HOST": host})
    assert done.code == 2
    assert "bind mounts" in done.err


def test_another_machines_plan_needs_neither_its_gpus_nor_a_network(no_engine: Runs, tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "AMD_CI_REGISTRY": "127.0.0.1:1"}
    arguments = ("--executor", "docker", "--hardware", "mi300x", "--dry-run", "--json")
    argv = [sys.executable, "-m", "ci", "run", STAGE, *arguments]
    done = subprocess.run(
        argv,
        cwd=no_engine.repository,
        env=no_engine.env(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["placement"]["executor"] == "docker"
    assert plan["placement"]["gpu_ids"] == [str(number) for number in range(8)]
    assert plan["placement"]["container"]["devices"] == ["/dev/kfd"]
    assert plan["work"]["image"] == ""
    assert any(text.startswith("image unresolved: ") for text in plan["partial"])
    assert plan["work"]["suites"][0]["tests"]


class TestTheRehearsal:
    """llama.cpp inside, beside what stands in for torch, triton and AITER: a stage's tests as they are, in another place."""

    def test_a_suite_passes_inside_and_its_plan_is_the_hosts_but_for_the_container(
        self, engine: Engine, rehearsal_image: str, tmp_path: Path
    ) -> None:
        image = build_standin_image(engine, rehearsal_image).reference
        runs = Runs(REPOSITORY, engine.host, image, tmp_path / "runs")
        host = runs.run("--executor", "host", "--test", SANITY, "--dry-run", "--json")
        assert host.code == 0, host.text
        done = runs.run("--test", SANITY, timeout_s=120)
        assert done.code == 0, done.text
        mine = json.loads((runs.newest() / "plan.json").read_text())["work"]
        theirs = json.loads(host.out)["work"]
        # the packages of the engine are the image's, by its digest
        assert {key for key in mine if mine[key] != theirs[key]} == {"image", "container", "content"}
        assert mine["content"] == {**theirs["content"], "packages": {}}
        assert theirs["image"] is None
        assert mine["image"] == engine.client.api.inspect_image(image)["Id"]
        assert not ours(engine)
