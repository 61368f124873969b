"""The servers behind a test, each in its role, as the agent started them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.client import Client
from harness.errors import SpecError
from harness.spec import current

__all__ = ["Peer", "peers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A role's server: its address, its ports by name, the client that speaks to it on its port `http`."""

    role: str
    host: str
    ports: Mapping[str, int]
    client: Client

    def metric(self, name: str) -> float:
        """The sum of a counter in Prometheus' text at /metrics, whatever engine's prefix it has; 0 while it is not there."""
        found = re.findall(rf"^\w+:{name}(?:{{[^}}]*}})? (\S+)$", self.client.get("/metrics"), re.MULTILINE)
        return sum(map(float, found))


def peers(model: str) -> Mapping[str, Peer]:
    """The roles by name; requests name `model`. Raises `SpecError` when this test's suite has none."""
    text = os.environ.get("AMD_CI_ROLES", "")
    if not text:
        raise SpecError(
            "AMD_CI_ROLES is not set: no server runs in a role behind this test",
            cause="its suite has no rows in ci/catalog/roles.toml",
        )
    return {
        role: Peer(
            role=role,
            host=row["host"],
            ports=row["ports"],
            client=Client(
                host=row["host"], port=row["ports"]["http"], model=model, timeout_s=current().limits.request_s
            ),
        )
        for role, row in json.loads(text).items()
    }
