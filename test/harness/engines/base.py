"""What a server start needs to know, and what an engine makes of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.spec import Model

__all__ = ["Command", "Start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One server to be: `alias` is the name that it has to show in /v1/models; `slots` and `context` are for stand-ins.

    `embeddings` is whether it has to answer /v1/embeddings, `host` the address that it listens on, `parent` the process that it ends with.
    """

    model: Model
    alias: str
    port: int
    args: tuple[str, ...]
    embeddings: bool
    slots: int | None
    context: int | None
    host: str = "127.0.0.1"
    parent: int = field(default_factory=os.getpid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start it. `slots` is how many requests it serves at once, None when it sees to that by itself.

    `under_test` is false for a stand-in: its death says nothing about the product. `env` yields to what a test sets.
    `generates` is false for a server that a completion would end. `when_killed` explains an end by SIGKILL.
    `shared_memory` are the names that a killed server leaves in /dev/shm, `{pid}` in them is its process.
    """

    argv: tuple[str, ...]
    health_path: str
    under_test: bool
    slots: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    request_defaults: Mapping[str, Any] = field(default_factory=dict)
    generates: bool = True
    when_killed: str = ""
    shared_memory: tuple[str, ...] = ()
