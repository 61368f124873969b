"""A labelled folder of failures and how the judge sees them: docs/verdict-corpus.md has the form."""

import json
import re
import signal
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.agent.judge import Ended, Facts, FailedCase, Judgement, Rule
from ci.agent.judge.judge import judge_log
from ci.catalog.verdicts import CAUSES, Verdict
from ci.errors import Problem, UsageError

__all__ = ["CORPUS", "VERDICTS", "LabelledCase", "judged", "load_corpus"]

VERDICTS: Mapping[str, Verdict] = {str(verdict): verdict for verdict in Verdict}
CORPUS = Path(__file__).parents[1] / "data" / "verdicts"

_EXPECTED, _LOG, _EVENTS = "expected.toml", "log.txt", "events.jsonl"
_TEXTS = ("verdict", "kind", "why", "source")
_KEYS = (*_TEXTS, "first_line", "rules")
# what is read of an event, and the types that it may have
_EVENT_KEYS: Mapping[str, tuple[type, ...]] = {
    "attempt": (int,),
    "gpu_ids": (list,),
    "case": (str,),
    "outcome": (str,),
    "message": (str,),
    "verdict": (str, type(None)),
    "assertion": (bool,),
    "exit_code": (int, type(None)),
    "signal": (str, int, type(None)),
    "oom_kills": (int,),
    "kernel_log": (list,),
    "memory_holders": (list,),
    "phase": (str,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledCase:
    """One failure: what is known about it, and what is right. `first_line` is empty when any evidence will do."""

    name: str
    facts: Facts
    verdict: Verdict
    kind: str
    why: str
    source: str
    first_line: str = ""
    rules: tuple[str, ...] = ()


def load_corpus(folder: Path) -> list[LabelledCase]:
    """Every case below the folder, by name.

    Raises:
        UsageError: with every problem of every case, each with its file and line.
    """
    problems: list[Problem] = []
    found = sorted(path.parent for path in folder.rglob(_EXPECTED)) if folder.is_dir() else []
    if not found:
        what = f"has no {_EXPECTED} in it" if folder.is_dir() else "is not a folder"
        problems.append(Problem(where=str(folder), what=what))
    cases = [_case(place, folder, problems) for place in found]
    if problems:
        raise UsageError(
            "the labelled logs cannot be read", problems=problems, then="docs/verdict-corpus.md has the form"
        )
    return [case for case in cases if case is not None]


def judged(case: LabelledCase, rules: Sequence[Rule], without: Collection[str] = ()) -> Judgement:
    """What the judge says, with some rows removed."""
    return judge_log(case.facts, [rule for rule in rules if rule.id not in without], tuple(CAUSES))


# --- reading ------------------------------------------------------------------------------------------------


def _case(place: Path, folder: Path, problems: list[Problem]) -> LabelledCase | None:
    before = len(problems)
    expected = _expected(place / _EXPECTED, problems)
    facts = _facts(place, problems)
    if len(problems) > before:
        return None
    return LabelledCase(
        name=place.relative_to(folder).as_posix() if place != folder else place.name,
        facts=facts,
        verdict=VERDICTS[expected["verdict"]],
        kind=expected["kind"],
        why=expected["why"],
        source=expected["source"],
        first_line=expected.get("first_line", ""),
        rules=tuple(expected.get("rules", ())),
    )


def _expected(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    """What is right; anything wrong with the file is added to the problems."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError) as error:
        line = re.search(r"at line (\d+)", str(error))
        number = line[1] if line else max(1, len(text.splitlines()))
        problems.append(Problem(where=f"{path}:{number}", what=f"cannot be read: {error}"))
        return {}

    def problem(key: str, what: str, hint: str = "") -> None:
        begins = re.compile(rf"\s*{re.escape(key)}\s*=")
        number = next((at for at, line in enumerate(text.splitlines(), 1) if begins.match(line)), 1)
        problems.append(Problem(where=f"{path}:{number}", what=f"{key} {what}", hint=hint))

    for key in values:
        if key not in _KEYS:
            problem(key, "is unknown", f"known: {', '.join(_KEYS)}")
    for key in _TEXTS:
        if not isinstance(values.get(key), str) or not values[key].strip():
            problem(key, "is missing" if key not in values else "must be a text that is not empty")
    verdict = values.get("verdict")
    if isinstance(verdict, str) and verdict.strip() and verdict not in VERDICTS:
        problem("verdict", f"is {verdict!r}, which is no verdict", f"known: {', '.join(VERDICTS)}")
    rules = values.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        problem("rules", "must be a list of row ids")
    try:
        re.compile(values.get("first_line", ""))
    except (re.error, TypeError) as error:
        problem("first_line", f"must be a regular expression: {error}")
    return values


def _facts(place: Path, problems: list[Problem]) -> Facts:
    """What is known: the log, and the events when there are any."""
    log = ""
    try:
        log = (place / _LOG).read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        problems.append(Problem(where=f"{place / _LOG}:1", what=f"cannot be read: {error.strerror}"))
    events = _events(place / _EVENTS, problems)
    ended = [event for event in events if event["type"] == "test-ended"]
    started = {event.get("attempt", 1): event for event in events if event["type"] == "test-started"}
    last = ended[-1] if ended else {}
    attempt = last.get("attempt", max(started, default=1))
    return Facts(
        log=log,
        kernel_log="\n".join(map(str, last.get("kernel_log", []))),
        exit_code=last.get("exit_code"),
        signal=_signal_name(last.get("signal")),
        failed=tuple(
            FailedCase(
                case=event.get("case", ""),
                message=event.get("message", ""),
                verdict=event.get("verdict"),
                assertion=event.get("assertion", False),
            )
            for event in events
            if event["type"] == "case"
            and event.get("attempt", 1) == attempt
            and event.get("outcome") == "failed"
        ),
        oom_kills=last.get("oom_kills", 0),
        holders=tuple(map(str, last.get("memory_holders", ()))),
        phase=next(
            (
                event.get("phase", "")
                for event in reversed(events)
                if event["type"] == "phase-ended" and event.get("outcome") == "failed"
            ),
            "",
        ),
        test=str(last.get("test", "")),
        gpu_ids=_gpu_ids(started.get(attempt)),
        earlier=tuple(
            Ended(
                test=str(event.get("test", "")),
                verdict=event.get("verdict") or "",
                gpu_ids=_gpu_ids(started.get(event.get("attempt", 1))),
                passed=event.get("outcome") == "passed",
            )
            for event in ended[:-1]
        ),
    )


def _signal_name(found: str | int | None) -> str | None:
    """`SIGKILL`, whether it stands there by its name or by its number; None for no signal."""
    if isinstance(found, str) or not found:
        return found or None
    known = {each.value: each.name for each in signal.Signals}
    return known.get(abs(found), f"signal {abs(found)}")


def _gpu_ids(started: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple(map(str, (started or {}).get("gpu_ids", ())))


def _events(path: Path, problems: list[Problem]) -> list[Mapping[str, Any]]:
    """The events of one test; none when there is no file."""
    if not path.exists():
        return []
    events: list[Mapping[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        problems.append(Problem(where=f"{path}:1", what=f"cannot be read: {error}"))
        return []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            problems.append(Problem(where=f"{path}:{number}", what=f"is not JSON: {error}"))
            continue
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            problems.append(Problem(where=f"{path}:{number}", what="is not an event: it has no type"))
            continue
        wrong = [
            key for key, types in _EVENT_KEYS.items() if key in event and not isinstance(event[key], types)
        ]
        problems += [
            Problem(where=f"{path}:{number}", what=f"{key} is {event[key]!r}, of the wrong type")
            for key in wrong
        ]
        if not wrong:
            events.append(event)
    tests = sorted({str(event["test"]) for event in events if event.get("test")})
    if len(tests) > 1:
        what = f"has the events of {len(tests)} tests, a case is one: {', '.join(tests)}"
        problems.append(Problem(where=f"{path}:1", what=what))
    return events
