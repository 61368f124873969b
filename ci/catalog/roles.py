"""The servers that a suite is served by, each in its role, perhaps on several nodes: the rows of `roles.toml`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from ci.catalog.columns import Count, Positive, Sourced, Text, Whole, matching, within
from ci.catalog.decode import Reader
from ci.catalog.stages import Suite

__all__ = ["Role", "RoleKind", "RoleRow", "Serves", "load_roles"]


class Serves(StrEnum):
    """What runs in a role."""

    # the engine's own server, with a model
    ENGINE = "engine"
    # SGLang's router
    ROUTER = "router"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKind:
    """What follows from a role: it is started when all roles of a lower `order` are ready."""

    order: int
    serves: Serves


class Role(StrEnum):
    """The roles of disaggregated serving; `kind` is the row of each."""

    PREFILL = "prefill"
    DECODE = "decode"
    ROUTER = "router"

    @property
    def kind(self) -> RoleKind:
        return _KINDS[self]


_KINDS: Final[Mapping[Role, RoleKind]] = {
    Role.PREFILL: RoleKind(order=1, serves=Serves.ENGINE),
    Role.DECODE: RoleKind(order=1, serves=Serves.ENGINE),
    Role.ROUTER: RoleKind(order=2, serves=Serves.ROUTER),
}

# the port that a role is asked on; every role has it
HTTP: Final = "http"
# the field of an argument that is a role's address; the others are its ports
_ADDRESS: Final = "host"
# `{host}`, `{http}`, `{prefill.host}`, `{prefill.bootstrap}`
_FIELD: Final = re.compile(r"\{(?:(?P<role>[a-z]+)\.)?(?P<name>[a-z]+)\}")

_PortName = Annotated[str, matching(r"[a-z]+", "lower case letters, e.g. http")]
_Port = Annotated[int, within(1024, 32767)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRow(Sourced):
    """One role of a suite.

    `node` is which of the run's nodes it is on, counted from 1; where a run has fewer it is on the last of them. `args` are
    SGLang's: a stand-in ignores those of an engine's role. In them `{host}` and `{NAME}` are the role's own address and port,
    `{ROLE.host}` and `{ROLE.NAME}` another's. It is ready when `GET ready` answers 200 on its port `http`, `ready_s` after its start at
    the latest; without it the engine's `launch_s` counts.
    """

    KEY: ClassVar[str] = "role"
    REPEATS: ClassVar[bool] = True

    suite: Text
    role: Role
    node: Count = 1
    gpus: Whole = 0
    model: str = ""
    ports: Mapping[_PortName, _Port]
    args: tuple[Text, ...] = ()
    ready: Annotated[str, matching(r"/\S*", "a path, e.g. /health")]
    ready_s: Positive | None = None


def load_roles(reader: Reader, suites: Sequence[Suite], models: Mapping[str, Any]) -> tuple[RoleRow, ...]:
    """Read roles.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("roles.toml", "role")
    rows = file.rows("role", RoleRow)
    by_name = {suite.name: suite for suite in suites}
    file.refer("role", "suite", "suite", by_name)
    for suite in dict.fromkeys(row.suite for row in rows):
        own = [row for row in rows if row.suite == suite]
        used: dict[int, RoleRow] = {}
        for row in own:
            if row is not (first := next(each for each in own if each.role is row.role)):
                reader.problem(
                    row, "role", f"{row.role} appears twice in {suite}", f"first in {reader.line(first)}"
                )
            for name, port in row.ports.items():
                taken = used.setdefault(port, row)
                if taken is not row or list(row.ports.values()).count(port) > 1:
                    reader.problem(
                        row,
                        "ports",
                        f"{port} ({name}) is also a port of {taken.role}",
                        "all roles may be on one machine",
                    )
            for key, what, hint in _faults(row, own, models):
                reader.problem(row, key, what, hint)
        if suite in by_name and (gpus := sum(row.gpus for row in own)) > by_name[suite].gpus:
            what = f"the roles of {suite} have {gpus} GPUs, the suite {by_name[suite].gpus}"
            reader.problem(own[0], "gpus", what, "all roles may be on one machine")
    return rows


def _faults(
    row: RoleRow, others: Sequence[RoleRow], models: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Key, fault and hint of what is wrong with a row beside those of its suite."""
    if HTTP not in row.ports:
        yield "ports", "has no http", "the port on which the role is asked, e.g. ports = { http = 25800 }"
    if row.role.kind.serves is Serves.ENGINE and row.model not in models:
        yield "model", f"unknown model {row.model!r}", "name one of models.toml"
    known = {each.role.value: each for each in others}
    for argument in row.args:
        for found in _FIELD.finditer(argument):
            other = known.get(found["role"] or row.role.value)
            ports = other.ports if other is not None else {}
            if other is None or found["name"] not in {*ports, _ADDRESS}:
                what = f"{found[0]} is neither the address nor a port of a role of this suite"
                yield "args", what, f"ports of {found['role'] or row.role}: {', '.join(ports) or 'none'}"
            elif other is not row and other.role.kind.order >= row.role.kind.order:
                what = f"{found[0]} is not known when {row.role} starts"
                yield "args", what, "a role is given the addresses of those that are ready before it"
