"""What a shell script gives a variable, as far as the script alone says it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

__all__ = ["Assigned", "Scope", "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Text that a script assigns; `known` is false when it depends on more than the script.

    `caller` names the variables of the caller that would change it.
    """

    text: str
    known: bool = True
    caller: tuple[str, ...] = ()

    def __add__(self, other: "Value") -> "Value":
        return Value(
            text=self.text + other.text,
            known=self.known and other.known,
            caller=tuple(dict.fromkeys((*self.caller, *other.caller))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """What a variable may be where the script ends, with the line of the last assignment.

    Several `values`, or `maybe_unset`: it depends on a condition.
    """

    values: tuple[Value, ...]
    line: int
    maybe_unset: bool = False

    @property
    def text(self) -> str:
        """The value, or in words what it may be."""
        words = [value.text if value.known else f"{value.text} (known when it runs)" for value in self.values]
        words = list(dict.fromkeys(words))
        if self.maybe_unset:
            words.append("not set")
        return " or ".join(words)

    @property
    def why(self) -> str:
        """What else decides it."""
        parts = ["under a condition"] if len(self.values) > 1 or self.maybe_unset else []
        caller = dict.fromkeys(name for value in self.values for name in value.caller)
        parts += [f"unless the caller sets {', '.join(caller)}"] if caller else []
        return "; ".join(parts)


@dataclass(slots=True, kw_only=True)
class Scope:
    """A script's variables while it is read."""

    variables: dict[str, Assigned] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    given: dict[str, Assigned] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    export_all: bool = False

    def assign(self, name: str, value: Value, line: int, *, maybe: bool) -> None:
        """An assignment of the shell."""
        self.variables[name] = self._added(self.variables.get(name), value, line, maybe=maybe)
        if self.export_all:
            self.exported.add(name)

    def give(self, name: str, value: Value, line: int, *, maybe: bool) -> None:
        """A variable of one command or container alone."""
        self.given[name] = self._added(self.given.get(name), value, line, maybe=maybe)

    def unset(self, name: str, *, maybe: bool) -> None:
        """`unset NAME`."""
        before = self.variables.get(name)
        if before is None:
            return
        if maybe:
            self.variables[name] = replace(before, maybe_unset=True)
        else:
            del self.variables[name]

    @staticmethod
    def _added(before: Assigned | None, value: Value, line: int, *, maybe: bool) -> Assigned:
        if not maybe:
            return Assigned(values=(value,), line=line)
        if before is None:
            return Assigned(values=(value,), line=line, maybe_unset=True)
        return replace(before, values=tuple(dict.fromkeys((*before.values, value))), line=line)

    def environment(self) -> Iterator[tuple[str, Assigned]]:
        """What a program that the script starts gets, by name: what a command is given comes before what is exported."""
        found = {name: self.variables[name] for name in self.exported if name in self.variables}
        yield from sorted({**found, **self.given}.items())
