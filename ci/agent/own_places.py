"""What each test has for itself where several run at a time: folders, ports, a share of the CPUs."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .slots import Slots
from .spec import Spec

__all__ = ["OwnPlaces", "cpu_share"]


class OwnPlaces:
    """The folders of the slots, made as they are needed. Where one test runs at a time there are none, and nothing is set."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        # not in the run folder: a socket's path has at most 107 characters, and servers make theirs in TMPDIR. The host
        # removes it by the same name when the agent was killed.
        self._base = Path(tempfile.gettempdir()) / spec.token

    def environ(self, slot: int, ids: Sequence[str]) -> Mapping[str, str]:
        """The variables of an attempt on the slot of this number, from 1, with these GPUs or CPU slots.

        Raises:
            OSError: a folder cannot be made.
        """
        if self._spec.jobs == 1:
            return {}
        limits, place = self._spec.limits, self._base / str(slot)
        first = limits.port_first + (slot - 1) * limits.ports_per_slot
        found = {"AMD_CI_PORTS": f"{first}-{first + limits.ports_per_slot - 1}"}
        for own in self._spec.sharing.variables:
            if own.kind == "first-port":
                found[own.name] = str(first)
            elif own.kind == "slot-ids":
                found[own.name] = ",".join(ids)
            else:
                folder = place / ("test" if own.kind == "folder-of-test" else "slot") / own.name.lower()
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                found[own.name] = str(folder)
        return found

    def clear(self, slot: int) -> None:
        """Remove what was an attempt's alone."""
        shutil.rmtree(self._base / str(slot) / "test", ignore_errors=True)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._base, ignore_errors=True)


def cpu_share(cpus: Sequence[int], slots: Slots, slot: int, ids: Sequence[str]) -> Sequence[int]:
    """The CPUs of a test: those of its GPUs where every GPU may have a test, else of its slot; all where there are too few."""
    by_id = bool(ids) and slots.at_once >= len(slots.ids)
    parts = len(slots.ids) if by_id else slots.at_once
    mine = [slots.ids.index(each) for each in ids] if by_id else [slot - 1]
    size = len(cpus) // parts
    return [cpu for part in mine for cpu in cpus[part * size : (part + 1) * size]] or list(cpus)


def keep_to(cpus: Sequence[int]) -> None:
    """Keep this thread, and what it starts from here on, to these CPUs; where the kernel refuses, all stay."""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return
