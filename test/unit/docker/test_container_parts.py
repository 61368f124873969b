"""Parts of the docker executor that need no engine: frames, labels, the arguments of create, a death's causes."""

import os
import struct
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.verdicts import Verdict
from ci.docker.client import EngineError
from ci.docker.container_init import TIME_IS_OVER
from ci.docker.create_args import create_arguments, key_of
from ci.docker.exit_cause import find_death
from ci.docker.labels import PREFIX, labels_of, ownership_of
from ci.docker.stream import FrameError, Frames
from ci.docker.sweep import Tenant, is_left_over, list_containers
from ci.execute.docker import DockerExecutor
from ci.execute.run_folder import RunFolder
from ci.execute.spec import make_spec
from ci.record.events import ExecutorFailed
from support.containers import contained
from support.planning import catalog

PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=8)


def encoded(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(data)) + data for stream, data in pieces)


class TestFrames:
    @given(PIECES, st.lists(st.integers(0, 3000), max_size=12))
    def test_however_the_bytes_are_cut_each_stream_is_whole(
        self, pieces: list[tuple[int, bytes]], cuts: list[int]
    ) -> None:
        data, frames, got = encoded(pieces), Frames(), []
        edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for begin, end in pairwise(edges):
            got += frames.feed(data[begin:end])
        for stream in (1, 2):
            assert b"".join(d for s, d in got if s == stream) == b"".join(d for s, d in pieces if s == stream)
        assert frames.whole

    @given(PIECES, st.integers(1, 7))
    def test_an_end_inside_a_header_is_not_a_whole_stream(
        self, pieces: list[tuple[int, bytes]], cut: int
    ) -> None:
        frames = Frames()
        frames.feed(encoded(pieces) + struct.pack(">BxxxL", 1, 5)[:cut])
        assert not frames.whole

    def test_other_bytes_are_refused(self) -> None:
        with pytest.raises(FrameError):
            Frames().feed(b"HTTP/1.1 200 OK\r\n")


def labels(**changes: str) -> dict[str, str]:
    made = labels_of(run="r", token="t", plan="p", kept=False, key="k", ttl_s=60)
    return made | {PREFIX + name: value for name, value in changes.items()}


def tenant(state: str = "running", **changes: str) -> Tenant:
    ownership = ownership_of(labels(**changes))
    assert ownership is not None
    return Tenant(id="i", name="n", image="m", state=state, status="", ownership=ownership)


class TestWhoseItIs:
    def test_our_own_is_alive(self) -> None:
        assert not is_left_over(tenant())

    @pytest.mark.parametrize(
        ("changes", "left_over"),
        [
            ({"start": "1"}, True),  # the pid is another process now
            ({"boot": "before"}, True),
            ({"start": "1", "host": "elsewhere"}, False),
            ({"boot": "before", "host": "elsewhere"}, False),
            ({"start": "1", "pidns": "pid:[1]"}, False),
            ({"start": "1", "kept": "1"}, False),
        ],
    )
    def test_only_a_provable_end_counts(self, changes: dict[str, str], left_over: bool) -> None:  # noqa: FBT001  # a parameter
        assert is_left_over(tenant(**changes)) is left_over

    def test_a_kept_one_that_ended_is_left_over(self) -> None:
        assert is_left_over(tenant("exited", start="1", kept="1"))
        assert not is_left_over(tenant("exited", kept="1"))

    def test_another_users_run_is_not_judged_without_being_root(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = tenant(start="1", uid="12345")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert not is_left_over(theirs)

    @pytest.mark.parametrize("name", ["run", "token", "pid", "start", "boot", "host", "kept", "ttl"])
    def test_a_container_without_all_labels_is_ignored(self, name: str) -> None:
        whole = labels()
        del whole[PREFIX + name]
        assert ownership_of(whole) is None

    def test_listing_asks_once_and_leaves_strangers_out(self) -> None:
        asked: list[Any] = []

        class Api:
            def containers(self, **keywords: Any) -> list[dict[str, Any]]:
                asked.append(keywords)
                mine = {"Id": "1", "Names": ["/a"], "State": "running", "Labels": labels()}
                return [mine, {"Id": "2", "Names": ["/b"], "Labels": {PREFIX + "run": "x"}}]

        client = type("Client", (), {"api": Api()})()
        assert [one.name for one in list_containers(client)] == ["a"]
        assert len(asked) == 1


class TestCreateArguments:
    def made(self, *, kept: bool = False) -> dict[str, Any]:
        return create_arguments(
            contained(),
            image="sha256:1",
            name="n",
            labels=labels(),
            run_dir="/runs/a: 'é' $(x)",
            root="/root:tree",
            ttl_s=60,
            kept=kept,
        )

    def test_paths_are_values_of_their_own(self) -> None:
        mounts = self.made()["host_config"]["Mounts"]
        assert {
            "Type": "bind",
            "Source": "/runs/a: 'é' $(x)",
            "Target": "/amd-ci/run",
            "ReadOnly": False,
        } in mounts
        assert {"Type": "bind", "Source": "/root:tree", "Target": "/amd-ci/root", "ReadOnly": True} in mounts

    def test_devices_groups_and_limits_are_numbers_and_what_exists(self) -> None:
        host = self.made()["host_config"]
        assert [row["PathOnHost"] for row in host["Devices"]] == ["/dev/kfd", "/dev/dri/renderD128"]
        assert host["GroupAdd"] == ["44", "110"]
        assert host["ShmSize"] == 16 << 30
        assert host["Init"] is True
        assert {"Name": "nofile", "Soft": 32768, "Hard": 32768} in host["Ulimits"]

    def test_the_engine_ends_it_with_us_unless_it_is_kept(self) -> None:
        held, kept = self.made(), self.made(kept=True)
        assert (held["stdin_open"], held["detach"]) == (True, False)
        assert held["entrypoint"][-2:] == ["60", "held"]
        assert (kept["stdin_open"], kept["entrypoint"][-1]) == (False, "kept")
        assert held["host_config"]["AutoRemove"] is True

    def test_a_kept_container_is_taken_for_the_same_alone(self) -> None:
        plan = contained()
        key = key_of(plan, root="/root")
        assert key == key_of(replace(plan, notes=("other",)), root="/root")
        assert key != key_of(plan, root="/other")
        assert key != key_of(replace(plan, work=replace(plan.work, image="sha256:2")), root="/root")


class Engine:
    """What an engine would say of a container: a state, None when it is gone; and the events that it remembers."""

    def __init__(self, state: dict[str, Any] | None, events: list[dict[str, Any]]) -> None:
        self.api = self
        self._state = state
        self._events = events

    def inspect_container(self, _name: str) -> dict[str, Any]:
        if self._state is None:
            raise EngineError("No such container", status=404)
        return {"State": self._state}

    def events(self, **_keywords: Any) -> list[dict[str, Any]]:
        return self._events


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


class TestWhatDied:
    @pytest.mark.parametrize(
        ("state", "events", "code", "kind"),
        [
            ({"Running": True}, [], 1, None),
            ({"Running": True}, [], 137, None),
            ({"Running": True}, [event("oom")], 137, "oom"),
            ({"Running": True, "Paused": True}, [], None, "paused"),
            ({"Running": False, "OOMKilled": True, "ExitCode": 137}, [], None, "oom"),
            ({"Running": False, "ExitCode": 137}, [event("kill", signal="9")], None, "container"),
            ({"Running": False, "ExitCode": TIME_IS_OVER}, [], None, "ttl"),
            (None, [event("die", exitCode="143")], None, "container"),
            (None, [event("oom"), event("die", exitCode="137")], None, "oom"),
            (None, [], None, "engine"),
        ],
    )
    def test_by_state_and_events(
        self, state: dict[str, Any] | None, events: list[dict[str, Any]], code: int | None, kind: str | None
    ) -> None:
        death = find_death(Engine(state, events), "c", since_s=0, until_s=1, exit_code=code)
        assert (death.kind if death is not None else None) == kind
        if death is not None:
            assert death.cause
            assert death.then

    def test_an_ended_engine_is_distinguished_from_an_ended_container(self) -> None:
        class Gone(Engine):
            def inspect_container(self, _name: str) -> dict[str, Any]:
                raise EngineError("connection refused", status=None)

        death = find_death(Gone(None, []), "c", since_s=0, until_s=1, exit_code=None)
        assert death is not None
        assert death.kind == "engine"
        assert "connection refused" in death.cause


class TestAnExecutorThatHangs:
    """After a stop nobody waits longer than a constant says, whatever the engine does."""

    def test_its_end_is_reported_without_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        monkeypatch.setattr(DockerExecutor, "_work_through", lambda _self: released.wait(30))
        for name, seconds in (("_JOIN_S", 0.05), ("LOOK_S", 0.01), ("REMOVE_S", 0.05)):
            monkeypatch.setattr(f"ci.execute.docker.{name}", seconds)
        executor = DockerExecutor(
            contained(),
            RunFolder(path=tmp_path),
            catalog=catalog(),
            repository=tmp_path,
            token="t",
            environ={},
        )
        try:
            with executor:
                executor.start(make_spec(contained(), run="r", run_dir="/r", token="t", known_features=()))
                executor.stop()
                (event,) = executor.events()
        finally:
            released.set()
        assert isinstance(event, ExecutorFailed)
        assert event.verdict is Verdict.CANCELLED
        assert "did not end in time" in event.what
        assert event.then == "./inv container.prune"
