"""What excuses a failed case of SGLang's own tests on a CPU: the error that ended it, matched by rows, and nothing else."""

import ast
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .judge.tracebacks import ProcessEnd, ProcessEnds, RaisedError
from .spec import CpuTests, ErrorPattern

__all__ = ["Excuse", "Excuses", "Failure", "normal", "statement_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure of a case: the error that ended it, then what each was raised over; `identity` is the first one's."""

    identity: int
    chain: tuple[RaisedError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """Why a failure says nothing about the code: `outcome` is `needs-gpu` or `not-judged`, `reason` has the proof."""

    outcome: str
    reason: str


class Excuses:
    """Judges the failures of one attempt of one test file."""

    def __init__(self, rules: CpuTests, root: Path, test: str, ends: ProcessEnds) -> None:
        self._rules = rules
        self._root = root
        self._ends = ends
        self._not_judged = [row for row in rules.not_judged if row.test == test]
        # a fixture of a class fails every case of it with the same error
        self._known: dict[int, ProcessEnd | None] = {}

    def of(self, failures: Sequence[Failure]) -> Excuse | None:
        """The excuse for a case, None unless each of its failures has one."""
        found = [self._of_failure(failure) for failure in failures]
        excuses = [excuse for excuse in found if excuse is not None]
        if not excuses or len(excuses) < len(found):
            return None
        return next((excuse for excuse in excuses if excuse.outcome == "needs-gpu"), excuses[0])

    def wrapped(self, failures: Sequence[Failure]) -> RaisedError | None:
        """What the first failure was about, when the error that ended the case stands for another one."""
        error = self._unwrapped(failures[0].chain) if failures else None
        return None if error is None or error == failures[0].chain[0] else error

    def of_end(self, end: ProcessEnd) -> Excuse | None:
        """The excuse for what a process ended with."""
        error = self._unwrapped(end.errors)
        return None if error is None else self._of_error(error, who=f"{end.who}: ")

    def of_script(self, end: ProcessEnd) -> Excuse | None:
        """The same for a test that is a program of its own, which may have waited for a server."""
        error = self._unwrapped(end.errors)
        if error is not None and self._matching(self._rules.server_ends, error) is not None:
            server = self._ends.first()
            return None if server is None or server == end else self.of_end(server)
        return self.of_end(end)

    def _of_failure(self, failure: Failure) -> Excuse | None:
        error = self._unwrapped(failure.chain)
        if error is None:
            return None
        if self._matching(self._rules.server_ends, error) is None:
            return self._of_error(error)
        end = self._server_of(failure)
        return None if end is None else self.of_end(end)

    def _server_of(self, failure: Failure) -> ProcessEnd | None:
        error = self._unwrapped(failure.chain)
        if error is None or self._matching(self._rules.server_ends, error) is None:
            return None
        return self._known.setdefault(failure.identity, self._ends.first())

    def _unwrapped(self, chain: Sequence[RaisedError]) -> RaisedError | None:
        """The error that a retry, which raises its own, was about."""
        return next((error for error in chain if self._matching(self._rules.wrappers, error) is None), None)

    def _of_error(self, error: RaisedError, *, who: str = "") -> Excuse | None:
        row = self._matching(self._rules.gpu_proofs, error)
        if row is not None:
            return Excuse(outcome="needs-gpu", reason=f"{who}{error.text()}; row {row.id}: {row.why}")
        if error.raises != "AssertionError" or not self._not_judged:
            return None
        frame = error.asserted
        if frame is None:
            return None
        path = Path(frame.file)
        file = path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else ""
        for judged in self._not_judged:
            if judged.file == file and normal(judged.expression) == statement_at(path, frame.line):
                return Excuse(
                    outcome="not-judged", reason=f"{judged.expression} ({file}:{frame.line}): {judged.why}"
                )
        return None

    @staticmethod
    def _matching(rows: Iterable[ErrorPattern], error: RaisedError) -> ErrorPattern | None:
        if not error.frames:
            return None
        file, function = error.frames[-1].file, error.frames[-1].function
        for row in rows:
            place = any(
                tail in f"/{file}" if tail.endswith("/") else f"/{file}".endswith(tail)
                for tail in (f"/{each}" for each in row.raised_in)
            )
            named = not row.function or row.function == function
            if row.raises == error.raises and place and named and row.message.match(error.message):
                return row
        return None


@functools.lru_cache(maxsize=256)
def statement_at(path: Path, line: int) -> str:
    """The innermost statement at a line of a file in the normal form; empty where there is none."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ""
    found = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return _normal(max(found, key=lambda node: node.lineno)) if found else ""


@functools.lru_cache(maxsize=256)
def normal(expression: str) -> str:
    """The normal form of a statement: its layout and the message of an assert do not count."""
    try:
        return _normal(ast.parse(expression).body[0])
    except (IndexError, SyntaxError):
        return ""


def _normal(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assert):
        statement = ast.Assert(test=statement.test, msg=None)
    return ast.unparse(statement)
