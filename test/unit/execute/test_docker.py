"""The docker executor without an engine."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.catalog.verdicts import Verdict
from ci.errors import GuardError, Problem
from ci.execute.docker import DockerExecutor
from ci.execute.executor import RunInputs
from ci.execute.run_folder import RunFolder
from ci.execute.spec import Spec, make_spec
from ci.record.events import ExecutorFailed
from ci.system import clock
from ci.system.file_lock import FileLock
from support.containers import contained
from support.planning import catalog


def void(_value: object) -> None:
    """Nothing, whatever was waited for."""


Make = Callable[[Callable[[DockerExecutor], None]], DockerExecutor]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes executors whose phases are a function."""

    def made(work: Callable[[DockerExecutor], None]) -> DockerExecutor:
        monkeypatch.setattr(DockerExecutor, "_work_through", work)
        return DockerExecutor(
            RunInputs(
                plan=contained(), folder=RunFolder(path=tmp_path), catalog=catalog(), token="t", environ={}
            )
        )

    return made


def spec() -> Spec:
    return make_spec(contained(), run="r", run_dir="/r", token="t", known_features=())


class TestAnExecutorThatHangs:
    """After a stop nobody waits longer than a constant says, whatever the engine does."""

    def test_its_end_is_reported_without_it(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, seconds in (("_JOIN_S", 0.05), ("LOOK_S", 0.01), ("REMOVE_S", 0.05)):
            monkeypatch.setattr(f"ci.execute.docker.{name}", seconds)
        released = threading.Event()
        executor = make(lambda _self: void(released.wait(30)))
        try:
            with executor as entered:
                assert entered is executor
                executor.start(spec())
                executor.stop()
                (event,) = executor.events()
        finally:
            released.set()
        assert isinstance(event, ExecutorFailed)
        assert event.verdict is Verdict.CANCELLED
        assert "did not end in time" in event.what
        assert event.then == "./inv container.prune"


def test_what_ends_in_time_after_a_stop_is_no_failure(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.execute.docker.LOOK_S", 0.01)

    def work(executor: DockerExecutor) -> None:
        executor._stop.wait(30)
        clock.sleep_s(0.2)

    with make(work) as executor:
        executor.start(spec())
        executor.stop()
        assert list(executor.events()) == []


def test_an_error_of_ours_is_an_event_with_its_verdict(make: Make) -> None:
    def work(_executor: DockerExecutor) -> None:
        raise GuardError("triton changed", problems=[Problem(where="triton", what="x")], then="y")

    with make(work) as executor:
        executor.start(spec())
        (event,) = executor.events()
    assert isinstance(event, ExecutorFailed)
    assert (event.what, event.then, event.verdict) == ("triton changed", "y", Verdict.GUARD)
    assert event.problems == ("triton: x",)


def test_a_fault_of_ours_is_raised_where_it_is_reported(make: Make) -> None:
    def work(_executor: DockerExecutor) -> None:
        raise ZeroDivisionError

    with make(work) as executor:
        executor.start(spec())
        with pytest.raises(ZeroDivisionError):
            list(executor.events())


def test_the_lock_of_a_kept_container_is_given_back(make: Make, tmp_path: Path) -> None:
    def work(executor: DockerExecutor) -> None:
        assert executor._kept.take(tmp_path / "lock")

    other = FileLock()
    with make(work) as executor:
        executor.start(spec())
        list(executor.events())
        assert not other.take(tmp_path / "lock")
    assert other.take(tmp_path / "lock")
    other.release()
