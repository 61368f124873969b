"""The view for GitHub Actions: a log with groups, and annotations at the lines that failed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.record import events as ev
from ci.record.state import Key
from ci.record.values import CaseOutcome, PhaseOutcome
from ci.report.live.annotations import Annotation, Annotations, Level
from ci.report.live.log_lines import LogLines
from ci.report.live.progress import LiveRun
from ci.report.live.start import Line
from ci.report.log_tail import LogTails
from ci.report.text import case_name, clip, one_line, strip_ansi, visible
from ci.system.inert import guarded, inert, send_command
from ci.system.output import say_at_once

__all__ = ["ActionsView", "command", "mask", "mask_commands", "workspace_prefix"]


def command(name: str, properties: Mapping[str, str], data: str) -> str:
    """One workflow command, `::name key=value,...::data`, with everything escaped that the runner gives a meaning."""
    pairs = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' + pairs if pairs else ''}::{_escape_data(data)}"


def _escape_data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(value: str) -> str:
    return _escape_data(value).replace(":", "%3A").replace(",", "%2C")


def mask_commands(secrets: Sequence[str]) -> list[str]:
    """Commands that make the runner hide these values; it masks line by line, so each line gets its own."""
    lines = dict.fromkeys(line.strip() for secret in secrets for line in secret.splitlines())
    return [command("add-mask", {}, line) for line in lines if line]


def mask(stream: IO[str], secrets: Sequence[str]) -> None:
    """Have the runner hide these values from here on."""
    for line in mask_commands(secrets):
        send_command(stream, line)
    stream.flush()


def workspace_prefix(root: str, environ: Mapping[str, str]) -> str:
    """The prefix of a test's path in the job's workspace: `sglang/` for a tree checked out there, else nothing."""
    workspace = environ.get("GITHUB_WORKSPACE", "")
    if not workspace or not root:
        return ""
    try:
        inside = PurePosixPath(root).relative_to(PurePosixPath(workspace))
    except ValueError:
        return ""
    return "" if str(inside) == "." else f"{inside}/"


class ActionsView:
    """Lines as in a log, a group for each finished attempt, an annotation for each case that failed for good."""

    def __init__(
        self,
        stream: IO[str],
        *,
        limits: ReportLimits,
        clock: Callable[[], float],
        tails: LogTails,
        secrets: Sequence[str] = (),
        prefix: str = "",
    ) -> None:
        self._stream = guarded(stream)
        self._place = prefix
        self._limits = limits
        self._tails = tails
        self._live = LiveRun(clock)
        self._lines = LogLines(self._live, limits=limits, clock=clock)
        self._time = "--:--:--"
        self._grouped: dict[Key, list[Line]] = {}
        # whether others run beside it: then all of it is said in its group
        self._beside: dict[Key, bool] = {}
        self._failed: dict[Key, list[ev.Case]] = {}
        self._undecided: dict[Key, list[Annotation]] = {}
        self._annotations = Annotations(limits.annotations_max)
        mask(stream, secrets)

    def show(self, event: ev.Event) -> None:
        self._time = event.time[11:19] or self._time
        self._live.take(event)
        lines = list(self._lines.lines(event))
        match event:
            case ev.TestStarted():
                key = (event.suite, event.test)
                if key in self._grouped:
                    self._group(key, f"LOST {one_line(event.test)}: its worker is gone", [], tail=False)
                self._grouped[key], self._failed[key] = [], []
                self._beside[key] = bool(event.slot or event.worker)
                self._say(lines)
            case ev.Metric() | ev.Note() if (event.suite, event.test) in self._grouped:
                self._grouped[event.suite, event.test] += lines
            case ev.Case():
                if event.outcome is CaseOutcome.FAILED:
                    self._failed.setdefault((event.suite, event.test), []).append(event)
                if self._beside.get((event.suite, event.test)):
                    self._grouped[event.suite, event.test] += lines
                else:
                    self._say(lines)
            case ev.TestEnded():
                self._end(event, lines)
            case ev.Retry():
                self._say(lines)
                self._annotate(Level.WARNING, self._undecided.pop((event.suite, event.test), []))
            case ev.PhaseEnded():
                self._phase(event, lines)
            case ev.ExecutorFailed():
                self._say(lines)
                problems = [f"- {problem}" for problem in event.problems]
                parts = [event.what, *problems, event.cause, event.then]
                words = visible(strip_ansi("\n".join(part for part in parts if part)))
                title = {"title": f"{self._prefix()}failed outside the tests"}
                self._annotate(Level.ERROR, [Annotation(properties=title, words=words)])
            case ev.SuiteEnded() | ev.AgentEnded():
                self._decide()
                self._say(lines)
            case _:
                self._say(lines)
        self._stream.flush()

    def acknowledge(self, line: str) -> None:
        say_at_once(line)

    def close(self) -> None:
        """Show what is known of attempts that never ended, then the annotations, and say how many GitHub would not show."""
        for key in list(self._grouped):
            self._group(key, f"UNFINISHED {one_line(key[1])}", [], tail=True)
        self._decide()
        for level, annotation in self._annotations.shown():
            self._send(level, annotation.properties, annotation.words)
        if left_out := self._annotations.left_out:
            most = self._limits.annotations_max
            words = f"{left_out} without an annotation: GitHub shows {most} of each of a step; the summary has all"
            self._say([Line(text=words)])
        self._stream.flush()

    def _end(self, event: ev.TestEnded, lines: list[Line]) -> None:
        key = (event.suite, event.test)
        status = self._live.state.status(key)
        # the first line says how it ended: it is the group's title
        self._group(key, lines[0].text, lines[1:], tail=status in (Status.FAILED, Status.QUARANTINED))
        if status is Status.QUARANTINED:
            title = f"{self._prefix()}QUARANTINED: {one_line(event.test)}"
            rows = [line.text.strip() for line in lines if line.text.strip().startswith("QUARANTINED")]
            about = {"file": self._file(event.test), "title": title}
            words = "\n".join(rows[1:] or rows)
            self._annotate(Level.NOTICE, [Annotation(properties=about, words=words, verdict=event.verdict)])
        if status is not Status.FAILED:
            return
        cases = [case for case in self._failed.pop(key, []) if not case.quarantine]
        if cases:
            self._undecided[key] = [self._case(case, event, number) for number, case in enumerate(cases)]
        else:
            title = f"{self._prefix()}{event.verdict}: {one_line(event.test)}"
            words = visible(strip_ansi("\n".join(event.evidence) or lines[0].text))
            about = {"file": self._file(event.test), "title": title}
            self._undecided[key] = [
                Annotation(properties=about, words=words, verdict=event.verdict, symptom=event.symptom)
            ]

    def _phase(self, event: ev.PhaseEnded, lines: list[Line]) -> None:
        """A group where the end of a phase has more to say than its first line; a warning is annotated too."""
        inside = [line.text for line in lines[1:]]
        if event.outcome is PhaseOutcome.FAILED and event.log:
            found = self._tails.named(event.log)
            note = f" ({found.note})" if found.note else ""
            inside.append(f"last lines of {one_line(event.log)}{note}:")
            inside += [f"    {visible(line)}" for line in found.lines]
        if inside:
            self._write_group(lines[0].text, inside)
        else:
            self._say(lines)
        if event.outcome is PhaseOutcome.WARNED:
            words = "\n".join([event.text, *event.details])
            title = f"{self._prefix()}{one_line(event.phase)}: warning"
            warning = Annotation(properties={"title": title}, words=visible(strip_ansi(words)))
            self._annotate(Level.WARNING, [warning])

    def _case(self, case: ev.Case, event: ev.TestEnded, number: int) -> Annotation:
        name = one_line(case_name(case.case, case.test))
        properties = {
            "file": self._file(case.file or case.test),
            "line": str(case.line) if case.line is not None else "",
            "title": f"{self._prefix()}{event.verdict}: {name}",
        }
        words = case.message or case.details or "failed without a message"
        return Annotation(
            properties=properties,
            words=clip(visible(strip_ansi(words)), self._limits.case_lines),
            verdict=event.verdict,
            symptom=event.symptom,
            number=number,
        )

    def _file(self, path: str) -> str:
        """A file as GitHub looks for it: relative to the workspace."""
        return one_line(path if path.startswith("/") else self._place + path)

    def _prefix(self) -> str:
        run = self._live.state.run
        if run is None:
            return ""
        return ("UNVERIFIED " if run.unverified else "") + ("REHEARSAL " if run.rehearsal else "")

    def _decide(self) -> None:
        """What was not tried again until here has failed for good."""
        for key in list(self._undecided):
            self._annotate(Level.ERROR, self._undecided.pop(key))

    def _annotate(self, level: Level, annotations: Sequence[Annotation]) -> None:
        for annotation in annotations:
            self._annotations.add(level, annotation)

    def _group(self, key: Key, title: str, lines: Sequence[Line], *, tail: bool) -> None:
        inside = [line.text for line in [*self._grouped.pop(key, []), *lines]]
        if tail:
            attempt = self._live.state.newest(key)
            log = attempt.start.log if attempt is not None else ""
            found = self._tails.named(log)
            inside.append(f"last lines of {one_line(log)}" + (f" ({found.note})" if found.note else "") + ":")
            inside += [f"    {visible(line)}" for line in found.lines]
        if not inside:
            self._say([Line(text=title)])
            return
        self._write_group(title, inside)

    def _write_group(self, title: str, inside: Sequence[str]) -> None:
        self._send("group", {}, f"{self._time} {title}")
        for line in inside:
            self._stream.write(f"| {line}\n")
        self._send("endgroup", {}, "")

    def _say(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._stream.write(f"{self._time} {line.text}\n")

    def _send(self, name: str, properties: Mapping[str, str], data: str) -> None:
        # what a command shows is a line of the log again, on a page that reads `##[` by itself
        values = {key: inert(value) for key, value in properties.items()}
        self._stream.send(command(name, values, inert(data)))
