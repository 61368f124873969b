"""Installing in a container: asks for its facts, runs the steps, watches the protected distributions after each."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ci.catalog.dependencies import ALWAYS, Dependencies
from ci.catalog.limits import DepsLimits
from ci.docker.command_runner import Shell
from ci.errors import CiError, ExitCode, InfrastructureError, writing
from ci.install.guards import FINGERPRINT_TIMEOUT_S, ask, fingerprint, fingerprints_of, probe
from ci.plan.container.aiter import AiterFact
from ci.plan.container.guards import Fingerprint, compare, violation
from ci.plan.container.inside import GIT_TIMEOUT_S, STAMP, InsideFacts, question
from ci.plan.container.install import InstallSteps, Step, steps
from ci.plan.container.needs import STATE_DIR
from ci.plan.container.work import GuardWork, InstallWork
from ci.record.phases import Phase, Phases
from ci.record.values import PhaseOutcome
from ci.system import clock

__all__ = ["STATE_FILE", "Installation", "Installed", "State", "look_inside", "read_state"]

# what a kept container remembers of its installation
STATE_FILE = "steps.json"
_STATE_SCHEMA = 1
# how often a wait between attempts looks whether it was stopped
_POLL_S = 0.1
# characters of a last line that go into a message
_LAST_LINE = 300
_FRESH = "use a new container: run without --keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was done in a container: the image's config digest, each step's input digest, the last fingerprints.

    `under_way` are the distributions that a step may have changed whose run was killed.
    """

    image: str
    steps: Mapping[str, str]
    fingerprints: tuple[Fingerprint, ...]
    under_way: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """How an installation ended: ids of the steps that ran, and reasons by id for the others."""

    ran: tuple[str, ...]
    skipped: Mapping[str, str]
    fingerprints: tuple[Fingerprint, ...]


def look_inside(shell: Shell, python: str, rows: Dependencies) -> InsideFacts:
    """What the container says about itself.

    Raises:
        InfrastructureError: it does not answer.
    """
    timeout_s = FINGERPRINT_TIMEOUT_S + GIT_TIMEOUT_S
    (answer,) = ask(shell, python, "facts", question(rows), timeout_s=timeout_s)
    package, repository = answer["distributions"]["amd-aiter"], answer["repositories"]["amd-aiter"]
    variables = dict(answer["variables"])
    return InsideFacts(
        python=python,
        python_version=answer["python_version"],
        hip=answer["torch"]["hip"],
        torch_lib=answer["torch"]["lib"],
        stamp=variables.pop(STAMP, ""),
        variables=variables,
        programs=answer["programs"],
        dirs=frozenset(answer["dirs"]),
        aiter=AiterFact(
            version=package["version"],
            head=repository["head"],
            installed=package["commit"],
            modified=repository["modified"],
        ),
    )


def read_state(shell: Shell) -> State | None:
    """The state of a kept container; None in a new one, and when the file is incomplete."""
    content = shell.get(f"{STATE_DIR}/{STATE_FILE}")
    if content is None:
        return None
    try:
        data = json.loads(content)
        if data["schema"] != _STATE_SCHEMA:
            return None
        rows = fingerprints_of(data["fingerprints"])
        return State(
            image=str(data["image"]),
            steps=dict(data["steps"]),
            fingerprints=rows,
            under_way=tuple(data["under_way"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(kw_only=True)
class Installation:
    """One installation in one container: `run` does all of it.

    `rows` is dependencies.toml, `install` and `guards` are the plan's, `image` is the config digest; `leave_out` are ids of steps
    that the caller does not want.
    """

    shell: Shell
    python: str
    rows: Dependencies
    install: InstallWork
    guards: GuardWork
    image: str
    environ: Mapping[str, str]
    limits: DepsLimits
    phases: Phases
    stopped: Callable[[], bool]
    leave_out: frozenset[str] = frozenset()
    _done: dict[str, str] = field(default_factory=dict, init=False)
    _ran: list[str] = field(default_factory=list, init=False)
    _now: tuple[Fingerprint, ...] = field(default=(), init=False)

    def run(self) -> Installed:
        """Fingerprint, decide, install, guard; each as phases.

        Raises:
            GuardError: something changed a protected distribution unannounced, or a name cannot be imported.
            UsageError: the plan was made with other rows, or the checkout pins no AITER for the image's stage.
            InfrastructureError: a step failed, the container is gone or not what its name says, or we were stopped.
            CiError: a step that builds the code under test failed (exit 1).
        """
        self._first_fingerprint()
        made = self._decide()
        skipped = {step.id: step.skip for step in made.steps if step.skip}
        for step in made.steps:
            if step.skip:
                continue
            self._unless_stopped()
            reason = self._unchanged(step)
            with self.phases.phase(f"install:{step.id}", f"{step.text}: {step.why}") as phase:
                if reason:
                    skipped[step.id] = reason
                    phase.outcome, phase.text = PhaseOutcome.SKIPPED, reason
                else:
                    self._run_step(step, phase)
        self._unless_stopped()
        with self.phases.phase("guards", "imports from where servers and tests start") as phase:
            phase.details += probe(self.shell, self.python, self.guards, self._now)
        self._save()
        return Installed(ran=tuple(self._ran), skipped=skipped, fingerprints=self._now)

    def _first_fingerprint(self) -> None:
        """The state before anything is installed; in a kept container it has to be the one that was left."""
        self._unless_stopped()
        with self.phases.phase("fingerprint", "the protected distributions before the installation") as phase:
            self._now = fingerprint(self.shell, self.python, self.guards)
            phase.details += [f"{row.distribution} {row.version}" for row in self._now if row.version]
            state = read_state(self.shell)
            if state is None or state.image != self.image:
                return
            self._done = dict(state.steps)
            changes = compare(state.fingerprints, self._now, state.under_way)
            if changes:
                raise violation(changes, step="something between two runs", then=_FRESH)

    def _decide(self) -> InstallSteps:
        """The steps for this container; says once which are left out and why, and what happens to AITER."""
        self._unless_stopped()
        with self.phases.phase("install", "which steps this container needs") as phase:
            inside = look_inside(self.shell, self.python, self.rows)
            made = steps(self.rows, self.install, inside, limits=self.limits, leave_out=self.leave_out)
            left_out = [step for step in made.steps if step.skip]
            count = f"{len(made.steps) - len(left_out)} of {len(made.steps)} steps"
            phase.text = f"{count} for {made.flavour} images, with {made.installer}"
            phase.details += made.notes
            if made.decision is not None:
                phase.details.append(f"AITER: {made.decision.text}")
            for reason in dict.fromkeys(step.skip for step in left_out):
                names = ", ".join(step.id for step in left_out if step.skip == reason)
                phase.details.append(f"left out, {reason}: {names}")
        return made

    def _unchanged(self, step: Step) -> str:
        """Why a step of a kept container needs not run again; empty when it has to."""
        if not step.digest or self._done.get(step.id) != step.digest:
            return ""
        if any(name in self._ran for name in step.again_after) or (ALWAYS in step.again_after and self._ran):
            return ""
        return "unchanged: commands, pins, checkout and image are those of the last time"

    def _run_step(self, step: Step, phase: Phase) -> None:
        """Run it and look at the protected distributions, also when it failed: the change is what has to be known first."""
        self._done.pop(step.id, None)
        self._save(under_way=step.announces)
        failure = self._attempts(step, phase)
        after = fingerprint(self.shell, self.python, self.guards)
        changes = compare(self._now, after, step.announces)
        if changes:
            then = f"read {phase.log}; {_FRESH}" if phase.log else _FRESH
            raise violation(changes, step=f"the step {step.id}", then=then)
        self._now = after
        self._ran.append(step.id)
        if failure is not None and not step.optional:
            self._save()
            raise failure
        if failure is not None:
            phase.warn(f"{failure.what}; it is optional")
        elif step.digest:
            self._done[step.id] = step.digest
        self._save()

    def _attempts(self, step: Step, phase: Phase) -> CiError | None:
        """Try a step until it succeeds; what failed last when it never does."""
        failure: CiError | None = None
        for number in range(1, step.attempts + 1):
            if failure is not None:
                self._wait(step.wait_s)
            env, note = self._index(step, number)
            if note:
                phase.details.append(note)
            failure, again = self._attempt(step, phase, env, number)
            if failure is None:
                return None
            phase.details.append(f"attempt {number} of {step.attempts}: {failure.what}: {failure.cause}")
            if not again:
                break
        return failure

    def _index(self, step: Step, number: int) -> tuple[dict[str, str], str]:
        """The environment of an attempt; late ones ask the alternative index, whose address is shown nowhere."""
        env = dict(step.env)
        if not step.index_variable or number <= self.limits.alternative_after:
            return env, ""
        value = self.environ.get(self.rows.alternative_index, "")
        if not value:
            return (
                env,
                f"attempt {number}: {self.rows.alternative_index} is not set, the same index is asked again",
            )
        env[step.index_variable] = value
        return env, f"attempt {number}: the index of {self.rows.alternative_index} is asked"

    def _attempt(
        self, step: Step, phase: Phase, env: Mapping[str, str], number: int
    ) -> tuple[CiError | None, bool]:
        """One attempt; its failure, and whether a retry makes sense: not after a timeout."""
        deadline = clock.monotonic_s() + step.timeout_s
        with writing(Path(phase.log), then="df -h"), phase.open_log() as file:
            for path, text in step.files.items():
                folder, _, name = path.rpartition("/")
                self.shell.put(folder or "/", {name: text.encode()})
                file.write(f"# attempt {number}: wrote {path}\n".encode())
            for argv in step.commands:
                failure, again = self._command(step, phase, file, argv, env, deadline)
                if failure is not None:
                    return failure, again
        return None, False

    def _command(
        self,
        step: Step,
        phase: Phase,
        file: IO[bytes],
        argv: Sequence[str],
        env: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[CiError | None, bool]:
        file.write(f"# in {step.cwd}: {shlex.join(argv)}\n".encode())
        output = _Output(file, self.environ.get(self.rows.alternative_index, ""))
        left_s = max(deadline_s - clock.monotonic_s(), _POLL_S)
        ended = self.shell.run(argv, timeout_s=left_s, cwd=step.cwd, env=env, on_output=output.take)
        output.end()
        ending = ended.why or "no reason known" if ended.code is None else f"exit {ended.code}"
        file.write(f"# {ending}\n".encode())
        if ended.code == 0:
            return None, False
        program = argv[0].rpartition("/")[2]
        failure = CiError(
            f"the step {step.id} failed: {program}: {ending}",
            cause=output.last or "it printed nothing",
            then=f"read {phase.log}",
            exit_code=ExitCode.TESTS_FAILED if step.product else ExitCode.INFRASTRUCTURE,
        )
        return failure, ended.code is not None

    def _wait(self, seconds: float) -> None:
        end = clock.monotonic_s() + seconds
        while clock.monotonic_s() < end:
            self._unless_stopped()
            clock.sleep_s(_POLL_S)

    def _unless_stopped(self) -> None:
        if self.stopped():
            raise InfrastructureError("the installation was stopped", cause="the run was stopped")

    def _save(self, under_way: Sequence[str] = ()) -> None:
        """Record what was done; `under_way` may be changed by a step that has begun and whose end we may not see."""
        state = {
            "schema": _STATE_SCHEMA,
            "image": self.image,
            "steps": self._done,
            "fingerprints": [asdict(row) for row in self._now],
            "under_way": list(under_way),
        }
        self.shell.put(STATE_DIR, {STATE_FILE: json.dumps(state).encode()})


class _Output:
    """A command's output on its way into the log: whole lines, without the address of the alternative index."""

    def __init__(self, file: IO[bytes], address: str) -> None:
        self._file = file
        self._hidden = _parts(address)
        self._rest = b""
        self.last = ""

    def take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._write(line)

    def end(self) -> None:
        if self._rest:
            self._write(self._rest)
        self._rest = b""

    def _write(self, line: bytes) -> None:
        for part in self._hidden:
            line = line.replace(part, b"***")
        self._file.write(line + b"\n")
        text = line.decode(errors="replace").strip()
        if text:
            self.last = text[:_LAST_LINE]


def _parts(address: str) -> list[bytes]:
    """What of an address must not be shown, longest first: installers print it whole, or mask the password themselves."""
    try:
        url = urlsplit(address)
        parts = {address, url.hostname or "", url.netloc, url.username or "", url.password or ""}
    except ValueError:
        parts = {address}
    return sorted((part.encode() for part in parts if part), key=len, reverse=True)
