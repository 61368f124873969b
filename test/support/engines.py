"""Real engines, registries and images for integration and fault tests, started when a test asks for one.

The fixtures are handed out by the `conftest.py` of both folders. `AMD_CI_TEST_DOCKER_HOST` names an engine to use instead
of a private one; what cannot be started fails a test with the reason and is never skipped.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from support.docker_engines import Engine, PrivateEngine, need, sweep_engines
from support.engine_images import CACHE, fixture_images, make_base_image, make_python_image, make_tiny_image
from support.files import wait_for
from support.ports import free_ports

__all__ = [
    "Engine",
    "PrivateEngine",
    "Registry",
    "base_image",
    "engine",
    "make_base_image",
    "make_python_image",
    "make_tiny_image",
    "private_engine",
    "registry",
    "rehearsal_image",
    "session_engine",
    "small_image",
]

HOST_VARIABLE = "AMD_CI_TEST_DOCKER_HOST"
# of the two engines that a session starts at once, see `support/groups.py`; a third starts with an empty one
STORES = ("store", "store-2")

USER, PASSWORD = "ci", "sesame"
# bcrypt of the line above, the only kind that docker-registry reads
HTPASSWD = "ci:$2b$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW\n"


class Registry:
    """Debian's docker-registry on a free port of the loopback address, plain http."""

    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        need("docker-registry")
        self.folder = folder
        self.user, self.password = (USER, PASSWORD) if auth else ("", "")
        self.address = ""
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> "Registry":
        """Start it, after a `stop` on the same port with the same content."""
        self._port = self._port or free_ports(1)[0]
        self.address = f"127.0.0.1:{self._port}"
        config = (
            "version: 0.1\nlog: {level: info}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )
        if self.user:
            (self.folder / "htpasswd").write_text(HTPASSWD)
            config += f"auth: {{htpasswd: {{realm: test, path: {self.folder}/htpasswd}}}}\n"
        (self.folder / "config.yml").write_text(config)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    "docker-registry",
                    "serve",
                    str(self.folder / "config.yml"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for("an answer of docker-registry", self._listens, 20)
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"docker-registry ended: {(self.folder / 'log').read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """End it; what was pushed stays in its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, engine: Engine, image: str, name: str) -> str:
        """Push a local image as `name` (repository:tag) and give the manifest's digest; our own tag is removed again."""
        target = f"{self.address}/{name}"
        repository, _, tag = target.rpartition(":")
        auth = {"username": self.user, "password": self.password} if self.user else None
        assert engine.client.api.tag(image, repository, tag)
        digest = ""
        try:
            for event in engine.client.api.push(repository, tag, stream=True, decode=True, auth_config=auth):
                assert "error" not in event, event
                digest = event.get("aux", {}).get("Digest", digest)
        finally:
            engine.client.api.remove_image(target, noprune=True)
        assert digest, f"{target} was pushed without a digest"
        return digest


@contextlib.contextmanager
def session_engine() -> Iterator[Engine]:
    """A private engine with the store of earlier sessions, or the one that AMD_CI_TEST_DOCKER_HOST names."""
    given = os.environ.get(HOST_VARIABLE, "")
    if given:
        shared = Engine(given)
        try:
            shared.client.ping()
        except docker.errors.DockerException as error:
            pytest.fail(f"{HOST_VARIABLE}={given} does not answer: {error}")
        yield shared
        shared.disconnect()
        return
    sweep_engines()
    CACHE.mkdir(parents=True, exist_ok=True)
    # images take a minute to make and a second to find; engines that run at once don't share a store
    with contextlib.ExitStack() as held:
        private = PrivateEngine(next(filter(None, (free_store(name, held) for name in STORES)), None))
        try:
            private.start()
            yield private
            private.tidy(fixture_images())
        finally:
            private.close()


def free_store(name: str, held: contextlib.ExitStack) -> Path | None:
    """The folder of a store that no other engine has, locked until `held` is closed."""
    lock = held.enter_context((CACHE / f"{name}.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return CACHE / name


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The session's engine."""
    with session_engine() as running:
        yield running


@pytest.fixture
def private_engine() -> Iterator[PrivateEngine]:
    """An engine for one test, which may kill it and start it again."""
    private = PrivateEngine()
    try:
        private.start()
        yield private
    finally:
        private.close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """Starts registries: `registry()`, `registry(auth=True)`."""
    started: list[Registry] = []

    def start(*, auth: bool = False) -> Registry:
        one = Registry(tmp_path / f"registry-{len(started)}", auth=auth)
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """Debian with Python 3.11, pip, setuptools, venv and git."""
    return make_base_image(engine)


@pytest.fixture(scope="session")
def small_image(engine: Engine, base_image: str) -> str:
    """The base with pytest: our agent can run tests in it that need no engine."""
    return make_python_image(engine, base_image, "small")


@pytest.fixture(scope="session")
def rehearsal_image(engine: Engine, base_image: str) -> str:
    """The base with pytest, llama.cpp and the small model: whole suites can be rehearsed in it."""
    return make_python_image(engine, base_image, "rehearsal")
