"""Are the GPUs free and healthy, before a run and after it, and which processes use them.

Nothing of other users is ended, unless the host is for this run alone (`--exclusive-host`). What killed runs left
is swept before; see docs/health.md.
"""

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ci.catalog.health import Growth, HealthRows
from ci.catalog.limits import HealthLimits
from ci.docker.client import EngineError
from ci.docker.sweep import Tenant
from ci.errors import InfrastructureError, Problem
from ci.health.gpu_state import GpuState, Holder, Look, Machine, look
from ci.record.phases import Phase
from ci.record.values import PhaseOutcome
from ci.system import clock
from ci.system.process import capture
from ci.system.process_identity import owner_of_self

__all__ = ["Health", "this_machine"]

# how often VRAM in use is read while it is waited for
_POLL_S = 1.0
_MIB = 2**20
_GIB = 2**30
_NO_HOLDER = "no process that can be seen holds it: the context of an ended one, which a reset of the GPU or a reboot clears"


def this_machine(tool_s: float) -> Machine:
    """The real `/sys` and `/proc`; a tool that hangs is a tool that failed."""

    def run(argv: tuple[str, ...]) -> str | None:
        done = capture(argv, timeout_s=tool_s)
        return done.text if done.code == 0 else None

    return Machine(sysfs=Path("/sys"), proc=Path("/proc"), run=run)


@dataclass(slots=True, kw_only=True)
class Health:
    """The checks of one run.

    `nodes` are the render nodes that the run gets, `token` and `run` its own. `leaks` is a file beside the run folders in
    in which a run that leaks leaves a note for the next one. `tenants` gives this project's containers.
    """

    machine: Machine
    nodes: Sequence[str]
    rows: HealthRows
    limits: HealthLimits
    run: str
    token: str
    leaks: Path
    tenants: Callable[[], Sequence[Tenant]]
    exclusive: bool
    stopped: Callable[[], bool]
    monotonic_s: Callable[[], float] = clock.monotonic_s
    sleep_s: Callable[[float], None] = clock.sleep_s
    _before: Look | None = field(default=None, init=False)

    def before(self, phase: Phase) -> None:
        """Look, and wait for VRAM that is being freed.

        Raises:
            InfrastructureError: a GPU is in use, or does not answer.
        """
        if not self.nodes:
            phase.outcome, phase.text = PhaseOutcome.SKIPPED, "this run gets no GPU: nothing was checked"
            return
        seen = look(self.machine, self.nodes, self.rows)
        if not self._can_say(seen, phase):
            return
        wait_s = self.limits.settle_s
        if self.exclusive and self._busy(seen):
            self._end(seen.holders, phase)
            wait_s = self.limits.clear_s
        seen = self._wait(seen, self._busy, wait_s)
        if busy := self._busy(seen):
            raise self._not_clear(busy, seen)
        self._before = seen
        phase.text = _in_use(seen)
        failing = [
            f"{gpu.name}: {gpu.counters[row.id]} {row.id} errors since it was started"
            for gpu in seen.gpus
            for row in self.rows.counters
            if row.verdict is Growth.HARDWARE and gpu.counters.get(row.id, 0)
        ]
        if failing:
            phase.warn(f"{phase.text}; {failing[0]}")
            phase.details += failing

    def after(self, phase: Phase) -> None:
        """Look again; more VRAM in use than before is a leak, reported with its owner. Raises nothing of its own."""
        before = self._before
        if before is None:
            phase.outcome, phase.text = (
                PhaseOutcome.SKIPPED,
                "nothing was checked before the run, so nothing can be compared",
            )
            return
        seen = look(self.machine, self.nodes, self.rows)
        seen = self._wait(seen, lambda now: self._leaked(before, now), self.limits.settle_s)
        if not self._can_say(seen, phase):
            return
        phase.text = _in_use(seen)
        leaked = self._leaked(before, seen)
        worse = self._worse(before, seen)
        mine = [gpu for gpu in leaked if self._is_mine(seen.holders)]
        self._remember(mine)
        if leaked:
            whose = "left by this run" if mine else "not of this run"
            names = ", ".join(f"{gpu.name}: {_gib(gpu.used_bytes)}" for gpu in leaked)
            phase.warn(f"VRAM in use after the run, {whose}: {names}")
            phase.details += [self._words(holder) for holder in seen.holders] or [_NO_HOLDER]
        if worse:
            phase.warn("; ".join([phase.text, worse[0]]) if leaked else worse[0])
            phase.details += worse

    # ---- what is in use

    def _busy(self, seen: Look) -> list[GpuState]:
        return [gpu for gpu in seen.gpus if gpu.share > self.limits.busy_share]

    def _leaked(self, before: Look, now: Look) -> list[GpuState]:
        was = {gpu.name: gpu.used_bytes for gpu in before.gpus}
        most = self.limits.residue_mib * _MIB
        return [gpu for gpu in now.gpus if gpu.used_bytes - was.get(gpu.name, 0) > most]

    def _worse(self, before: Look, now: Look) -> list[str]:
        """Error counters that grew during the run."""
        was = {gpu.name: gpu.counters for gpu in before.gpus}
        return [
            f"{gpu.name}: {count - was[gpu.name].get(row.id, 0)} {row.id} errors during this run ({row.why})"
            for gpu in now.gpus
            for row in self.rows.counters
            if (count := gpu.counters.get(row.id, 0)) > was.get(gpu.name, {}).get(row.id, count)
        ]

    def _wait(self, seen: Look, unclear: Callable[[Look], list[GpuState]], wait_s: float) -> Look:
        """Look until it is clear, at most so long."""
        until_s = self.monotonic_s() + wait_s
        while unclear(seen) and self.monotonic_s() < until_s and not self.stopped():
            self.sleep_s(_POLL_S)
            seen = look(self.machine, self.nodes, self.rows)
        return seen

    def _can_say(self, seen: Look, phase: Phase) -> bool:
        """Whether anything was checked; a note names what was not."""
        if not seen.source:
            phase.warn("nothing was checked: no source shows the VRAM in use")
        elif seen.missing and seen.source == "amdgpu in sysfs":
            phase.warn(f"only {len(seen.gpus)} of {len(self.nodes)} GPUs were checked")
        phase.details += seen.missing
        return bool(seen.source)

    # ---- owners

    def _is_mine(self, holders: Sequence[Holder]) -> bool:
        """This run's: one of its processes still holds a GPU, or none does, so that no other can have taken it."""
        return not holders or any(self._owner(holder) == "of this run" for holder in holders)

    def _owner(self, holder: Holder) -> str:
        if holder.token == self.token:
            return "of this run"
        tenant = next(
            (each for each in self._tenants() if holder.container and each.id == holder.container), None
        )
        if tenant is not None:
            mine = tenant.ownership.token == self.token
            return "of this run" if mine else f"of run {tenant.ownership.run}, in container {tenant.name}"
        if holder.token:
            return "of another run of this project"
        if holder.container:
            return f"of another user, in container {holder.container[:12]}"
        return "of another user"

    def _tenants(self) -> Sequence[Tenant]:
        # an engine that does not answer must not hide what the KFD says
        with suppress(EngineError, InfrastructureError):
            return self.tenants()
        return ()

    def _words(self, holder: Holder) -> str:
        vram = f", {_gib(holder.vram_bytes)}" if holder.vram_bytes else ""
        zombie = ", a zombie: its parent must reap it" if holder.zombie else ""
        return f"process {holder.pid} ({holder.command[:80]}), {self._owner(holder)}{vram}{zombie}"

    def _not_clear(self, busy: Sequence[GpuState], seen: Look) -> InfrastructureError:
        problems = [
            Problem(where=gpu.name, what=f"{_gib(gpu.used_bytes)} of {_gib(gpu.total_bytes)} VRAM are in use")
            for gpu in busy
        ]
        problems += [Problem(where="held by", what=self._words(holder)) for holder in seen.holders]
        reported = self._reported_leaks()
        problems += [
            Problem(where=gpu.name, what=f"run {reported[gpu.name]} reported a leak here")
            for gpu in busy
            if gpu.name in reported
        ]
        cause = "other processes use these GPUs" if seen.holders else _NO_HOLDER
        return InfrastructureError(
            f"{len(busy)} of {len(seen.gpus)} GPUs are busy ({seen.source})",
            problems=problems,
            cause=cause,
            then="./inv doctor; on a machine for this run alone: add --exclusive-host, which ends what holds a GPU",
        )

    # ---- notes for the next run

    def _reported_leaks(self) -> Mapping[str, str]:
        """Which run leaked on which GPU since this machine was started."""
        try:
            data = json.loads(self.leaks.read_text())
            if data["boot_id"] == owner_of_self().boot_id:
                return {str(name): str(run) for name, run in data["gpus"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # no note, or one that cannot be read: nothing is known
        return {}

    def _remember(self, leaked: Sequence[GpuState]) -> None:
        note = {"boot_id": owner_of_self().boot_id, "gpus": {gpu.name: self.run for gpu in leaked}}
        with suppress(OSError):
            if leaked:
                self.leaks.parent.mkdir(parents=True, exist_ok=True)
                self.leaks.write_text(json.dumps(note, sort_keys=True) + "\n")
            else:
                self.leaks.unlink(missing_ok=True)

    # ---- --exclusive-host

    def _end(self, holders: Sequence[Holder], phase: Phase) -> None:
        """End what holds a GPU on a host that was declared ours alone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for holder in holders:
                try:
                    os.kill(holder.pid, number)
                except ProcessLookupError:
                    continue
                except PermissionError:
                    phase.details.append(f"may not be ended: {self._words(holder)}")
                    continue
                phase.details.append(f"{number.name} (--exclusive-host): {self._words(holder)}")
            if number is signal.SIGTERM:
                self.sleep_s(self.limits.term_s)
                holders = [
                    each for each in look(self.machine, self.nodes, self.rows).holders if not each.zombie
                ]


def _gib(count: float) -> str:
    return f"{count / _GIB:.1f} GiB"


def _in_use(seen: Look) -> str:
    used, total = sum(gpu.used_bytes for gpu in seen.gpus), sum(gpu.total_bytes for gpu in seen.gpus)
    gpus = f"{len(seen.gpus)} GPU{'s' if len(seen.gpus) != 1 else ''}"
    return f"{gpus}: {_gib(used)} of {_gib(total)} VRAM are in use ({seen.source})"
