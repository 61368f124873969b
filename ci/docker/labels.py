"""The labels that name a container's owner, and whether that has provably ended."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.system.process_identity import Owner, owner_of_self

__all__ = ["PREFIX", "RUN", "Ownership", "labels_of", "ownership_of"]

PREFIX = "sglang-amd-ci."
RUN = PREFIX + "run"

_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """What the labels of one of our containers say. `kept` outlives its run, until `ttl_s` after its start."""

    run: str
    token: str
    plan: str
    owner: Owner
    host: str
    pid_namespace: str
    uid: int
    kept: bool
    key: str
    ttl_s: int

    @property
    def owner_ended(self) -> bool:
        """Whether its run is provably over.

        A pid says nothing about another machine or another pid namespace, and another user's processes may be hidden.
        """
        if self.host != platform.node():
            return False
        me = owner_of_self()
        if self.owner.boot_id != me.boot_id:
            return True
        if self.pid_namespace != _pid_namespace() or os.geteuid() not in (0, self.uid):
            return False
        return not self.owner.alive


def labels_of(*, run: str, token: str, plan: str, kept: bool, key: str, ttl_s: int) -> dict[str, str]:
    """The labels of a container that this process makes."""
    owner = owner_of_self()
    values = {
        "run": run,
        "token": token,
        "plan": plan,
        "pid": owner.pid,
        "start": owner.start_ticks,
        "boot": owner.boot_id,
        "host": platform.node(),
        "pidns": _pid_namespace(),
        "uid": os.geteuid(),
        "kept": int(kept),
        "key": key,
        "ttl": ttl_s,
    }
    return {PREFIX + name: str(value) for name, value in values.items()}


def ownership_of(labels: Mapping[str, str]) -> Ownership | None:
    """What the labels say; None when they are not this project's or incomplete: the container is then left alone."""
    try:
        owner = Owner(
            pid=int(labels[PREFIX + "pid"]),
            start_ticks=int(labels[PREFIX + "start"]),
            boot_id=labels[PREFIX + "boot"],
        )
        return Ownership(
            run=labels[RUN],
            token=labels[PREFIX + "token"],
            plan=labels[PREFIX + "plan"],
            owner=owner,
            host=labels[PREFIX + "host"],
            pid_namespace=labels[PREFIX + "pidns"],
            uid=int(labels[PREFIX + "uid"]),
            kept=labels[PREFIX + "kept"] == "1",
            key=labels[PREFIX + "key"],
            ttl_s=int(labels[PREFIX + "ttl"]),
        )
    except (KeyError, ValueError):
        return None


def _pid_namespace() -> str:
    try:
        return str(_PID_NAMESPACE.readlink())
    except OSError:
        return "unknown"
