"""Claims of several agents in one folder: each test once, whenever one of them is killed and whatever the file system answers."""

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.agent.claims import Claims

pytestmark = pytest.mark.in_container

TESTS = 6


@contextmanager
def in_processes(*works: Callable[[], None]) -> Iterator[list[int]]:
    """Each in a process of its own, all at once; their exit codes when they have ended."""
    pids = []
    ready, go = os.pipe()
    for work in works:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.close(go)
                os.read(ready, 1)
                work()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(ready)
    codes: list[int] = []
    os.close(go)
    codes += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    yield codes


def ran(folder: Path, worker: str) -> list[tuple[str, int]]:
    """What a worker's record says: `start` and `end`, with the place."""
    path = folder / f"{worker}.events"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(kind, int(place)) for kind, _, place in (line.partition(" ") for line in lines)]


class Worker:
    """An agent as far as its claims go: it runs what it claims, and says so in its own file."""

    def __init__(self, folder: Path, name: str, *, dies_at: int = -1) -> None:
        self.folder, self.name = folder, name
        self._steps_left = dies_at

    def step(self) -> None:
        """A moment at which it may be killed."""
        if self._steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps_left -= 1

    def work(self) -> None:
        """Claim and run until nothing is left to claim."""
        for name in ("open", "link", "fstat", "close"):
            setattr(os, name, self._with_step(getattr(os, name)))
        mine = Claims(self.folder / "queue", self.name)
        seen = mine.look()
        wanted = [(place, 2) for place in sorted(seen.again)] + [(place, 1) for place in range(TESTS)]
        for place, number in wanted:
            if mine.take(place, number):
                for kind in ("start", "end"):
                    self.step()
                    with (self.folder / f"{self.name}.events").open("a") as events:
                        events.write(f"{kind} {place}\n")
        self.step()

    def _with_step(self, call: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object, **keys: object) -> object:
            self.step()
            found = call(*arguments, **keys)
            self.step()
            return found

        return stepped


def claimed(folder: Path, worker: str) -> set[tuple[int, int]]:
    """What a worker's own files say that it has claimed."""
    names = [path.name for path in (folder / "queue" / "by" / worker).glob("*") if path.stat().st_nlink == 2]
    return {(int(place), int(number)) for place, _, number in (name.partition(".") for name in names)}


def give_again(folder: Path, *lost: str) -> None:
    """The rule for workers that are gone: what they claimed first and have not ended may be claimed once more."""
    for worker in lost:
        settled = {place for kind, place in ran(folder, worker) if kind == "end"}
        for place, number in claimed(folder, worker):
            if number == 1 and place not in settled:
                (folder / "queue" / "again" / str(place)).touch()


@pytest.mark.processes
@given(agents=st.integers(2, 5))
@settings(max_examples=10, deadline=None)
def test_each_test_is_run_once_by_one_of_several_agents(
    agents: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("claims")
    names = [str(number) for number in range(1, agents + 1)]
    with in_processes(*(Worker(folder, name).work for name in names)) as codes:
        assert codes == [0] * agents
    ends = Counter(place for name in names for kind, place in ran(folder, name) if kind == "end")
    assert ends == Counter(range(TESTS))


@pytest.mark.processes
@given(st.integers(0, 130), st.integers(0, 130))
@settings(max_examples=60, deadline=None)
def test_agents_that_are_killed_at_any_moment_lose_nothing_and_nothing_runs_twice(
    tmp_path_factory: pytest.TempPathFactory, first_dies_at: int, second_dies_at: int
) -> None:
    folder = tmp_path_factory.mktemp("claims")
    dying = [Worker(folder, "1", dies_at=first_dies_at), Worker(folder, "2", dies_at=second_dies_at)]
    with in_processes(*(each.work for each in dying), Worker(folder, "3").work) as codes:
        assert codes[2] == 0
        lost = [name for name, code in zip("12", codes[:2], strict=True) if code]
    give_again(folder, *lost)
    # a second round takes what was given out again, and what nobody had claimed
    with in_processes(Worker(folder, "4").work, Worker(folder, "5").work) as codes:
        assert codes == [0, 0]
    ends = Counter(place for name in "12345" for kind, place in ran(folder, name) if kind == "end")
    assert ends == Counter(range(TESTS))
    starts = Counter(place for name in "345" for kind, place in ran(folder, name) if kind == "start")
    assert not starts or max(starts.values()) == 1


def test_an_agent_that_is_killed_in_its_second_try_gives_nothing_out_again(tmp_path: Path) -> None:
    first, second, third = (Claims(tmp_path / "queue", name) for name in "123")
    assert first.take(0, 1)
    give_again(tmp_path, "1")
    assert second.look().again == {0}
    assert second.take(0, 2)
    assert not third.take(0, 2)
    (tmp_path / "queue" / "again" / "0").unlink()
    give_again(tmp_path, "2")
    assert third.look().again == frozenset()


class TestWhatTheFileSystemAnswers:
    def test_a_link_that_was_made_counts_though_it_is_reported_as_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def made_twice(source: Path, target: Path) -> None:
            link(source, target)
            raise FileExistsError(errno.EEXIST, "File exists")

        monkeypatch.setattr(os, "link", made_twice)
        assert Claims(tmp_path, "1").take(7, 1)
        assert not Claims(tmp_path, "2").take(7, 1)
        assert Claims(tmp_path, "1").look().claimed == {(7, 1)}

    def test_a_link_that_is_reported_as_made_and_is_not_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "link", lambda *_: None)
        assert not Claims(tmp_path, "1").take(7, 1)

    def test_a_link_that_fails_for_another_reason_is_an_error_and_no_claim(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        monkeypatch.setattr(os, "link", refused)
        one = Claims(tmp_path, "1")
        with pytest.raises(OSError, match="Disk quota exceeded"):
            one.take(7, 1)
        monkeypatch.undo()
        assert list((tmp_path / "by" / "1").iterdir()) == []
        assert Claims(tmp_path, "2").take(7, 1)

    def test_what_is_none_of_its_files_is_left_out(self, tmp_path: Path) -> None:
        one = Claims(tmp_path, "1")
        for name in (".nfs000001", "x.1", "3", "3.", "4.1.swp"):
            (tmp_path / "claims" / name).touch()
        (tmp_path / "again" / ".nfs000002").touch()
        assert (one.look().claimed, one.look().again) == (frozenset(), frozenset())

    def test_what_all_agents_have_to_know_is_seen_by_each(self, tmp_path: Path) -> None:
        one, two = Claims(tmp_path, "1"), Claims(tmp_path, "2")
        assert (two.look().is_fail_fast, two.look().is_closed) == (False, False)
        one.end_the_run()
        (tmp_path / "closed").touch()
        assert (two.look().is_fail_fast, two.look().is_closed) == (True, True)
