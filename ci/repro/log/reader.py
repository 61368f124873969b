"""The log of one or more jobs, read line by line, once: `./inv repro` and `./inv triage` know a log by this alone."""

import re
from collections.abc import Iterable
from typing import Final

from ci.plan.tree.model import CallKind, TestCall
from ci.repro.log.names import failed_name, registered_path
from ci.repro.log.script import calls_of, is_same_call
from ci.repro.log.set_up import SetUpReader
from ci.repro.log.text import LogLine
from ci.repro.log.values import Attempt, Call, FileEnd, JobLog, Step

__all__ = ["read_jobs"]

_NEW_JOB: Final = "Current runner version: "
_BEGIN: Final = re.compile(r"Begin \((?P<index>\d+)/(?P<last>\d+)\):")
_FILE: Final = re.compile(r"(?:\[.*\] )?python3 (?P<file>\S+\.py)(?: -f)?\s*$")
_END: Final = re.compile(r"filename='(?P<file>[^']+\.py)'(?:, elapsed=(?P<elapsed>\d+(?:\.\d+)?))?")
_FAILED: Final = re.compile(
    r"[✗x] (?P<how>FAILED|TIMEOUT): (?P<file>\S+\.py)(?: returned exit code (?P<code>-?\d+)| after (?P<limit>[\d.]+) seconds)?"
)
_RETRIED: Final = re.compile(r"✓ PASSED on retry \(attempt \d+\): (?P<file>\S+\.py)")
_RETRY: Final = re.compile(r"\[CI Retry\] (?P<file>\S+\.py) (?:failed with|timed out after) (?P<why>.*)")
_AGAIN: Final = re.compile(r"\[CI Retry\] Attempt \d+/\d+ for (?P<file>\S+\.py)")
_OLD_TIMEOUT: Final = re.compile(r"Timeout after (?P<limit>[\d.]+) seconds when running (?P<file>\S+\.py)")
_LISTED: Final = re.compile(
    r"\s{1,4}(?:[-•] )?(?P<file>\S+\.py)(?: \((?P<why>(?:exit code|timeout)[^)]*)\))?\s*$"
)
_TIMING: Final = re.compile(
    r'\{"file": "(?P<file>[^"]+\.py)", "passed": (?P<passed>true|false), "elapsed": (?P<elapsed>[\d.]+)\}'
)
# the runner's table of what it will run
_TABLE: Final = re.compile(
    r"(?:\| )?(?P<hw>[A-Z]+) +\| (?P<suite>\S+) +\| (?P<nightly>True|False) +\| (?:full|(?P<shard>\d+)/(?P<parts>\d+) [^|]*?) *\|$"
)
_ENABLED: Final = re.compile(r"✅ Enabled (?P<count>\d+) test\(s\)")
_NONE_FOUND: Final = re.compile(r"No tests found for hw=")
_SUITE_ENDED: Final = re.compile(r"(?P<word>Success|Fail)\. Time elapsed: ")
# the runner's last word on a step, as a page of Actions shows it
_COPIED: Final = re.compile(
    r"Error: (?:Process completed with|The (?:operation|action|runner|job|self-hosted) )"
)
_FINAL: Final = re.compile(
    r"Process completed with exit code|The (?:operation was canceled|action .* has timed out|job was canceled|job has exceeded"
    r"|runner has received|self-hosted runner|hosted runner)"
)
_SCRIPT_ENDS: Final = ("shell: ", "env:")
# the first characters of lines that say something outside of a step's set-up; no pattern is tried on others
_TELLING: Final = frozenset("ABp[fx✗✓↻|✅NTSF {ER./PU+b=")
# lines between the runner's word that a file begins and its command, which other output may come between
_NEAR: Final = 3
_SESSION: Final = re.compile(r"=+ test session starts =+$")


def read_jobs(lines: Iterable[LogLine], *, day: str = "") -> list[JobLog]:
    """The jobs of a log, in the order in which they begin; one without a name for a log that names none.

    `day` is that on which the log began, where it says so.
    """
    jobs: dict[str, list[LogLine]] = {}
    number = 0
    for line in lines:
        if line.text.startswith(_NEW_JOB) and not line.job:
            number += 1
        # two logs of jobs, one after the other in one file, have no names
        jobs.setdefault(line.job or f"\0{number}", []).append(line)
    begun = {key: each for key, each in jobs.items() if len(jobs) == 1 or any(line.text for line in each)}
    read = [_JobReader(name.partition("\0")[0], each).read() for name, each in begun.items()]
    for job in read:
        job.set_up.date = day
    return read


class _JobReader:
    """The state between two lines of one job."""

    def __init__(self, name: str, lines: list[LogLine]) -> None:
        self._lines = lines
        self._job = JobLog(name=name, lines=lines, steps=[], set_up=SetUpReader.empty())
        self._set_up = SetUpReader(self._job.set_up)
        self._step = Step(name="", script="", begin=1)
        self._call: Call | None = None
        self._attempt: Attempt | None = None
        self._announced = -3
        self._index: tuple[int, int] = (0, 0)
        self._again = ""
        self._heading = ""
        self._sessions = 0

    def read(self) -> JobLog:
        """Read all lines."""
        at, count = 0, len(self._lines)
        while at < count:
            line = self._lines[at]
            if line.mark == "group" and line.text.startswith("Run "):
                at = self._script(at)
                continue
            if line.mark == "error" or (not line.mark and _COPIED.match(line.text)):
                self._error(line)
            self._output(at, line)
            at += 1
        self._end_step(count)
        return self._job

    # --- steps ----------------------------------------------------------------------------------------------

    def _script(self, at: int) -> int:
        """The head of a step: its script is shown until the group ends; returns where its output begins."""
        head = self._lines[at]
        self._end_step(at)
        name = head.text.removeprefix("Run ").strip()
        place = at + 1
        while place < len(self._lines) and not self._ends_script(self._lines[place]):
            place += 1
        closed = place < len(self._lines) and self._lines[place].mark == "endgroup"
        if (
            not closed
        ):  # the log has lost the group's end: the script is the name and what a backslash continues
            place = at
            while self._lines[place].text.endswith("\\") and place + 1 < len(self._lines):
                place += 1
        shown = [line.text for line in self._lines[at + 1 : place + (not closed)]]
        ends = next((n for n, text in enumerate(shown) if text.startswith(_SCRIPT_ENDS)), len(shown))
        body = shown[:ends]
        # Actions shows the first line twice: as the name, and in the script
        script = "\n".join(body if body and body[0].strip() == name else [name, *body])
        self._step = Step(name=head.step or name, script=script, begin=place + 2)
        self._add_calls(calls_of(script, line=head.number))
        self._set_up.take_script(script, head.number)
        return place + 1

    @staticmethod
    def _ends_script(line: LogLine) -> bool:
        return line.mark in ("endgroup", "group", "error") or _BEGIN.match(line.text) is not None

    def _add_calls(self, calls: Iterable[TestCall]) -> None:
        for call in calls:
            here = (*self._job.calls, *self._step.calls)
            known = next((each for each in here if is_same_call(each.test_call, call)), None)
            if known is None:
                known = Call(line=call.line, test_call=call)
                self._step.calls.append(known)
            elif known not in self._step.calls:
                # the same once more in a later step: its last word counts
                self._move(known)

    def _move(self, call: Call) -> None:
        for step in self._job.steps:
            if call in step.calls:
                step.calls.remove(call)
        self._step.calls.append(call)

    def _end_step(self, at: int) -> None:
        """The step that was open ends before this place."""
        self._end_suite(at)
        self._end_files(at)
        self._step.end = at
        if self._step.script or self._step.calls or self._step.error:
            self._job.steps.append(self._step)
        self._step = Step(name="", script="", begin=at + 1)
        self._call, self._sessions = None, 0

    def _error(self, line: LogLine) -> None:
        """The runner's word that a step failed; what a test prints as an error is not that."""
        text = line.text.removeprefix("Error: ")
        began = any(call.attempts for call in self._step.calls)
        if _FINAL.match(text) or (not began and not self._step.error):
            self._step.error = text

    def _end_files(self, at: int) -> None:
        """Files that the step ran by themselves, of which no case has failed: by how the step ended."""
        files = [
            (call, file)
            for call in self._step.calls
            for file in call.test_call.files
            if not call.test_call.suite and file not in call.last
        ]
        failed = any(call.failed for call in self._step.calls)
        over = at < len(self._lines) and not self._step.error  # another step follows: all of them ran
        ran = len(files) if over else min(max(self._sessions, 1), len(files))
        for number, (call, file) in enumerate(files[:ran], start=1):
            ended = FileEnd.PASSED
            if number == ran and not over and not failed:
                ended = FileEnd.FAILED if self._step.error else FileEnd.UNFINISHED
            call.attempts.append(
                Attempt(
                    file=file,
                    begin=self._step.begin - 1,
                    end=at,
                    ended=ended,
                    because=self._step.error if ended is FileEnd.FAILED else "",
                )
            )

    # --- output ---------------------------------------------------------------------------------------------

    def _output(self, at: int, line: LogLine) -> None:
        text = line.text
        if self._attempt is None:
            self._set_up.take(line)
        first = text[:1]
        if first not in _TELLING and not line.mark:
            # a case of pytest with -v; its file may begin with any letter
            if "::" in text and text.find(".py::") > 0 and (" FAILED" in text or " ERROR" in text):
                self._case(at, text)
            return
        if first == "[" and text[1:2] != "C" and at - self._announced > _NEAR:
            return  # a logger's line, of which a log has most
        if "run_suite.py" in text and "--suite" in text:
            self._shown_call(at)
        elif found := _TABLE.match(text):
            self._table(line, found)
        elif found := _BEGIN.match(text):
            self._announced, self._index = at, (int(found["index"]), int(found["last"]) + 1)
        elif at - self._announced <= _NEAR and (found := _FILE.match(text)):
            self._begin(at, registered_path(found["file"]))
        elif found := _END.match(text):
            self._ended(
                at, registered_path(found["file"]), float(found["elapsed"]) if found["elapsed"] else None
            )
        elif found := _FAILED.match(text):
            self._fail(at, found["file"], found["how"], code=found["code"], limit=found["limit"])
        elif found := _RETRY.match(text):
            how = "TIMEOUT" if "timed out after" in text else "FAILED"
            if not text.endswith("not retrying"):
                self._fail(at, found["file"], how, because=f"tried again: {found['why']}")
        elif found := _AGAIN.match(text):
            self._again = registered_path(found["file"])
        elif found := _OLD_TIMEOUT.match(text):
            self._fail(at, found["file"], "TIMEOUT", limit=found["limit"])
        elif found := _RETRIED.match(text):
            self._result(at, registered_path(found["file"]), FileEnd.PASSED)
        elif _SUITE_ENDED.match(text):
            self._suite_ended(at, success=text.startswith("Success"))
        elif found := _TIMING.match(text):
            end = FileEnd.PASSED if found["passed"] == "true" else FileEnd.FAILED
            self._result(at, registered_path(found["file"]), end, elapsed_s=float(found["elapsed"]))
        elif text.startswith(("✓ PASSED:", "✗ FAILED:", "↻ RETRIED:")):
            self._heading = text[2:8]
        elif self._heading and (found := _LISTED.match(text)):
            self._listed(at, found)
        elif found := _ENABLED.match(text):
            if self._call is not None:
                self._call.amount = int(found["count"])
        elif _NONE_FOUND.match(text):
            if self._call is not None:
                self._call.none_found = True
        else:
            self._case(at, text)

    def _shown_call(self, at: int) -> None:
        """A command in a step's output, e.g. by `set -x`, or in a log without the heads of steps."""
        text = self._lines[at].text.lstrip("+ ")
        after = at
        while text.endswith("\\") and after + 1 < len(self._lines):
            after += 1
            text = f"{text[:-1].rstrip()} {self._lines[after].text.strip()}"
        before = at
        while before > 0 and self._lines[before - 1].text.endswith("\\"):
            before -= 1
            text = f"{self._lines[before].text[:-1].rstrip()} {text}"
        self._end_suite(at)
        self._add_calls(calls_of(text, line=self._lines[before].number))

    def _table(self, line: LogLine, found: re.Match[str]) -> None:
        """The runner's own word for what it runs: the call of the step, or one of which the log has no command."""
        if found["hw"] != "AMD":
            return
        self._end_suite(line.number)
        part = int(found["shard"]) - 1 if found["shard"] else None
        parts = int(found["parts"]) if found["parts"] else None
        wanted = (found["suite"], part, parts, found["nightly"] == "True")
        fitting = [each for each in self._step.calls if _key(each.test_call) == wanted]
        self._call = next((each for each in fitting if not each.runs), fitting[-1] if fitting else None)
        if self._call is None:
            call = TestCall(
                kind=CallKind.SUITE, suite=found["suite"], hardware="amd", nightly=wanted[3], part=part, parts=parts,
                step=self._step.name, step_line=line.number, step_timeout_min=None, line=line.number, file="",
            )  # fmt: skip
            self._call = Call(line=line.number, test_call=call)
            self._step.calls.append(self._call)
        self._call.runs += 1

    # --- files ----------------------------------------------------------------------------------------------

    def _begin(self, at: int, file: str) -> None:
        self._close(at, FileEnd.PASSED if self._attempt and self._attempt.elapsed_s is not None else None)
        index, total = self._index
        if index == 0 and self._again != file and (self._call is None or self._call.attempts):
            self._next_call()
        call = self._current()
        call.amount = max(call.amount or 0, total)
        self._again, self._heading = "", ""
        self._attempt = Attempt(file=file, begin=at + 1)
        call.attempts.append(self._attempt)

    def _current(self) -> Call:
        if self._call is None:
            self._next_call()
        assert self._call is not None  # noqa: S101 - what the line before has seen to
        return self._call

    def _next_call(self) -> None:
        """The runner begins anew: the next command of the step, or the same once more."""
        calls = self._step.calls
        if self._call is not None and self._call.runs and not self._call.attempts:
            return
        unused = [each for each in calls if not each.attempts and not each.runs]
        if unused:
            self._call = unused[0]
        elif self._call is None:
            self._call = calls[-1] if calls else self._unnamed()
        self._call.runs += 1

    def _unnamed(self) -> Call:
        """A call of which the log has no command: it was cut."""
        number = self._announced + 1
        call = TestCall(
            kind=CallKind.SUITE, step=self._step.name, step_line=number, step_timeout_min=None, line=number, file="",
        )  # fmt: skip
        unnamed = Call(line=number, test_call=call)
        self._step.calls.append(unnamed)
        return unnamed

    def _ended(self, at: int, file: str, elapsed_s: float | None) -> None:
        if self._attempt is not None and self._attempt.file == file:
            self._attempt.end = at + 1
            self._attempt.elapsed_s = elapsed_s if elapsed_s is not None else 0.0

    def _fail(
        self,
        at: int,
        path: str,
        how: str,
        *,
        code: str | None = None,
        limit: str | None = None,
        because: str = "",
    ) -> None:
        file = registered_path(path)
        ended = FileEnd.TIMEOUT if how == "TIMEOUT" else FileEnd.FAILED
        because = because or (f"exit code {code}" if code else f"timeout after {limit} s" if limit else "")
        self._result(at, file, ended, because=because, exit_code=int(code) if code else None)

    def _result(
        self,
        at: int,
        file: str,
        ended: FileEnd,
        *,
        because: str = "",
        exit_code: int | None = None,
        elapsed_s: float | None = None,
    ) -> None:
        """How a file ended: of the open attempt, else of one whose lines the log does not have."""
        call = self._current()
        attempt = call.last.get(file)
        if attempt is None:
            attempt = Attempt(file=file, begin=0)
            call.attempts.append(attempt)
        if attempt.ended is FileEnd.UNFINISHED or (attempt.begin == 0 and attempt.ended is not ended):
            attempt.ended = ended
        attempt.because = attempt.because or because
        attempt.exit_code = exit_code if exit_code is not None else attempt.exit_code
        attempt.elapsed_s = attempt.elapsed_s if attempt.elapsed_s is not None else elapsed_s
        if attempt is self._attempt:
            self._close(at, ended)

    def _close(self, at: int, ended: FileEnd | None) -> None:
        """The open attempt ends before this place, as far as it is known."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        attempt.end = attempt.end or at
        if ended is not None and attempt.ended is FileEnd.UNFINISHED:
            attempt.ended = ended

    def _suite_ended(self, at: int, *, success: bool) -> None:
        if self._attempt is not None:
            self._close(at, FileEnd.PASSED if success or not self._attempt.cases else FileEnd.FAILED)

    def _listed(self, at: int, found: re.Match[str]) -> None:
        file = registered_path(found["file"])
        if self._heading == "PASSED":
            self._result(at, file, FileEnd.PASSED)
        elif self._heading == "FAILED" and found["why"]:
            timed_out = found["why"].startswith("timeout")
            code = re.fullmatch(r"exit code (-?\d+)", found["why"])
            self._fail(
                at,
                file,
                "TIMEOUT" if timed_out else "FAILED",
                code=code[1] if code else None,
                because=found["why"],
            )

    def _end_suite(self, at: int) -> None:
        """What ran has ended or was ended: a file that came to its end without a word of failure has passed."""
        attempt = self._attempt
        done = attempt is not None and attempt.elapsed_s is not None and not self._step.error
        self._close(at, FileEnd.PASSED if done and attempt is not None and not attempt.cases else None)
        self._heading = ""

    # --- cases ----------------------------------------------------------------------------------------------

    def _case(self, at: int, text: str) -> None:
        if _SESSION.match(text):
            self._sessions += 1
            return
        named = failed_name(text)
        if named is None:
            return
        attempt = self._attempt_of(at, named.file)
        if attempt is None:
            return
        if named.set_up:
            attempt.setups = tuple(dict.fromkeys((*attempt.setups, named.set_up)))
        if not named.case:
            attempt.whole = True
        elif named.case not in attempt.cases:
            attempt.cases = (*attempt.cases, named.case)

    def _attempt_of(self, at: int, file: str) -> Attempt | None:
        """The attempt that a failed case is of: the open one, else that of a file that the step runs by itself."""
        if self._attempt is not None:
            return self._attempt
        files = [(call, each) for call in self._step.calls for each in call.test_call.files]
        if not files:
            return self._call.last.get(file) if self._call is not None and file else None
        here = max(self._sessions, 1) - 1
        name = file.rpartition("/")[2]
        call, path = next(
            ((call, each) for call, each in files if name and each.rpartition("/")[2] == name),
            files[min(here, len(files) - 1)],
        )
        attempt = call.last.get(path)
        if attempt is None or attempt.ended is not FileEnd.FAILED:
            attempt = Attempt(file=path, begin=self._step.begin - 1, end=at, ended=FileEnd.FAILED)
            call.attempts.append(attempt)
        return attempt


def _key(call: TestCall) -> tuple[str, int | None, int | None, bool]:
    return call.suite, call.part, call.parts, call.nightly
