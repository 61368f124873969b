"""Which suites a changed file asks for: the rules in `changes.toml`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.records import Suite
from ci.catalog.toml_reader import Row, Tables, closest
from ci.errors import Problem

__all__ = ["SELECTS", "ChangeRule", "ChangeRules", "check_changes", "load_changes"]

_FILE = "changes.toml"
SELECTS = ("nothing", "everything", "default", "suites", "registered", "rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule:
    """Files of one kind and what a change of one selects.

    `selects`: nothing, everything, default (suites without `when`), suites (those named), registered (the file is a
    test), rows (the file is a table whose rows are compared).
    """

    id: str
    tree: str
    paths: tuple[str, ...]
    but: tuple[str, ...]
    selects: str
    suites: tuple[str, ...]
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRules:
    """`changes.toml`; with `shadow` the rules leave nothing out and only say what they would have."""

    rules: tuple[ChangeRule, ...]
    shadow: bool

    def of_tree(self, tree: str) -> tuple[ChangeRule, ...]:
        """The rules for this repository's files (`own`) or for those of an SGLang checkout (`sglang`)."""
        return tuple(rule for rule in self.rules if rule.tree == tree)


def load_changes(
    problems: list[Problem], folder: Path = Path(__file__).parent, *, trees: Collection[str] = ()
) -> ChangeRules:
    """Read and check `changes.toml`; what is wrong is added to `problems`."""
    tables = Tables(folder / _FILE, problems, arrays=("rule", "shadow"))
    rows = tables.rows("rule")
    tables.unique(rows)
    switches = tables.rows("shadow")
    if len(switches) != 1:
        tables.problem(
            "shadow", f"{len(switches)} rows", "one [[shadow]] row says whether the rules are trusted"
        )
    shadows = [_shadow(row) for row in switches]
    return ChangeRules(rules=tuple(_rule(row, trees) for row in rows), shadow=any(shadows))


def _rule(row: Row, trees: Collection[str]) -> ChangeRule:
    rule = ChangeRule(
        id=row.text("id"),
        tree=row.text("tree", among=trees),
        paths=row.texts("paths"),
        but=row.texts("but", []),
        selects=row.text("selects", among=SELECTS),
        suites=row.texts("suites", []),
        why=row.text("why"),
        source=row.text("source"),
    )
    if (rule.selects == "suites") != bool(rule.suites):
        row.problem(
            "suites",
            f"does not fit selects = {rule.selects!r}",
            'selects = "suites" names some, no other does',
        )
    for path in (*rule.paths, *rule.but):
        if path.startswith(("/", "./", "!")) or any(part in ("", ".", "..") for part in path.split("/")):
            row.problem("paths", f"{path!r} is no pattern", "relative to the tree's top folder, with slashes")
    row.done()
    return rule


def _shadow(row: Row) -> bool:
    on = row.flag("on")
    for key in ("id", "why", "source"):
        row.text(key)
    row.done()
    return on


def check_changes(rules: ChangeRules, suites: Sequence[Suite], problems: list[Problem]) -> None:
    """Rules name suites that exist, and a suite that only some changes start is named by one."""
    names = [suite.name for suite in suites]
    for rule in rules.rules:
        for name in rule.suites:
            if name not in names:
                where = f"catalog/{_FILE}: rule[{rule.id}].suites"
                problems.append(
                    Problem(where=where, what=f"there is no suite {name!r}", hint=closest(name, names))
                )
    named = {name for rule in rules.rules for name in rule.suites}
    for suite in suites:
        if suite.when and suite.name not in named:
            where = f"catalog/stages.toml: suite[{suite.id}].when"
            what = f"is {suite.when!r}, and no rule of {_FILE} says which files that means"
            problems.append(
                Problem(where=where, what=what, hint=f'name {suite.name!r} in a rule of selects = "suites"')
            )
