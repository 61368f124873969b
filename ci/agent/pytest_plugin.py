"""A pytest plugin that reports every case to the agent."""

import difflib
import traceback
import unittest
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .bodies import Body, function_of
from .judge.tracebacks import FRAMES_KEPT, Frame, RaisedError
from .messages import Channel
from .spec import Spec, Test

if TYPE_CHECKING:
    import pytest

# a traceback in an event: one message on the socket is at most 64 KiB
DETAILS_BYTES = 20000
# of what an error was raised over, and of its message: enough to match a row
CHAIN_KEPT = 4
MESSAGE_CHARS = 500
# different errors of one case that are sent: subtests fail by the hundred, and a message has its limit
FAILURES_KEPT = 8
# of a hook that runs around others; what it is sent is a result of pluggy
Around = Generator[None, Any, None]
# exit codes of a session that came to its end: all is well, cases failed, none was selected
PYTEST_FINISHED = (0, 1, 5)
# names of cases in one message, and names near to a wrong one
NAMES_A_MESSAGE = 200
NEAR_NAMES = 3
# hooks of ours that run around those of others: what a conftest.py or another plugin makes of a case comes later
WRAPPERS = {
    "pytest_collection_modifyitems": {"tryfirst": True},
    "pytest_itemcollected": {"tryfirst": True},
    "pytest_make_collect_report": {"trylast": True},
    "pytest_runtest_setup": {"trylast": True},
    "pytest_runtest_call": {"trylast": True},
    "pytest_runtest_teardown": {"trylast": True},
    "pytest_runtest_makereport": {"trylast": True},
}
# functions of transformers and huggingface_hub that look for files of a model, and their argument that names it
HUB_CALLS = {
    "cached_files": "path_or_repo_id",
    "hf_hub_download": "repo_id",
    "snapshot_download": "repo_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a phase or a subtest of a case failed; the keys of a `case` message. `error` is None where nothing was raised."""

    message: str
    details: str
    file: str
    line: int | None = None
    verdict: str | None = None
    assertion: bool = False
    error: BaseException | None = None


class CaseReporter:
    """A pytest plugin that reports every case: its phases and subtests taken together, collection errors too."""

    def __init__(self, channel: Channel, spec: Spec, test: Test, library: ModuleType) -> None:
        self._channel = channel
        self._root = spec.root.resolve()
        self._path, self._nodes = test.path, test.cases
        self._usage_error = library.UsageError
        self._assertions = (AssertionError, library.fail.Exception)
        self._own_stop = library.Session.Interrupted
        self._skips = (library.skip.Exception, unittest.SkipTest)
        self._expected = library.xfail.Exception
        self._info_of = library.ExceptionInfo.from_exc_info
        for name, order in WRAPPERS.items():
            library.hookimpl(hookwrapper=True, **order)(getattr(type(self), name))
        self._narrowed = False
        self._deselected: list[str] = []
        self._to_run: dict[str, None] = {}
        self._functions: dict[str, object] = {}
        self._near: set[str] = set()
        self._total = self._done = 0
        # kept, so that no other error gets the identity of one that was reported
        self._reported: list[BaseException | None] = []
        self._begin("", None)

    def _begin(self, case: str, line: int | None) -> None:
        self._case, self._line = case, line
        self._outcome, self._message, self._duration_s, self._lacks = "passed", "", 0.0, ""
        self._failures: list[Failure] = []
        self._body = Body()
        self._around: BaseException | None = None

    def pytest_configure(self, config: "pytest.Config") -> None:
        options = vars(config.option)
        self._narrowed = any(options.get(name) for name in ("keyword", "markexpr", "deselect"))

    def pytest_make_collect_report(
        self,
    ) -> Around:
        report = (yield).get_result()
        self._near.update(node.nodeid for node in report.result or () if "::" in node.nodeid)
        call = getattr(report, "call", None)
        self._lacks = _lacking(call.excinfo.value if call is not None and call.excinfo else None)

    def pytest_itemcollected(self, item: "pytest.Item") -> Around:
        self._functions[item.nodeid] = function_of(item)
        yield

    def pytest_collection_modifyitems(self, items: "list[pytest.Item]") -> Around:
        before = [item.nodeid for item in items]
        yield
        left = {item.nodeid for item in items}
        self._deselected = [name for name in before if name not in left]

    def pytest_collection_finish(self, session: "pytest.Session") -> None:
        # pytest 9 passes over a node id that another one covers, also where it does not exist
        if not session.testsfailed and (problems := self.problems()):
            raise self._usage_error("; ".join(problems))
        self._total = len(session.items)
        self._to_run = dict.fromkeys(item.nodeid for item in session.items)
        functions = list(dict.fromkeys(self._function(name) for name in self._to_run))
        for start in range(0, len(functions), NAMES_A_MESSAGE):
            self._channel.send(type="collected", names=functions[start : start + NAMES_A_MESSAGE])
        if not self._narrowed:
            for name in self._deselected:
                why = "deselected by a conftest.py or a plugin"
                self._send(name, "skipped", Failure(message=why, details="", file=self._path))
        elif not self._to_run and self._deselected:
            why = f"pytest's options select none of its {len(self._deselected)} cases"
            self._send(self._path, "skipped", Failure(message=why, details="", file=self._path))

    def _function(self, nodeid: str) -> str:
        """A node id behind the file and without parameters."""
        return nodeid.removeprefix(self._path).removeprefix("::").partition("[")[0]

    def problems(self) -> list[str]:
        """What is wrong with node ids that pytest did not find, with the nearest that it did."""
        known = {name.partition("::")[2] for name in self._near}
        found = []
        for node in self._nodes:
            case = node.partition("::")[2]
            if not any(name == case or name.startswith((f"{case}[", f"{case}::")) for name in known):
                near = difflib.get_close_matches(case, sorted(known), NEAR_NAMES, cutoff=0.5)
                names = f"; nearest: {', '.join(near)}" if near else ""
                found.append(f"{node} does not exist{names}")
        return found

    def pytest_runtest_setup(self) -> Around:
        self._note_raised((yield).excinfo)

    def pytest_runtest_call(self, item: "pytest.Item") -> Around:
        self._body, earlier = Body(), self._body.error
        if earlier is not None:
            self._channel.send(type="note", text=f"{item.nodeid} is run again after {_named(earlier)}")
        # a fixture or a hook may have put another function in the place of the test's
        is_its_own = function_of(item) is self._functions.get(item.nodeid, function_of(item))
        with self._body.watched(item):
            yield
        if not is_its_own:
            self._body.calls = 0

    def pytest_runtest_teardown(self) -> Around:
        self._note_raised((yield).excinfo)

    def pytest_runtest_makereport(self, call: "pytest.CallInfo[None]") -> Around:
        yield
        self._lacks = _lacking(call.excinfo.value if call.excinfo else None) or self._lacks

    def _note_raised(self, raised: "tuple[type, BaseException, object] | None") -> None:
        if raised is not None and not isinstance(raised[1], self._skips):
            self._around = raised[1]

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._begin(nodeid, None if location[1] is None else location[1] + 1)
        self._channel.send(type="progress", text=nodeid, done=self._done, total=self._total)

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        subtest = hasattr(report, "context")
        self._duration_s += 0.0 if subtest else report.duration
        expected: str | None = getattr(report, "wasxfail", None)
        if report.failed:
            self._outcome = "failed"
            self._message = self._message or _one_line(report.longreprtext)
        elif self._outcome == "passed" and not subtest and expected is not None:
            self._outcome, self._message = "xfailed" if report.skipped else "xpassed", expected
        elif self._outcome == "passed" and not subtest and report.skipped:
            self._outcome, self._message = "skipped", _skip_reason(report.longrepr)

    def pytest_exception_interact(
        self, call: "pytest.CallInfo[object]", report: "pytest.TestReport | pytest.CollectReport"
    ) -> None:
        assert call.excinfo is not None  # noqa: S101 - the hook is called for exceptions only
        if report.when == "collect":
            self._send(
                report.nodeid or self._path, "failed", self._failure(call.excinfo, report.longreprtext)
            )
            return
        subtest = ""
        context = getattr(report, "context", None)
        if context is not None:
            values = [f"{key}={value}" for key, value in dict(context.kwargs).items()]
            subtest = f"[{', '.join([*([str(context.msg)] if context.msg else []), *values])}] "
        self._failures.append(self._failure(call.excinfo, report.longreprtext, subtest))

    def pytest_runtest_logfinish(self) -> None:
        self._done += 1
        self._to_run.pop(self._case, None)
        self._hold_to_what_ran()
        # A strict xpass fails without an exception.
        plain = Failure(message=self._message, details="", file=self._path, line=self._line, assertion=True)
        failures = self._failures or [plain]
        # What has no verdict of its own is the worst: a teardown that breaks is not excused by a broken bound.
        worst = min(failures, key=lambda failure: failure.verdict is not None)
        details = "\n\n".join(failure.details for failure in failures)
        self._send(
            self._case, self._outcome, worst if self._outcome == "failed" else plain, details, failures
        )

    def _hold_to_what_ran(self) -> None:
        """A case passes when its body was run and returned; a skip or an expected failure is raised or reported as one."""
        if self._outcome == "failed" or (self._outcome == "skipped" and not self._body.calls):
            hidden = None if self._outcome == "failed" else self._around
        else:
            hidden = self._body.error or self._around
        if self._outcome == "skipped" and isinstance(hidden, self._skips):
            hidden = None
        if self._outcome == "xfailed":
            return
        if hidden is not None:
            excinfo = self._info_of((type(hidden), hidden, hidden.__traceback__))
            said = f"reported as {self._outcome} by a conftest.py or a plugin, and it raised "
            self._outcome = "failed"
            self._failures = [self._failure(excinfo, str(excinfo.getrepr(style="short")), said)]
        elif self._outcome in ("passed", "xpassed") and not self._body.calls:
            self._outcome = "failed"
            self._message = "its body was not run: an option, a conftest.py or a plugin left it out"

    def pytest_sessionfinish(self, session: "pytest.Session", exitstatus: int) -> None:
        """What was collected and has no end: a conftest.py or a plugin can take the loop over the cases into its own hands."""
        if not self._to_run or int(exitstatus) not in PYTEST_FINISHED:
            return
        stop = session.shouldfail or session.shouldstop
        if stop:
            count = len(self._to_run)
            self._channel.send(type="note", text=f"{count} case{'s' * (count > 1)} not run: {stop}")
            return
        for name in self._to_run:
            why = "it was collected and not run: an option, a conftest.py or a plugin left it out"
            self._send(name, "failed", Failure(message=why, details="", file=self._path, assertion=True))

    def pytest_collectreport(self, report: "pytest.CollectReport") -> None:
        if report.skipped:
            skipped = Failure(message=_skip_reason(report.longrepr), details="", file=self._path)
            self._send(report.nodeid or self._path, "skipped", skipped)

    def pytest_internalerror(self, excrepr: object, excinfo: "pytest.ExceptionInfo[BaseException]") -> None:
        self._send(self._path, "failed", self._failure(excinfo, str(excrepr)))

    def pytest_keyboard_interrupt(self, excinfo: "pytest.ExceptionInfo[BaseException]") -> None:
        """Ctrl-C, and `pytest.exit`, whose exit code may well be 0; not pytest's own stop after collection errors."""
        if not isinstance(excinfo.value, self._own_stop):
            self._to_run.clear()
            self._send(self._case or self._path, "failed", self._failure(excinfo, str(excinfo.getrepr())))

    def _failure(
        self, excinfo: "pytest.ExceptionInfo[BaseException]", text: str, prefix: str = ""
    ) -> Failure:
        error = excinfo.value
        file, line = self._where(excinfo)
        return Failure(
            message=prefix
            + (_one_line(excinfo.exconly(tryshort=True)) or type(error).__name__)
            + _wanted_of_the_hub(error),
            details=text,
            file=file,
            line=line,
            verdict=_verdict_of(error),
            assertion=isinstance(error, self._assertions),
            error=error,
        )

    def _where(self, excinfo: "pytest.ExceptionInfo[BaseException]") -> tuple[str, int | None]:
        """The innermost line of the test's own file, else of the tree, else the case's first line."""
        in_tree: tuple[str, int] | None = None
        for entry in reversed(excinfo.traceback):
            path = Path(str(entry.path))
            if path.is_relative_to(self._root) and "site-packages" not in path.parts:
                here = path.relative_to(self._root).as_posix(), entry.lineno + 1
                if here[0] == self._path:
                    return here
                in_tree = in_tree or here
        return in_tree or (self._path, self._line)

    def _send(
        self,
        case: str,
        outcome: str,
        keys: Failure,
        details: str = "",
        failures: Sequence[Failure] | None = None,
    ) -> None:
        errors = [failure.error for failure in failures or (keys,)] if outcome == "failed" else []
        self._reported += errors
        text = (details or keys.details).encode("utf-8", "replace")
        if len(text) > DETAILS_BYTES:
            text = b"[...]\n" + text[-DETAILS_BYTES:]
        self._channel.send(
            type="case",
            case=case,
            outcome=outcome,
            duration_s=round(self._duration_s, 4),
            message=keys.message,
            details=text.decode("utf-8", "replace"),
            file=keys.file,
            line=keys.line,
            verdict=keys.verdict,
            assertion=keys.assertion and outcome == "failed",
            failures=_failures(errors),
            lacks=self._lacks if outcome == "skipped" else "",
        )


def _failures(errors: "Sequence[BaseException | None]") -> "list[dict[str, object]]":
    """Each different chain of errors once; one without an error, which nothing excuses, stands for those left out."""
    found: dict[str, dict[str, object]] = {}
    for error in errors:
        chain = _chain(error)
        found.setdefault(repr(chain), {"identity": id(error), "chain": chain})
    kept = list(found.values())
    return kept if len(kept) <= FAILURES_KEPT else [*kept[:FAILURES_KEPT], {"identity": 0, "chain": []}]


def _chain(error: BaseException | None) -> "list[dict[str, object]]":
    """The error, then what each was raised over, as `tracebacks.RaisedError` has them."""
    chain: list[dict[str, object]] = []
    while error is not None and len(chain) < CHAIN_KEPT:
        frames = [
            Frame(file=frame.f_code.co_filename, line=line, function=frame.f_code.co_name)
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
        kind = type(error)
        module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
        raised = RaisedError(
            raises=module + kind.__qualname__,
            message=_one_line(str(error))[:MESSAGE_CHARS] + _wanted_of_the_hub(error),
            frames=tuple(frames[-FRAMES_KEPT:]),
            caused=error.__cause__ is not None,
        )
        chain.append(asdict(raised))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _named(error: BaseException) -> str:
    return _one_line(f"{type(error).__name__}: {error}")[:MESSAGE_CHARS]


def _lacking(error: BaseException | None) -> str:
    """The feature of the engine that a skipped case needs: the attribute `lacks` of the exception."""
    lacks = getattr(error, "lacks", "")
    return lacks if isinstance(lacks, str) else ""


def _wanted_of_the_hub(error: BaseException) -> str:
    """The model that a file could not be had of: offline the Hub's errors leave its name out."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = HUB_CALLS.get(frame.f_code.co_name)
        wanted = frame.f_locals.get(name) if name is not None else None
        if isinstance(wanted, str):
            return f" (wanted: {wanted})"
    return ""


def _one_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _skip_reason(longrepr: object) -> str:
    reason = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return _one_line(reason.removeprefix("Skipped: "))


def _verdict_of(error: BaseException | None) -> str | None:
    """The attribute `verdict` of an exception or of what caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        verdict = getattr(error, "verdict", None)
        if isinstance(verdict, str):
            return verdict
        error = error.__cause__ or error.__context__
    return None
