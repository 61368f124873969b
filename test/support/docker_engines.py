"""Docker engines of our own for tests: started in a moment, stopped with everything that they made."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from ci.system.process_identity import Owner, owner_of_self
from support.files import wait_for

__all__ = ["Engine", "PrivateEngine", "need", "sweep_engines"]


class Engine:
    """A Docker engine that answers, and a client of it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._client: Any = None

    @property
    def client(self) -> Any:
        """A docker.DockerClient, made on first use."""
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.host, version="auto", timeout=60)
        return self._client

    def disconnect(self) -> None:
        """Forget the client: one that lost its engine keeps dead connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def has(self, reference: str) -> bool:
        """Whether the local store has an image."""
        try:
            self.client.api.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return False
        return True

    def cli(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """The `docker` command line on this engine."""
        argv = ["docker", "-H", self.host, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)

    def containers(self, label: str) -> list[str]:
        """Names of all containers with a label, whatever their state."""
        rows = self.client.api.containers(all=True, filters={"label": label})
        return [name.lstrip("/") for row in rows for name in row["Names"]]


class PrivateEngine(Engine):
    """A dockerd of our own in a folder of its own, with a bridge of its own; `close` leaves nothing behind.

    A bridge of its own because a second dockerd would share `docker0` with this machine's, and one that is started
    without a bridge removes `docker0`. A containerd namespace of its own because dockerd uses the machine's containerd
    when there is one.
    """

    def __init__(self, data: Path | None = None) -> None:
        """`data` is a store that outlives the engine; without one the store is thrown away."""
        # a socket's path may have 107 bytes, which pytest's temporary folders use up
        self.name = f"amdci-{secrets.token_hex(4)}"
        self.folder = Path("/tmp") / self.name
        self.folder.mkdir(mode=0o700)
        owner = owner_of_self()
        (self.folder / "owner").write_text(f"{owner.pid} {owner.start_ticks} {owner.boot_id}")
        super().__init__(f"unix://{self.folder}/s.sock")
        self.data = data or self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._bridge = self.name

    def start(self) -> None:
        """Start it; after a SIGKILL the first try can fail on what is left of the old one, so there is a second."""
        need("dockerd", "containerd", "runc", "ip", "setpriv")
        if not Path(f"/sys/class/net/{self._bridge}").exists():
            self._command("ip", "link", "add", self._bridge, "type", "bridge")
        for last in (False, True):
            # after a crash: a new dockerd believes both pid files, also when a zombie bears the number
            kill_processes(self.folder, "containerd.toml")
            for name in ("pid", "exec/containerd/containerd.pid"):
                (self.folder / name).unlink(missing_ok=True)
            self._launch()
            try:
                wait_for("an answer of dockerd", self._answers, 30)
            except AssertionError as error:
                self._end_processes()
                unmount(self.data)
                if self.data.parent != self.folder:
                    shutil.rmtree(self.data, ignore_errors=True)  # a store that a crash has spoilt
                if last:
                    pytest.fail(f"no private Docker engine can be started here: {error}\n{self.log_tail()}")
            else:
                return

    def _launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # a killed pytest takes the engine with it
                    *("setpriv", "--pdeathsig", "TERM", "dockerd"),
                    *("--data-root", str(self.data), "--exec-root", f"{self.folder}/exec"),
                    *("--pidfile", f"{self.folder}/pid", "-H", self.host, "--bridge", self._bridge),
                    *("--iptables=false", "--ip-masq=false", "--shutdown-timeout", "2"),
                    *(
                        "--containerd-namespace",
                        self.name,
                        "--containerd-plugins-namespace",
                        f"{self.name}-p",
                    ),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"dockerd ended with {self._process.returncode}")
        # by hand: the SDK leaves a socket open when it cannot connect
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(10)
            probe.connect(self.host.removeprefix("unix://"))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(64)
        return False

    def stop(self) -> None:
        """SIGTERM: it ends its containers, its containerd and itself."""
        self._signal(signal.SIGTERM)
        self._end_processes()

    def kill(self) -> None:
        """SIGKILL to dockerd alone, as a crash would: its containers live on."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        self.disconnect()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=15)

    def _end_processes(self) -> None:
        """Kill what has our folder on its command line: dockerd, containerd and the shims of containers."""
        kill_processes(self.folder)
        if self._process is not None:
            self._process.wait(timeout=10)

    def processes(self) -> list[int]:
        """Processes of this engine: dockerd, containerd, shims."""
        return processes_of_folder(self.folder)

    def close(self) -> None:
        """Stop it and remove all that it made."""
        self.stop()
        clear_away(self.folder, self.data)

    def tidy(self, wanted: set[str]) -> None:
        """Leave the store with these images, those of stand-ins, and no container."""
        for row in self.client.api.containers(all=True):
            self.client.api.remove_container(row["Id"], force=True, v=True)
        for row in self.client.api.images():
            for name in row["RepoTags"] or [row["Id"]]:
                if not name.startswith("sglang-amd-ci-test/standin") and name not in wanted:
                    with contextlib.suppress(docker.errors.APIError):
                        self.client.api.remove_image(name)

    def log_tail(self) -> str:
        """The last lines of dockerd's log."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-15:])
        return ""

    def _command(self, *argv: str) -> None:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(
                f"no private Docker engine can be started here: {' '.join(argv)}: {done.stderr.strip()}"
            )


def processes_of_folder(folder: Path, word: str = "") -> list[int]:
    """Processes whose command line names an engine's folder, and a word."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if f"{folder}/".encode() in line and word.encode() in line:
                found.append(int(entry.name))
    return found


def kill_processes(folder: Path, word: str = "") -> None:
    """Kill them until none is left."""
    deadline = time.monotonic() + 10
    while (pids := processes_of_folder(folder, word)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def unmount(*folders: Path) -> None:
    """Unmount everything below."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(
        [each for each in mounts if each.startswith(tuple(f"{folder}/" for folder in folders))]
    ):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def clear_away(folder: Path, *more: Path) -> None:
    """End what is left of an engine, and remove its bridge and its folder."""
    kill_processes(folder)
    unmount(folder, *more)
    subprocess.run(["ip", "link", "delete", folder.name], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def sweep_engines() -> None:
    """Clear away the engines of sessions that were killed."""
    for folder in Path("/tmp").glob("amdci-*/"):
        with contextlib.suppress(OSError, ValueError):
            pid, ticks, boot_id = (folder / "owner").read_text().split()
            if not Owner(pid=int(pid), start_ticks=int(ticks), boot_id=boot_id).alive:
                clear_away(folder)


def need(*commands: str) -> None:
    """Fail the test when a command is missing, with its name."""
    missing = [name for name in commands if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        reason = f"{', '.join(missing)} not found" if missing else "this is not root"
        pytest.fail(f"{reason}: these tests need root and Debian's packages, `.ci/run` installs them")
