"""The models that tests name, and what takes their place in a rehearsal: the rows of `models.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci.catalog.columns import Count, Row, Text
from ci.catalog.decode import Reader

__all__ = ["Model", "Sizes", "StandIn", "load_models"]

# What an evaluation or a bench takes in rehearsal instead of what its test asks for, by its kind.
Sizes = Mapping[str, Mapping[str, int | float | tuple[int, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn(Row):
    """The small model that takes a model's place in rehearsal, and the sizes that it can bear; `name` is as people know it."""

    id: Text
    name: Text
    package: Text
    file: Text
    slots: Count
    context: Count
    threads: Count
    sizes: Sizes = field(default_factory=dict)
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Row):
    """A model as tests name it; `stand_in` is the id of what takes its place in rehearsal."""

    id: Text
    stand_in: Text = ""
    source: Text


def load_models(reader: Reader) -> tuple[Mapping[str, Model], Mapping[str, StandIn]]:
    """Read models.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("models.toml", "model", "stand_in")
    stand_ins = {row.id: row for row in file.rows("stand_in", StandIn)}
    models = {row.id: row for row in file.rows("model", Model)}
    file.refer("model", "stand_in", "stand-in", stand_ins)
    return models, stand_ins
