"""The inference servers under test, and what each can do on which hardware: the rows of `engines.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ci.catalog.columns import Explained, Positive, Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.hardware import HardwareCatalog

__all__ = ["Engine", "Service", "load_engines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineRow(Explained):
    id: Text
    package: Text
    also: tuple[Text, ...] = ()
    kernels_from: tuple[Text, ...] = ()
    built_in: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Sourced):
    """What an engine can do on some hardware classes, and what its server needs there.

    `features` are the names in `needs` of tests. `args` are given to every server, `env_sets` to every test. `launch_s`
    is how long a server may take until it is ready unless the test says more, `stop_s` how long it may take to end after
    SIGTERM. `default`: this engine is taken when none is named. `made_here`: the engine's environment is made by us.
    """

    KEY: ClassVar[str] = "engine"
    REPEATS: ClassVar[bool] = True

    engine: Text
    hardware: tuple[Text, ...]
    default: bool = False
    made_here: bool = False
    launch_s: Positive
    stop_s: Positive
    features: tuple[Text, ...]
    args: tuple[Text, ...] = ()
    env_sets: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An inference server: the Python package that holds it, others whose files decide what it computes, and its service
    by hardware class. `kernels_from` are packages that decide on a GPU alone; `built_in` are folders of packages in which they
    build kernels while they run.
    """

    id: str
    package: str
    also: tuple[str, ...] = ()
    kernels_from: tuple[str, ...] = ()
    built_in: tuple[str, ...] = ()
    why: str
    services: Mapping[str, Service] = field(default_factory=dict)

    def serves(self, hardware_class: str) -> bool:
        """Whether it can be run on this hardware class."""
        return hardware_class in self.services

    @property
    def features(self) -> frozenset[str]:
        """What it can do anywhere."""
        return frozenset(feature for service in self.services.values() for feature in service.features)


def load_engines(reader: Reader, hardware: HardwareCatalog) -> Mapping[str, Engine]:
    """Read engines.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("engines.toml", "engine", "service")
    rows = file.rows("engine", _EngineRow)
    services = file.rows("service", Service)
    file.refer("service", "engine", "engine", {row.id for row in rows})
    file.refer("service", "hardware", "hardware class", hardware.classes)
    found: dict[str, dict[str, Service]] = {row.id: {} for row in rows}
    for service in services:
        for hardware_class in dict.fromkeys(service.hardware):
            first = found.setdefault(service.engine, {}).setdefault(hardware_class, service)
            if first is not service:
                what = f"{service.engine} on {hardware_class} appears twice"
                reader.problem(service, "hardware", what, f"first in {reader.line(first)}")
    if file.complete("engine", "service"):
        for hardware_class in hardware.classes:
            defaults = [row.engine for row in services if row.default and hardware_class in row.hardware]
            if len(defaults) != 1:
                what = f"{len(defaults)} engines are the default for {hardware_class}: {', '.join(defaults) or 'none'}"
                file.problem("service", what, "write default = true in exactly one of its rows")
    return {
        row.id: Engine(
            id=row.id,
            package=row.package,
            also=row.also,
            kernels_from=row.kernels_from,
            built_in=row.built_in,
            why=row.why,
            services=found[row.id],
        )
        for row in rows
    }
