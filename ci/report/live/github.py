"""The view for GitHub Actions: a log with groups, and annotations at the lines that failed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO

from ci.catalog.limits import ReportLimits
from ci.catalog.verdicts import Status
from ci.record.fold import Event, text, texts
from ci.report.live.log_lines import Line, Narrator
from ci.report.live.progress import Key, Tally
from ci.report.log_tail import LogTails
from ci.report.text import case_name, clip, one_line, strip_ansi, visible

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
    stream.writelines(f"{line}\n" for line in mask_commands(secrets))
    stream.flush()


def workspace_prefix(root: str, environ: Mapping[str, str]) -> str:
    """What stands before a test's path in the job's workspace: `sglang/` for a tree checked out there, else nothing."""
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
        self._stream = stream
        self._place = prefix
        self._limits = limits
        self._tails = tails
        self._tally = Tally(clock)
        self._narrator = Narrator(self._tally, limits=limits, clock=clock)
        self._time = "--:--:--"
        self._grouped: dict[Key, list[Line]] = {}
        self._failed: dict[Key, list[Event]] = {}
        self._undecided: dict[Key, list[tuple[dict[str, str], str]]] = {}
        self._told = {"error": 0, "warning": 0, "notice": 0}
        mask(stream, secrets)

    def show(self, event: Event) -> None:
        self._time = text(event, "time")[11:19] or self._time
        self._tally.take(event)
        key = text(event, "suite"), text(event, "test")
        lines = list(self._narrator.lines(event))
        match event.get("type"):
            case "test-started":
                self._grouped[key], self._failed[key] = [], []
                self._say(lines)
            case "metric" | "note" if key in self._grouped:
                self._grouped[key] += lines
            case "case":
                if event.get("outcome") == "failed":
                    self._failed.setdefault(key, []).append(event)
                self._say(lines)
            case "test-ended":
                self._end(key, event, lines)
            case "retry":
                self._say(lines)
                self._annotate("warning", self._undecided.pop(key, []))
            case "phase-ended":
                self._phase(event, lines)
            case "executor-failed":
                self._say(lines)
                problems = [f"- {problem}" for problem in texts(event, "problems")]
                said = [text(event, "what"), *problems, text(event, "cause"), text(event, "then")]
                words = visible(strip_ansi("\n".join(part for part in said if part)))
                self._annotate("error", [({"title": f"{self._prefix()}failed outside the tests"}, words)])
            case "suite-ended" | "agent-ended":
                self._decide()
                self._say(lines)
            case _:
                self._say(lines)
        self._stream.flush()

    def close(self) -> None:
        """Show what is known of attempts that never ended, and say which annotations GitHub would have dropped."""
        for key in list(self._grouped):
            self._group(key, f"UNFINISHED {one_line(key[1])}", [], tail=True)
        self._decide()
        dropped = sum(max(0, count - self._limits.annotations_max) for count in self._told.values())
        if dropped:
            kept = self._limits.annotations_max
            words = f"{dropped} more failures have no annotation, GitHub keeps {kept} of a step; the summary has all"
            self._say([Line(text=words)])
        self._stream.flush()

    def _end(self, key: Key, event: Event, lines: list[Line]) -> None:
        status = self._tally.status(*key)
        failed = status is Status.FAILED
        # the narrator's first line says how it ended: it is the group's title
        self._group(key, lines[0].text, lines[1:], tail=status in (Status.FAILED, Status.QUARANTINED))
        if status is Status.QUARANTINED:
            about = {"file": self._file(key[1]), "title": f"{self._prefix()}QUARANTINED: {one_line(key[1])}"}
            rows = [line.text.strip() for line in lines if line.text.strip().startswith("QUARANTINED")]
            self._annotate("notice", [(about, "\n".join(rows[1:] or rows))])
        if not failed:
            return
        verdict = one_line(text(event, "verdict"))
        cases = [
            case
            for case in self._failed.pop(key, [])
            if not self._tally.quarantined(key[1], text(case, "case"))
        ]
        if cases:
            self._undecided[key] = [self._case(case, verdict) for case in cases]
        else:
            title = f"{self._prefix()}{verdict}: {one_line(key[1])}"
            words = "\n".join(texts(event, "evidence")) or lines[0].text
            self._undecided[key] = [
                ({"file": self._file(key[1]), "title": title}, visible(strip_ansi(words)))
            ]

    def _phase(self, event: Event, lines: list[Line]) -> None:
        """A group where the end of a phase has more to say than its first line; a warning is annotated too."""
        outcome, log = text(event, "outcome"), text(event, "log")
        inside = [line.text for line in lines[1:]]
        if outcome not in ("ok", "skipped", "warned") and log:
            found = self._tails.named(log)
            inside.append(f"last lines of {one_line(log)}" + (f" ({found.note})" if found.note else "") + ":")
            inside += [f"    {visible(line)}" for line in found.lines]
        if inside:
            self._write_group(lines[0].text, inside)
        else:
            self._say(lines)
        if outcome == "warned":
            words = "\n".join([text(event, "text"), *texts(event, "details")])
            title = f"{self._prefix()}{one_line(text(event, 'phase'))}: warning"
            self._annotate("warning", [({"title": title}, visible(strip_ansi(words)))])

    def _case(self, case: Event, verdict: str) -> tuple[dict[str, str], str]:
        line = case.get("line")
        name = one_line(case_name(text(case, "case"), text(case, "test")))
        properties = {
            "file": self._file(text(case, "file") or text(case, "test")),
            "line": str(line) if isinstance(line, int) else "",
            "title": f"{self._prefix()}{verdict}: {name}",
        }
        words = text(case, "message") or text(case, "details") or "failed without a message"
        return properties, clip(visible(strip_ansi(words)), self._limits.case_lines)

    def _file(self, path: str) -> str:
        """A file as GitHub looks for it: relative to the workspace."""
        return one_line(path if path.startswith("/") else self._place + path)

    def _prefix(self) -> str:
        return "REHEARSAL " if self._tally.run.get("rehearsal") is True else ""

    def _decide(self) -> None:
        """What was not tried again until here has failed for good."""
        for key in list(self._undecided):
            self._annotate("error", self._undecided.pop(key))

    def _annotate(self, level: str, annotations: Sequence[tuple[dict[str, str], str]]) -> None:
        for properties, words in annotations:
            self._told[level] += 1
            if self._told[level] <= self._limits.annotations_max:
                self._write(command(level, properties, words))

    def _group(self, key: Key, title: str, lines: Sequence[Line], *, tail: bool) -> None:
        inside = [line.text for line in [*self._grouped.pop(key, []), *lines]]
        if tail:
            log = self._tally.log(*key)
            found = self._tails.named(log)
            inside.append(f"last lines of {one_line(log)}" + (f" ({found.note})" if found.note else "") + ":")
            inside += [f"    {visible(line)}" for line in found.lines]
        if not inside:
            self._say([Line(text=title)])
            return
        self._write_group(title, inside)

    def _write_group(self, title: str, inside: Sequence[str]) -> None:
        self._write(command("group", {}, f"{self._time} {_plain(title)}"))
        for line in inside:
            # the bar keeps the runner from reading a line that begins with :: as a command
            self._write(f"| {_plain(line)}")
        self._write("::endgroup::")

    def _say(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._write(f"{self._time} {_plain(line.text)}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")


def _plain(line: str) -> str:
    """A line in which the runner finds no command: it looks for its older form, `##[`, in the middle as well."""
    return line.replace("##[", "# #[")
