"""Changed files -> suites and tests, each with the file and the rule that selected it."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci.catalog.catalog import Catalog
from ci.catalog.change_rules import ChangeRule, Selects
from ci.catalog.registrations.parse import Discovery
from ci.catalog.stages import Suite
from ci.plan.capabilities import asked_for
from ci.system.codec import canonical

__all__ = [
    "ChangedFile",
    "Changes",
    "Choice",
    "Reason",
    "RowChange",
    "Selection",
    "changed_rows",
    "everything",
    "fits",
    "select_changed",
]

UNMAPPED = "unmapped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A row that is new, gone or different: the name of its table and one of its states."""

    table: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """A path that differs from the base, as found by ci/facts.

    `registered`: it is, or was before it was deleted, a test with registrations that can be read. `rows` are the rows that
    differ, None for a file that is not a table or cannot be compared; `rows_problem` then gives the reason.
    """

    path: str
    deleted: bool = False
    registered: bool = False
    rows: tuple[RowChange, ...] | None = None
    rows_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has changed in a tree (`own` or `sglang`) since a base; `unknown` says why that could not be found out.

    `model_users` are the tests that name a model, by its id; only needed when models.toml has changed. `uncommitted`
    files differ from HEAD and are not looked at.
    """

    tree: str
    base: str
    files: tuple[ChangedFile, ...]
    unknown: str = ""
    uncommitted: int = 0
    model_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a suite runs: the changed file (empty for a full run), the rule's id, and the rule's or row's own words."""

    file: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A suite that is selected; `tests` are the only selected ones, None for all of it."""

    suite: str
    tests: frozenset[str] | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The suites that are selected, by name, and files that select nothing with the rule that says so."""

    choices: Mapping[str, Choice]
    nothing: tuple[Reason, ...]


def everything(suites: Iterable[Suite], why: Reason) -> Selection:
    """All of these suites, for one reason."""
    return Selection(
        choices={suite.name: Choice(suite=suite.name, tests=None, reasons=(why,)) for suite in suites},
        nothing=(),
    )


def select_changed(catalog: Catalog, tests: Discovery, changes: Changes) -> Selection:
    """Apply the rules of the tree to each file; an unknown base or an unmapped file selects everything."""
    collector = _Collector(catalog, tests)
    if changes.unknown:
        collector.all(Reason(file="", rule="unknown-base", why=changes.unknown))
    for file in changes.files:
        _apply(collector, changes, file)
    return collector.selection()


def _apply(collector: "_Collector", changes: Changes, file: ChangedFile) -> None:
    rules = [rule for rule in collector.catalog.changes.of_tree(changes.tree) if _rule_fits(rule, file.path)]
    by_kind = {
        kind: [rule for rule in rules if rule.selects == kind] for kind in {rule.selects for rule in rules}
    }
    if Selects.NOTHING in by_kind:
        collector.none(_reason(file, by_kind[Selects.NOTHING][0]))
    elif Selects.REGISTERED in by_kind and file.registered:
        collector.itself(file, by_kind[Selects.REGISTERED][0])
    elif Selects.ROWS in by_kind and file.rows is not None:
        collector.rows(file, by_kind[Selects.ROWS][0], changes.model_users)
    else:
        folders = [
            rule for rule in rules if rule.selects in (Selects.EVERYTHING, Selects.DEFAULT, Selects.SUITES)
        ]
        for rule in folders:
            collector.folder(file, rule)
        if not folders:
            why = "no rule says what it touches, so it may touch everything"
            if Selects.ROWS in by_kind:
                why = f"its rows cannot be compared: {file.rows_problem}"
            elif Selects.REGISTERED in by_kind:
                why = "no registered test, so any test beside it may use it"
            collector.all(Reason(file=file.path, rule=UNMAPPED, why=why))


def _reason(file: ChangedFile, rule: ChangeRule, why: str = "") -> Reason:
    return Reason(file=file.path, rule=rule.id, why=why or rule.why)


class _Collector:
    """Choices while they are made: a suite once selected whole stays whole, single tests add up."""

    def __init__(self, catalog: Catalog, tests: Discovery) -> None:
        self.catalog = catalog
        self._tests = tests
        self._chosen: dict[str, set[str] | None] = {}
        self._reasons: dict[str, list[Reason]] = {}
        self._nothing: list[Reason] = []

    def selection(self) -> Selection:
        """What was chosen, suites in the catalog's order."""
        choices = {}
        for suite in self.catalog.suites:
            if suite.name in self._chosen:
                only = self._chosen[suite.name]
                choices[suite.name] = Choice(
                    suite=suite.name,
                    tests=None if only is None else frozenset(only),
                    reasons=tuple(dict.fromkeys(self._reasons[suite.name])),
                )
        return Selection(choices=choices, nothing=tuple(dict.fromkeys(self._nothing)))

    def none(self, why: Reason) -> None:
        """A file that selects nothing."""
        self._nothing.append(why)

    def all(self, why: Reason) -> None:
        """Every suite."""
        self._whole(self.catalog.suites, why)

    def folder(self, file: ChangedFile, rule: ChangeRule) -> None:
        """What a rule selects that depends on the file's folder alone."""
        suites = {
            "everything": self.catalog.suites,
            "default": [suite for suite in self.catalog.suites if not suite.when],
            "suites": [suite for suite in self.catalog.suites if suite.name in rule.suites],
        }[rule.selects]
        self._whole(suites, _reason(file, rule))

    def itself(self, file: ChangedFile, rule: ChangeRule) -> None:
        """A registered test: itself in each of its suites; one that was deleted leaves nothing to run."""
        if file.deleted:
            self.none(_reason(file, rule, "a registered test that was deleted: nothing of it is left to run"))
        elif not self._single([file.path], _reason(file, rule)):
            self.none(_reason(file, rule, "its registrations are of no suite here, or are disabled"))

    def rows(self, file: ChangedFile, rule: ChangeRule, model_users: Mapping[str, tuple[str, ...]]) -> None:
        """What uses the rows that differ."""
        if not file.rows:
            self.none(_reason(file, rule, "no row of it has changed, only its layout or comments"))
        for change in file.rows or ():
            name = _row_name(change)
            users = _users(self.catalog, self._tests, file.path, change, model_users)
            why = _reason(file, rule, f"{name}: {rule.why}")
            if users is None:
                self.all(_reason(file, rule, f"{name} concerns every run"))
                continue
            suites, tests = users
            self._whole(suites, why)
            if not self._single(tests, why) and not suites:
                self.none(_reason(file, rule, f"{name}: nothing that runs uses it"))

    def _whole(self, suites: Iterable[Suite], why: Reason) -> None:
        for suite in suites:
            self._chosen[suite.name] = None
            self._reasons.setdefault(suite.name, []).append(why)

    def _single(self, files: Iterable[str], why: Reason) -> bool:
        """Select single tests in all their suites; false when none of them has one."""
        wanted = set(files)
        found = False
        for suite in self.catalog.suites:
            here = {row.file for row in self._tests.registrations if _runs(row, suite)} | set(suite.files)
            if not here & wanted:
                continue
            found = True
            only = self._chosen.setdefault(suite.name, set())
            if only is not None:
                only |= here & wanted
            self._reasons.setdefault(suite.name, []).append(why)
        return found


def _runs(row: Any, suite: Suite) -> bool:
    """Whether a registration puts its file into a suite."""
    return bool(
        row.backend == "amd"
        and row.suite == suite.name
        and row.disabled is None
        and row.nightly == suite.nightly
    )


# --- rows -------------------------------------------------------------------------------------------------------------


def changed_rows(before: str, after: str) -> tuple[RowChange, ...]:
    """Rows that are in only one of two states of a TOML file, each state of a changed row on its own.

    A top-level table that is not an array counts as one row, named by the table.

    Raises:
        ValueError: one of them is not TOML.
    """
    old, new = _rows(tomllib.loads(before)), _rows(tomllib.loads(after))
    return tuple(change for key, change in {**old, **new}.items() if key not in old or key not in new)


def _rows(data: Mapping[str, Any]) -> dict[str, RowChange]:
    """Rows by their content: the order of a file says nothing."""
    found = {}
    for table, value in data.items():
        for row in value if isinstance(value, list) else [value]:
            content = row if isinstance(row, Mapping) else {"value": row}
            found[canonical([table, _plain(content)])] = RowChange(table=table, row=content)
    return found


def _plain(value: Any) -> Any:
    """TOML's dates as text, so that a row can be compared as JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _row_name(change: RowChange) -> str:
    """`bound[test/registered/x.py]`, as messages of the catalog name rows."""
    name = next((str(change.row[key]) for key in ("id", "test", "verdict") if key in change.row), "")
    return f"{change.table}[{name}]" if name else change.table


_Users = tuple[Sequence[Suite], Sequence[str]]


def _users(
    catalog: Catalog,
    tests: Discovery,
    path: str,
    change: RowChange,
    model_users: Mapping[str, tuple[str, ...]],
) -> _Users | None:
    """The suites that a row concerns as a whole and the tests that it concerns singly; None: every run."""
    row, name = change.row, path.rpartition("/")[2]
    if path.startswith("envs/"):
        return _set_users(catalog, f"{name.removesuffix('.toml')}.{change.table}")
    match name.removesuffix(".toml"), change.table:
        case "bounds", "bound":
            return (), _texts(row.get("test"))
        case "quarantine", "quarantine":
            return (), [test.partition("::")[0] for test in _texts(row.get("test"))]
        case "environment", "test_env":
            return (), _texts(row.get("test"))
        case "capabilities", "capability":
            asked = asked_for(tests, sorted(tests.requirements))
            return (), asked.get(str(row.get("id")), ())
        case "models", "model":
            return (), model_users.get(str(row.get("id")), ())
        case "models", "stand_in":
            ids = [model.id for model in catalog.models.values() if model.stand_in == row.get("id")]
            return (), [test for model in ids for test in model_users.get(model, ())]
        case "stages", "suite":
            return [suite for suite in catalog.suites if suite.name == row.get("name")], ()
        case "stages", "stage":
            return [suite for suite in catalog.suites if suite.stage == row.get("id")], ()
        case "stages", "preflight":
            return [suite for suite in catalog.suites if suite.preflight == row.get("id")], ()
        case "stages", "retry":
            in_any = row.get("attempts", 0)
            return [suite for suite in catalog.suites if in_any or suite.attempts > 1], ()
    return None


def _set_users(catalog: Catalog, set_id: str) -> _Users:
    """Suites that get an env set by their stage, by a layer or themselves, and tests that name it."""
    stages = {stage.id for stage in catalog.stages if set_id in stage.env_sets}
    layers = [layer for layer in catalog.env_layers if set_id in layer.sets]
    suites = [
        suite
        for suite in catalog.suites
        if set_id in suite.env_sets
        or suite.stage in stages
        or any(layer.family in ("", suite.family) for layer in layers)
    ]
    return suites, [row.test for row in catalog.test_envs if set_id in row.sets]


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


# --- paths ------------------------------------------------------------------------------------------------------------


def _rule_fits(rule: ChangeRule, path: str) -> bool:
    return any(fits(pattern, path) for pattern in rule.paths) and not any(
        fits(pattern, path) for pattern in rule.but
    )


def fits(pattern: str, path: str) -> bool:
    """Whether a path fits: `*` is any part of one name, `**` any number of whole names."""
    return re.fullmatch("".join(_pieces(pattern)), path, re.DOTALL) is not None


def _pieces(pattern: str) -> Iterator[str]:
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            yield ".+" if last else "(?:[^/]+/)*"
            continue
        yield "[^/]*".join(re.escape(piece) for piece in part.split("*"))
        yield "" if last else "/"
