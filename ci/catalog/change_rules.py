"""Which suites a changed file asks for: the rules in `changes.toml`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from ci.catalog.columns import Sourced, Text, fitting
from ci.catalog.decode import Reader
from ci.catalog.stages import Suite

__all__ = ["ChangeRule", "ChangeRules", "Selects", "check_changes", "load_changes"]

_FILE = "changes.toml"


def _is_pattern(text: str) -> bool:
    return not text.startswith("!") and all(part not in ("", ".", "..") for part in text.split("/"))


_Pattern = Annotated[str, fitting(_is_pattern, "relative to the tree's top folder, e.g. test/registered/**")]


class Selects(StrEnum):
    """What a change of a file selects."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    # suites without `when`
    DEFAULT = "default"
    # those that the rule names
    SUITES = "suites"
    # the file is a registered test
    REGISTERED = "registered"
    # the file is a table whose rows are compared
    ROWS = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule(Sourced):
    """Files of one kind, except those of `but`, and what a change of one selects."""

    id: Text
    tree: Text
    paths: tuple[_Pattern, ...]
    but: tuple[_Pattern, ...] = ()
    selects: Selects
    suites: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shadow(Sourced):
    id: Text
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRules:
    """`changes.toml`; with `shadow` the rules leave nothing out and only say what they would have."""

    rules: tuple[ChangeRule, ...]
    shadow: bool

    def of_tree(self, tree: str) -> tuple[ChangeRule, ...]:
        """The rules for this repository's files (`own`) or for those of an SGLang checkout (`sglang`)."""
        return tuple(rule for rule in self.rules if rule.tree == tree)


def load_changes(reader: Reader, *, trees: Collection[str]) -> ChangeRules:
    """Read changes.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open(_FILE, "rule", "shadow")
    rules = file.rows("rule", ChangeRule)
    file.refer("rule", "tree", "tree", trees)
    for rule in rules:
        if (rule.selects == Selects.SUITES) != bool(rule.suites):
            what = f"does not fit selects = {rule.selects.value!r}"
            reader.problem(rule, "suites", what, 'a rule of selects = "suites" names some, no other does')
    return ChangeRules(rules=rules, shadow=bool(file.row("shadow", _Shadow).on))


def check_changes(reader: Reader, rules: ChangeRules, suites: Sequence[Suite]) -> None:
    """Rules name suites that exist, and a suite that only some changes start is named by one."""
    reader.opened(_FILE).refer("rule", "suites", "suite", [suite.name for suite in suites])
    named = {name for rule in rules.rules for name in rule.suites}
    for suite in suites:
        if suite.when and suite.name not in named:
            what = f"is {suite.when!r}, and no rule of {_FILE} says which files that means"
            hint = f'name {suite.name!r} in a rule of selects = "suites"'
            reader.problem(suite, "when", what, hint)
