"""The docker executor's faults: what ends, how causes are distinguished, and that nothing of a run is left."""

import contextlib
import fcntl
import gc
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ci.docker.client import connect
from ci.docker.container import Container, StoppedError, create
from ci.docker.labels import RUN, labels_of
from ci.errors import CiError, InfrastructureError
from ci.execute.container_setup import checked
from ci.plan.container.needs import CHECKOUT_DIR
from support.docker_runs import HANGING, PASSING, SLOW_STEP, Runs, make_repository, ours, tiny_image, volumes
from support.engines import Engine, PrivateEngine, Registry, make_tiny_image
from support.files import processes_of, send, token_of, wait_for

PAUSED_S = 0.3
SLEEPER = ["/usr/bin/python3", "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("docker-faults") / "repository")


@pytest.fixture(scope="module")
def slow_install(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose installation has a step that takes long."""
    copy = make_repository(tmp_path_factory.mktemp("docker-slow") / "repository")
    with (copy / "ci/catalog/dependencies.toml").open("a") as file:
        file.write(SLOW_STEP)
    return copy


@pytest.fixture
def runs(repository: Path, engine: Engine, small_image: str, tmp_path: Path) -> Iterator[Runs]:
    """Runs of which none outlives its test."""
    one = Runs(repository, engine.host, small_image, tmp_path / "runs")
    yield one
    for process in one.started:
        process.kill()
        process.wait()


def made(
    engine: Engine,
    image: str,
    *,
    ttl_s: int = 60,
    stopped: Callable[[], bool] = lambda: False,
    entrypoint: list[str] | None = None,
    **host: object,
) -> Container:
    """A container as the executor makes one, with other flags."""
    client = connect(engine.host, timeout_s=10)
    name = f"amd-ci-test-{os.getpid()}-{time.monotonic_ns()}"
    arguments = {
        "image": image,
        "name": name,
        "entrypoint": entrypoint or ["/usr/bin/python3", "/amd-ci/bin/container_init.py", str(ttl_s), "held"],
        "labels": labels_of(run="test", token="none", plan="none", kept=False, key="", ttl_s=ttl_s),
        "stdin_open": True,
        "detach": False,
        "host_config": {"AutoRemove": True, "Init": True, "NetworkMode": "none", **host},
    }
    return create(client, arguments, name=name, python="/usr/bin/python3", paused_s=PAUSED_S, stopped=stopped)


@pytest.fixture
def container(engine: Engine, small_image: str) -> Iterator[Container]:
    one = made(engine, small_image)
    yield one
    one.remove()
    one.client.close()


def failing(container: Container, act: Callable[[], object], argv: list[str] = SLEEPER) -> CiError:
    """What a command in the container ends with when this is done to it while it runs."""
    up = threading.Event()
    done: list[object] = []

    def fault() -> None:
        up.wait(10)
        act()

    thread = threading.Thread(target=fault)
    thread.start()
    with pytest.raises(CiError) as raised:
        done.append(container.run(argv, timeout_s=20, on_output=lambda _data: up.set()))
    thread.join()
    assert not done
    return raised.value


class TestWhatDied:
    def test_a_killed_container(self, container: Container) -> None:
        error = failing(container, lambda: container.client.api.kill(container.id))
        assert "the container ended by signal 9" in error.cause
        assert "engine event: kill" in error.cause

    def test_a_paused_container(self, container: Container) -> None:
        error = failing(container, lambda: container.client.api.pause(container.id))
        assert "has been paused" in error.what
        assert f"docker unpause {container.name}" in error.then
        assert container.remove() == ""

    def test_a_container_without_memory(self, engine: Engine, small_image: str) -> None:
        """The main process is small: the kernel takes the command, and the container stays."""
        limit = 64 << 20
        one = made(engine, small_image, Memory=limit, MemorySwap=limit)
        try:
            with pytest.raises(InfrastructureError) as raised:
                one.run(["/usr/bin/python3", "-c", "x = bytearray(1 << 28)"], timeout_s=20)
            assert "out of memory" in raised.value.cause
            assert "OOM" in raised.value.cause
            assert one.run(["/bin/true"], timeout_s=5).code == 0
            killed = one.run(["/bin/sh", "-c", "kill -9 $$"], timeout_s=5)
            assert killed.code == 137, "an earlier OOM kill explains nothing of this"
        finally:
            one.remove()
            one.client.close()

    def test_a_disk_too_small_for_the_checkout(
        self, engine: Engine, small_image: str, repository: Path
    ) -> None:
        mount = {"Type": "bind", "Source": str(repository), "Target": CHECKOUT_DIR, "ReadOnly": True}
        one = made(engine, small_image, Mounts=[mount], Tmpfs={"/amd-ci/small": "size=64k"})
        try:
            argv = ["cp", "-R", f"{CHECKOUT_DIR}/.", "/amd-ci/small/"]
            with pytest.raises(InfrastructureError) as raised:
                checked(one.run(argv, timeout_s=20))
            assert "No space left on device" in raised.value.what
            assert "disk" in raised.value.cause
        finally:
            one.remove()
            one.client.close()

    def test_a_time_to_live(self, engine: Engine, small_image: str) -> None:
        one = made(engine, small_image, ttl_s=1)
        with pytest.raises(InfrastructureError, match="is not known") as raised:
            one.run(["sleep", "600"], timeout_s=20)
        assert "time to live" in raised.value.cause
        assert one.remove() == ""
        one.client.close()

    # the SDK leaves the socket of a refused connection to the garbage collector
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_killed_and_a_restarted_engine(self, private_engine: PrivateEngine) -> None:
        one = made(private_engine, tiny_image(private_engine), entrypoint=["/bin/cat"])
        error = failing(one, private_engine.kill, ["/bin/cat", "/etc/hostname", "-"])
        assert "the Docker engine ended" in error.cause
        assert "docker info" in error.then
        private_engine.start()
        one.remove()
        one.client.close()
        assert not ours(private_engine)
        gc.collect()

    def test_a_command_that_hangs_is_killed_with_all_that_it_started(self, container: Container) -> None:
        code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(601)'], start_new_session=True); time.sleep(601)"
        ended = container.run(["/usr/bin/python3", "-c", code], timeout_s=1)
        assert ended.code is None
        assert "no end within 1 s" in ended.why
        wait_for(
            "an empty container",
            lambda: "601" not in str(container.client.api.top(container.id)["Processes"]),
            5,
        )

    def test_a_stop_cuts_a_command(self, engine: Engine, small_image: str) -> None:
        stop = threading.Event()
        one = made(engine, small_image, stopped=stop.is_set)
        try:
            threading.Timer(0.5, stop.set).start()
            with pytest.raises(StoppedError):
                one.run(SLEEPER, timeout_s=20)
        finally:
            one.remove()
            one.client.close()


class TestARunWhoseContainerDies:
    def test_it_says_so_and_ends_with_4(self, runs: Runs, engine: Engine) -> None:
        process = runs.start("--test", HANGING)
        runs.wait_for_event("output")
        (name,) = ours(engine)
        engine.client.api.kill(name)
        assert process.wait(20) == 4
        failure = runs.failure()
        assert failure["verdict"] == "infra"
        assert "without agent-ended" in failure["what"]
        assert "ended by signal 9" in failure["cause"]
        assert not ours(engine)


def _connected(address: str) -> bool:
    """Whether anybody is connected to a port of this machine."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(line[2].endswith(port) and line[3] == "01" for line in lines)


@contextlib.contextmanager
def silent_registry() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class TestARunThatIsTold:
    """SIGINT, SIGTERM and SIGKILL in each phase: nothing is left, or the next start removes it."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_while_it_resolves(self, runs: Runs, engine: Engine, number: signal.Signals) -> None:
        with silent_registry() as address:
            process = runs.start("--image", f"{address}/amd/image:latest")
            wait_for("a request", lambda: _connected(address), 20)
            self._end(process, number)
        assert not ours(engine)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_while_it_pulls(
        self, runs: Runs, engine: Engine, registry: Callable[..., Registry], number: signal.Signals
    ) -> None:
        """The image is in a registry alone, and another process holds the lock of its pull."""
        served = registry()
        image = make_tiny_image(engine, f"sglang-amd-ci-test/pulled:{number}", os.urandom(64))
        served.push(engine, image, "amd/pulled:1")
        engine.client.api.remove_image(image, force=True)
        lock = runs.folder.parent / "cache" / "locks" / f"{image.removeprefix('sha256:')}.lock"
        lock.parent.mkdir(parents=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = runs.start("--image", f"{served.address}/amd/pulled:1")
            runs.wait_for_event("phase-started", phase="pull")
            self._end(process, number)
        assert not ours(engine)

    @pytest.mark.parametrize("phase", ["create", "install:slow", "tests"])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_in_a_phase(
        self,
        runs: Runs,
        repository: Path,
        slow_install: Path,
        engine: Engine,
        phase: str,
        number: signal.Signals,
    ) -> None:
        before = volumes(engine)
        if phase == "install:slow":
            runs = replace(runs, repository=slow_install)
        process = runs.start("--test", HANGING)
        runs.wait_for_event("phase-started", phase=phase)
        if phase == "tests":
            runs.wait_for_event("output")
            token = token_of(runs.newest())
        began = time.monotonic()
        self._end(process, number)
        assert time.monotonic() - began < 7
        if number == signal.SIGKILL:
            # the engine ends and removes what was started; what was only made waits for the next start
            wait_for("an end without us", lambda: not states(engine) - {"created"}, 5)
        if ours(engine):
            assert (number, phase) == (signal.SIGKILL, "create")
            again = replace(runs, repository=repository)
            assert again.run("--test", PASSING).code == 0
            (swept,) = (e for e in again.events() if e["type"] == "phase-ended" and e["phase"] == "sweep")
            assert swept["text"] == "1 removed"
            assert swept["duration_s"] < 1
        assert not ours(engine)
        assert volumes(engine) == before
        if phase == "tests":
            wait_for("no process of the run", lambda: not processes_of(token), 5)

    def test_a_second_press_kills_the_tests_and_leaves_nothing(self, runs: Runs, engine: Engine) -> None:
        """The first press lets a test that will not end have its seconds; the second takes them."""
        before = volumes(engine)
        process = runs.start("--test", HANGING)
        runs.wait_for_event("output")
        token, out = token_of(runs.newest()), runs.folder.parent / "out.txt"
        send(process, signal.SIGINT)
        wait_for("the acknowledgement", lambda: "press Ctrl-C again" in out.read_text(), 3)
        time.sleep(0.5)
        assert process.poll() is None, "the grace of the first press is not over"
        assert states(engine) == {"running"}
        self._end(process, signal.SIGINT)
        assert "killing the tests" in out.read_text()
        assert not ours(engine)
        assert volumes(engine) == before
        wait_for("no process of the run", lambda: not processes_of(token), 5)
        events = {event["type"]: event for event in runs.events()}
        assert events["run-ended"]["exit_code"] == 130
        assert "agent-ended" not in events, "it had no time to end by itself"

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        send(process, number)
        code = process.wait(15)
        assert code == (-9 if number == signal.SIGKILL else 130), code


def states(engine: Engine) -> set[str]:
    """The states in which containers of ours are."""
    rows = engine.client.api.containers(all=True, filters={"label": [RUN]})
    return {row["State"] for row in rows}
