"""A container's life and commands in it: deadlines, stops, pauses, files, and what is said when it is gone."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ci.docker import container as module
from ci.docker.container import Container, StoppedError, Watch, adopt, create, remove_container
from ci.errors import InfrastructureError
from support.docker_client import FakeClient, FakeExec, docker_error, frame


@dataclass
class Clock:
    """Time that passes by being slept, and a little by being looked at."""

    now: float = 0.0
    step: float = 0.001
    slept: list[float] = field(default_factory=list)

    def monotonic_s(self) -> float:
        self.now += self.step
        return self.now

    def sleep_s(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("ci.system.clock.monotonic_s", made.monotonic_s)
    monkeypatch.setattr("ci.system.clock.sleep_s", made.sleep_s)
    return made


@pytest.fixture
def client() -> Iterator[FakeClient]:
    made = FakeClient()
    yield made
    made.close()


def box(client: Any, *, stopped: bool = False) -> Container:
    return Container(
        client=client, id="c" * 64, name="amd-ci-1", python="python3", paused_s=5, stopped=lambda: stopped
    )


def tar_of(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


class TestCommands:
    def test_output_errors_and_code_come_back_and_the_caller_sees_all_of_it(self, client: FakeClient) -> None:
        sends = frame(1, b"a") + frame(2, b"x") + frame(1, b"b")
        client.execs = [FakeExec(sends=sends, code=3)]
        seen: list[bytes] = []
        ended = box(client).run(["make"], timeout_s=60, env={"A": "1"}, on_output=seen.append)
        assert (ended.code, ended.stdout, ended.stderr) == (3, b"ab", b"x")
        assert seen == [b"a", b"x", b"b"]
        assert "A=1" in client.started[0]["environment"]

    def test_one_that_does_not_end_in_time_is_killed_by_its_token(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOK_S", 0.01)
        client.execs = [FakeExec(sends=frame(1, b"begun"), hold=True), FakeExec()]
        ended = box(client).run(["sleep", "9"], timeout_s=0.05)
        assert (ended.code, ended.stdout) == (None, b"begun")
        assert "no end within 0.05 s" in ended.why
        command, killer = client.started
        assert killer["argv"][2] == "kill"
        assert f"AMD_CI_EXEC={killer['argv'][3]}" in command["environment"]

    def test_a_stop_kills_it_but_not_what_the_cleanup_runs(self, client: FakeClient) -> None:
        client.execs = [FakeExec(sends=frame(1, b"x"), hold=True)]
        with pytest.raises(StoppedError, match="stopped while make was running"):
            box(client, stopped=True).run(["make"], timeout_s=60)
        assert client.started[1]["argv"][2] == "kill"
        container = box(client, stopped=True)
        container.ending = True
        assert container.run(["chown"], timeout_s=60).code == 0

    def test_one_that_cannot_be_started_says_what_ended(self, client: FakeClient) -> None:
        client.fail["exec_create"] = docker_error("is not running", 409)
        client.state = {"Running": False, "Paused": False, "Status": "exited", "ExitCode": 137}
        with pytest.raises(InfrastructureError) as caught:
            box(client).run(["make"], timeout_s=60)
        assert "cannot start make in container amd-ci-1" in caught.value.render()
        assert "ended by signal 9" in caught.value.render()

    def test_a_signal_that_came_with_the_containers_end_is_not_the_commands(self, client: FakeClient) -> None:
        client.execs = [FakeExec(code=137)]
        client.state = {"Running": False, "Paused": False, "Status": "exited", "ExitCode": 0}
        with pytest.raises(InfrastructureError, match="the end of make in container amd-ci-1 is not known"):
            box(client).run(["make"], timeout_s=60)

    def test_a_signal_in_a_container_that_goes_on_is_the_commands(
        self, client: FakeClient, clock: Clock
    ) -> None:
        client.execs = [FakeExec(code=139)]
        assert box(client).run(["make"], timeout_s=60).code == 139
        assert clock.slept, "the engine tells of the container's end a moment later"

    def test_a_code_that_never_comes_is_said(self, client: FakeClient, clock: Clock) -> None:
        client.execs = [FakeExec(code=None)]
        with pytest.raises(InfrastructureError) as caught:
            box(client).run(["make"], timeout_s=600)
        assert "no exit code 5 s after" in caught.value.render()
        assert clock.now >= 5


class TestPauses:
    def test_a_pause_is_borne_for_a_while_and_then_an_error_that_says_what_helps(
        self, client: FakeClient, clock: Clock
    ) -> None:
        watch = Watch(box(client))
        client.state["Paused"] = True
        for _ in range(5):
            watch.look()
            clock.now += 1
        clock.now += 1
        with pytest.raises(InfrastructureError) as caught:
            watch.look()
        assert "has been paused for 5 s" in caught.value.render()
        assert "docker unpause amd-ci-1" in caught.value.render()

    def test_pauses_do_not_add_up_and_looks_are_rare(self, client: FakeClient, clock: Clock) -> None:
        watch = Watch(box(client))
        for paused in (True, True, True, False, True, True, True, False):
            client.state["Paused"] = paused
            watch.look()
            clock.now += 2
        watch.look()
        client.fail["inspect_container"] = AssertionError("asked again at once")
        watch.look()

    def test_an_engine_that_does_not_answer_is_left_to_the_stream(
        self, client: FakeClient, clock: Clock
    ) -> None:
        client.fail["inspect_container"] = docker_error("gone", 500)
        Watch(box(client)).look()
        assert clock.slept == []


class TestFiles:
    def test_files_are_put_with_their_folders(self, client: FakeClient) -> None:
        box(client).put("/a/b", {"x": b"1"})
        with tarfile.open(fileobj=io.BytesIO(client.put[0])) as archive:
            assert [(row.name, row.isdir(), oct(row.mode)) for row in archive.getmembers()] == [
                ("a", True, "0o755"),
                ("a/b", True, "0o755"),
                ("a/b/x", False, "0o644"),
            ]

    def test_a_full_disk_is_said(self, client: FakeClient) -> None:
        client.fail["put_archive"] = docker_error("no space left on device", 500)
        with pytest.raises(InfrastructureError) as caught:
            box(client).put("/a", {"x": b"1"})
        assert "no space left on device" in caught.value.render()
        assert "df -h" in caught.value.render()

    def test_a_file_is_read_and_one_that_is_not_there_is_none(self, client: FakeClient) -> None:
        client.archives["/a/x"] = tar_of("x", b"content")
        assert box(client).get("/a/x") == b"content"
        assert box(client).get("/a/y") is None

    def test_a_container_that_is_gone_is_not_a_missing_file(self, client: FakeClient) -> None:
        client.state = {"Running": False, "Paused": False, "Status": "exited", "ExitCode": 1}
        with pytest.raises(InfrastructureError, match="cannot read /a/y in container amd-ci-1"):
            box(client).get("/a/y")


class TestLife:
    def make(self, client: Any) -> Container:
        return create(
            client, {"image": "x"}, name="amd-ci-1", python="python3", paused_s=5, stopped=lambda: False
        )

    def test_it_has_our_programs_and_ends_by_its_standard_input(self, client: FakeClient) -> None:
        made = self.make(client)
        with tarfile.open(fileobj=io.BytesIO(client.put[0])) as archive:
            names = {row.name.rpartition("/")[2] for row in archive.getmembers() if row.isfile()}
        assert names == set(module.programs())
        far = client.far_end()
        far.settimeout(5)
        made.let_go()
        assert far.recv(1) == b""

    def test_a_kept_one_gets_the_programs_of_today(self, client: FakeClient) -> None:
        adopted = adopt(client, "i", name="n", python="p", paused_s=1, stopped=lambda: False)
        assert (adopted.id, len(client.put)) == ("i", 1)

    @pytest.mark.parametrize(
        ("call", "what", "removed"),
        [
            ("create_container", "cannot create container amd-ci-1: boom", 0),
            ("start", "cannot start container amd-ci-1: boom", 1),
            ("attach_socket", "cannot start container amd-ci-1: boom", 1),
            ("put_archive", "files cannot be put into", 1),
        ],
    )
    def test_nothing_is_left_of_one_that_cannot_be_started(
        self, client: FakeClient, call: str, what: str, removed: int
    ) -> None:
        client.fail[call] = docker_error("boom", 400)
        with pytest.raises(InfrastructureError) as caught:
            self.make(client)
        assert what in caught.value.render()
        assert client.removed == removed

    def test_a_removal_is_repeated_until_it_is_gone(self, client: FakeClient, clock: Clock) -> None:
        client.removals = [docker_error("removal in progress", 409), None]
        assert box(client).remove() == ""
        assert client.removed == 3
        assert len(clock.slept) == 2

    def test_what_cannot_be_removed_is_named(self, client: FakeClient, clock: Clock) -> None:
        client.removals = [docker_error("device busy", 500)] * 10_000
        assert remove_container(client, "i") == "device busy"
        assert clock.now >= module.REMOVE_S
        client.removals = [ConnectionRefusedError("refused")]
        assert remove_container(client, "i") == "the engine does not answer: refused"
