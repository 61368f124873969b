"""What each test has for itself where several run at a time: folders, ports, a share of the CPUs."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from .ports import hold
from .slots import Slots
from .spec import Spec

__all__ = ["OwnPlaces", "cpu_share"]

# a GPU's last group, as ci/facts/gpus.py names it: a CPU node of the KFD
_CPU_NODE = re.compile(r"CPU node (\d+)")

# from here on Linux gives ports out by itself (ip_local_port_range)
_PORTS_END = 32768


class OwnPlaces:
    """The folders of the slots, made as they are needed. Where one test runs at a time there are none, and nothing is set."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        # not in the run folder: a socket's path has at most 107 characters, and servers make theirs in TMPDIR. The host
        # removes it by the same name when the agent was killed.
        self._base = Path(tempfile.gettempdir()) / spec.token
        self._ports: dict[int, tuple[int, socket.socket | None]] = {}

    def environ(self, slot: int, ids: Sequence[str]) -> Mapping[str, str]:
        """The variables of an attempt on the slot of this number, from 1, with these GPUs or CPU slots.

        Raises:
            OSError: a folder cannot be made.
        """
        if self._spec.jobs == 1:
            return {}
        limits, place = self._spec.limits, self._base / str(slot)
        first = self._first_port(slot)
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

    def _first_port(self, slot: int) -> int:
        """Of the ports of a slot: those of its number, or the next ones that no other run on this machine has."""
        if slot not in self._ports:
            limits = self._spec.limits
            ranges = max(1, (_PORTS_END - limits.port_first) // limits.ports_per_slot)
            own = [limits.port_first + (slot - 1 + n) % ranges * limits.ports_per_slot for n in range(ranges)]
            held = next(((port, found) for port in own if (found := hold(port)) is not None), None)
            # more tests at a time than there are ranges: they are shared
            self._ports[slot] = held or (own[0], None)
        return self._ports[slot][0]

    def clear(self, slot: int) -> None:
        """Remove what was an attempt's alone."""
        shutil.rmtree(self._base / str(slot) / "test", ignore_errors=True)

    def remove(self) -> None:
        """Remove all of it, and give the ports back."""
        for _, held in self._ports.values():
            if held is not None:
                held.close()
        shutil.rmtree(self._base, ignore_errors=True)


def cpu_share(
    cpus: Sequence[int], slots: Slots, slot: int, ids: Sequence[str], sysfs: Path = Path("/sys")
) -> Sequence[int]:
    """The CPUs of a test: those of its GPUs where every GPU may have a test, else of its slot; all where there are too few."""
    by_id = bool(ids) and slots.at_once >= len(slots.ids)
    if not by_id:
        return _part(cpus, slot - 1, slots.at_once) or cpus
    shares = _near(cpus, slots, sysfs) or [
        _part(cpus, number, len(slots.ids)) for number in range(len(slots.ids))
    ]
    return [cpu for each in ids for cpu in shares[slots.ids.index(each)]] or cpus


def _near(cpus: Sequence[int], slots: Slots, sysfs: Path) -> Sequence[Sequence[int]]:
    """For each GPU its part of the CPUs of its own NUMA node; empty where a node is not known or has too few."""
    nodes = _nodes(sysfs)
    found = [_CPU_NODE.fullmatch(next(iter(slots.groups.get(each, ())[-1:]), "")) for each in slots.ids]
    numbers = [int(match[1]) for match in found if match and int(match[1]) < len(nodes)]
    if len(numbers) < len(slots.ids):
        return ()
    shares = []
    for place, number in enumerate(numbers):
        mine = [cpu for cpu in cpus if cpu in nodes[number]]
        shares.append(_part(mine, numbers[:place].count(number), numbers.count(number)))
    return shares if all(shares) else ()


def _nodes(sysfs: Path) -> Sequence[Collection[int]]:
    """The CPUs of each NUMA node that has some: the KFD numbers those alone, in the same order."""
    found = []
    for file in (sysfs / "devices/system/node").glob("node[0-9]*/cpulist"):
        spans = (part.partition("-") for part in file.read_text().strip().split(",") if part)
        cpus = {cpu for first, _, last in spans for cpu in range(int(first), int(last or first) + 1)}
        found.append((int(file.parent.name.removeprefix("node")), cpus))
    return [cpus for _, cpus in sorted(found, key=lambda pair: pair[0]) if cpus]


def _part(cpus: Sequence[int], number: int, parts: int) -> Sequence[int]:
    size = len(cpus) // parts
    return cpus[number * size : (number + 1) * size]


def keep_to(cpus: Sequence[int]) -> None:
    """Keep this thread, and what it starts from here on, to these CPUs; where the kernel refuses, all stay."""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return
