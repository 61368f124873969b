"""The docker executor without an engine."""

import threading
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.verdicts import Verdict
from ci.execute.docker import DockerExecutor
from ci.execute.executor import RunInputs
from ci.execute.run_folder import RunFolder
from ci.execute.spec import make_spec
from ci.record.events import ExecutorFailed
from support.containers import contained
from support.planning import catalog


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


class TestAnExecutorThatHangs:
    """After a stop nobody waits longer than a constant says, whatever the engine does."""

    def test_its_end_is_reported_without_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        monkeypatch.setattr(DockerExecutor, "_work_through", lambda _self: released.wait(30))
        for name, seconds in (("_JOIN_S", 0.05), ("LOOK_S", 0.01), ("REMOVE_S", 0.05)):
            monkeypatch.setattr(f"ci.execute.docker.{name}", seconds)
        executor = DockerExecutor(
            RunInputs(
                plan=contained(), folder=RunFolder(path=tmp_path), catalog=catalog(), token="t", environ={}
            )
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
