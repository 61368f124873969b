"""Workers as the head starts them: one step of the job each, whose standard input is held open."""

import contextlib
import json
import os
import selectors
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from ci.errors import InfrastructureError, Problem, writing
from ci.execute.slurm.files import REPOSITORY, SlurmFiles
from ci.execute.slurm.hello import Greeting, Hello
from ci.system import clock
from ci.system.codec import DecodeError, decode
from ci.system.process import Process, start

__all__ = ["Step", "Steps"]

_READ_BYTES = 1 << 16
_POLL_S = 0.02


class Step:
    """One worker's srun."""

    def __init__(self, number: str, process: Process, log: Path) -> None:
        self.number = number
        self._process = process
        self._log = log
        self._said = b""

    @property
    def output(self) -> int:
        """The descriptor of its standard output."""
        assert self._process.stdout is not None  # noqa: S101 - `start` makes it a pipe
        return self._process.stdout.fileno()

    def hear(self) -> bytes | None:
        """Its first line once it is whole, None before; what comes after it is read and forgotten.

        Raises:
            EOFError: it has said all that it will say.
        """
        data = os.read(self.output, _READ_BYTES)
        if not data:
            raise EOFError
        self._said += data
        line, found, _ = self._said.partition(b"\n")
        return line if found else None

    def say(self, words: bytes) -> None:
        """A line on its standard input."""
        with contextlib.suppress(OSError, ValueError):  # its end is seen elsewhere
            if self._process.stdin is not None:
                self._process.stdin.write(words)
                self._process.stdin.flush()

    def stop(self) -> None:
        """End its standard input; its tests end."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def kill(self) -> None:
        """End srun; Slurm ends what it has started."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    @property
    def exit_code(self) -> int | None:
        """How srun ended, None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """How it ended, with the last lines that it or srun has printed."""
        return "; ".join((self.end, *self.last_lines()))

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code is None:
            return "it runs"
        return f"it was killed by signal {-code}" if code < 0 else f"srun exited with {code}"

    def last_lines(self, count: int = 3) -> list[str]:
        """The last lines that it or srun has printed."""
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return []
        return [line.strip() for line in lines[-count:]]

    def close(self) -> None:
        """Leave nothing of it here."""
        self.stop()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Steps:
    """The workers of a run. A context manager: their steps end with it."""

    def __init__(self, files: SlurmFiles) -> None:
        self._files = files
        self._steps: list[Step] = []

    def start(self, number: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a worker.

        Raises:
            InfrastructureError: its folder cannot be made, or there is no srun.
        """
        self._files.make_worker(number)
        log = self._files.step_log(number)
        with writing(log):
            file: IO[bytes] = log.open("wb")
        with file:
            try:
                process = start(argv, cwd=REPOSITORY, env=env, stderr=file)
            except OSError as error:
                raise InfrastructureError(
                    f"cannot start {argv[0]}: {error.strerror}",
                    cause="Slurm's programs are not on the PATH of the nodes",
                    then=f"srun --nodes=1 which {argv[0]}",
                ) from error
        self._steps.append(Step(number, process, log))

    def greetings(self, *, within_s: float, stopped: Callable[[], bool]) -> tuple[Greeting, ...]:
        """What each worker says of its node; fewer when `stopped`.

        Raises:
            InfrastructureError: one has ended before, or says nothing within this time.
        """
        give_up_s = clock.monotonic_s() + within_s
        found: dict[str, Greeting] = {}
        with selectors.DefaultSelector() as selector:
            for step in self._steps:
                selector.register(step.output, selectors.EVENT_READ, step)
            while len(found) < len(self._steps) and not stopped():
                for key, _ in selector.select(_POLL_S):
                    step = key.data
                    try:
                        line = step.hear()
                    except EOFError:
                        raise self._silent(step, "has ended before it said anything") from None
                    if line is not None:
                        found[step.number] = self._greeting(step, line)
                        selector.unregister(step.output)
                if clock.monotonic_s() > give_up_s:
                    late = next(step for step in self._steps if step.number not in found)
                    raise self._silent(late, f"has said nothing within {within_s:g} s")
        return tuple(found.values())

    def _greeting(self, step: Step, line: bytes) -> Greeting:
        heard_s = clock.wall_ns() / 1e9
        try:
            hello = decode(Hello, json.loads(line))
        except (ValueError, DecodeError):
            raise self._silent(step, f"said {line[:80].decode(errors='replace')!r}") from None
        try:
            written = json.loads(self._files.hello(step.number).read_bytes()) == json.loads(line)
        except (OSError, ValueError):
            written = False
        return Greeting(hello=hello, heard_s=heard_s, written=written)

    def _silent(self, step: Step, what: str) -> InfrastructureError:
        step.stop()
        give_up_s = clock.monotonic_s() + 1.0
        while step.exit_code is None and clock.monotonic_s() < give_up_s:
            clock.sleep_s(_POLL_S)
        # its own error has up to five lines, and srun says one
        problems = [Problem(where=f"worker {step.number}", what=line) for line in step.last_lines(6)]
        return InfrastructureError(
            f"worker {step.number} {what}",
            problems=problems,
            cause=f"{step.end}; each node must see {REPOSITORY}, {sys.executable} and {self._files.run}",
            then=f"read {self._files.step_log(step.number)}; docs/slurm.md, What a cluster needs",
        )

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for step in self._steps:
            step.close()
