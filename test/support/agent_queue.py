"""The agent's queue over attempts that only say how they end."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from ci.agent import queue
from ci.agent import spec as agent_spec
from ci.agent.attempt import Place, RunContext
from ci.agent.events import Emitter
from ci.agent.judge import Judgement
from ci.agent.processes import Children
from ci.agent.queue import Queue
from ci.agent.stop import Stop
from ci.agent.verdict import AttemptFacts
from support.agent_process import AgentProcess, a_test, wait_for

__all__ = ["NoChildren", "Script", "files", "script", "work"]

Event = dict[str, Any]


class NoChildren(Children):
    """The last sweep finds nothing: no attempt has started a process."""

    def kill(self, find: Callable[[], set[int]]) -> dict[int, str]:  # noqa: ARG002
        return {}


class Script:
    """How each attempt ends: the verdicts of a test in turn, `passed` for one that is not named; and what was run."""

    def __init__(self) -> None:
        self.verdicts: dict[str, list[str]] = {}
        self.during: Callable[[str], None] = lambda _test: None
        self.ran: list[tuple[str, int, list[str]]] = []
        self.slots: dict[tuple[str, int], int] = {}
        self.stop = Stop()
        self.events: list[Event] = []

    def attempt(
        self,
        _context: RunContext,
        _suite: agent_spec.Suite,
        test: agent_spec.Test,
        number: int,
        place: Place,
    ) -> "Planned":
        self.slots[test.id, number] = place.slot
        return Planned(self, test, number, list(place.gpu_ids))

    def of(self, kind: str) -> list[Event]:
        return [event for event in list(self.events) if event["type"] == kind]

    def until(self, kind: str, **keys: object) -> None:
        """Wait for the first event of a kind that has these keys."""
        for _ in wait_for(f"{kind} {keys}"):
            if any(keys.items() <= event.items() for event in self.of(kind)):
                return


class Planned:
    """An attempt that ends as the script says."""

    def __init__(self, script: Script, test: agent_spec.Test, number: int, gpus: list[str]) -> None:
        self.facts = AttemptFacts(path=test.path, kind=test.kind)
        self.gates = False
        self.mark = "AMD_CI_ATTEMPT_TOKEN=none"
        self._script = script
        self._test = test
        self._number = number
        self._gpus = gpus

    def run(self, _deadline: float, *, alone: bool) -> Judgement:  # noqa: ARG002
        self._script.ran.append((self._test.id, self._number, self._gpus))
        self._script.during(self._test.id)
        verdicts = self._script.verdicts.get(self._test.id, ["passed"])
        verdict = verdicts[min(self._number, len(verdicts)) - 1]
        self.gates = verdict != "passed" and not self._test.quarantine
        return Judgement(outcome="passed" if verdict == "passed" else "failed", verdict=verdict)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    monkeypatch.setattr(queue, "Attempt", made.attempt)
    monkeypatch.setattr(queue, "POLL_S", 0.01)
    # it asks the program `uname`
    monkeypatch.setattr("platform.platform", lambda: "Linux")
    return made


def work(script: Script, folder: Path, *suites: dict[str, object], **keys: object) -> None:
    """Work through these suites; the script has the events as they come, also when the queue raises."""
    spec = agent_spec.parse_spec(json.dumps(AgentProcess(folder).spec(*suites, **keys)))
    output, write_end = os.pipe()
    context = RunContext(
        program=folder,
        spec=spec,
        spec_path=folder,
        emitter=Emitter(write_end, script.stop),
        children=NoChildren(),
        stop=script.stop,
        log_names=set(),
        ended=[],
    )
    with os.fdopen(output, "rb") as stream:
        reader = threading.Thread(target=_read, args=(stream, script.events))
        reader.start()
        try:
            Queue(context).run()
        finally:
            os.close(write_end)
            reader.join()


def _read(stream: IO[bytes], events: list[Event]) -> None:
    for line in stream:
        events.append(json.loads(line))  # noqa: PERF401  # as it comes


def files(*names: str) -> list[dict[str, object]]:
    return [a_test(name) for name in names]
