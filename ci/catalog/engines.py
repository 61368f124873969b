"""The inference servers under test: the rows of `engines.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass

from ci.catalog.columns import Positive, Sourced, Text
from ci.catalog.decode import Reader
from ci.catalog.hardware import HardwareCatalog

__all__ = ["Engine", "load_engines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Sourced):
    """An inference server: the Python package that holds it, what it can do, the hardware it is the default for.

    `launch_s` is how long a server may take until it is ready, unless the test says more.
    """

    id: Text
    package: Text
    features: tuple[Text, ...]
    default_for: tuple[Text, ...]
    launch_s: Positive


def load_engines(reader: Reader, hardware: HardwareCatalog) -> Mapping[str, Engine]:
    """Read engines.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("engines.toml", "engine")
    rows = file.rows("engine", Engine)
    file.refer("engine", "default_for", "hardware class", hardware.classes)
    if file.complete("engine"):
        for hardware_class in hardware.classes:
            defaults = [row.id for row in rows if hardware_class in row.default_for]
            if len(defaults) != 1:
                what = f"{len(defaults)} engines are the default for {hardware_class}: {', '.join(defaults) or 'none'}"
                file.problem("engine", what, "name it in default_for of exactly one row")
    return {row.id: row for row in rows}
