"""What no installation may change unannounced, and what has to be importable: the rows of `guards.toml`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ci.catalog.columns import Sourced, Text, matching
from ci.catalog.decode import Reader

__all__ = ["Guards", "Probe", "Protected", "Start", "load_guards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected(Sourced):
    """A distribution that is fingerprinted before and after every step; `module` is what it is imported as."""

    KEY: ClassVar[str] = "distribution"

    distribution: Annotated[str, matching(r"[a-z0-9]+(-[a-z0-9]+)*", "a normalised name, e.g. flash-attn")]
    module: Annotated[str, matching(r"[A-Za-z_]\w*", "a module's name, e.g. flash_attn")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Sourced):
    """A working directory from which servers and tests start: Python looks for packages there first."""

    KEY: ClassVar[str] = "cwd"

    cwd: Annotated[str, matching(r"/.*", "an absolute path, e.g. /sgl-workspace")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Sourced):
    """A dotted name that has to be importable from every start directory.

    Where its distribution is not installed that is a violation for the flavours of `required_in`, else nothing to probe.
    """

    KEY: ClassVar[str] = "name"

    name: Annotated[str, matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "a dotted name, e.g. aiter.ops.shuffle")]
    distribution: Text
    required_in: tuple[Text, ...] = ()
    fix: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The whole file."""

    protected: tuple[Protected, ...]
    starts: tuple[Start, ...]
    probes: tuple[Probe, ...]


def load_guards(reader: Reader, *, flavours: Collection[str]) -> Guards:
    """Read guards.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("guards.toml", "protected", "start", "probe")
    guards = Guards(
        protected=file.rows("protected", Protected),
        starts=file.rows("start", Start),
        probes=file.rows("probe", Probe),
    )
    names = {row.distribution for row in guards.protected}
    file.refer("probe", "distribution", "protected distribution", names)
    file.refer("probe", "required_in", "flavour", flavours)
    return guards
