"""Dependencies in the container: what is installed, in which order and why, the rows of `dependencies.toml`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = [
    "ALWAYS",
    "PLACEHOLDER",
    "Choice",
    "Dependencies",
    "Flavour",
    "Installer",
    "Pin",
    "StepRow",
    "load_dependencies",
]

# In `again_after`: after every step that ran.
ALWAYS = "*"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

_ID = r"[a-z0-9][a-z0-9-]*"
_NAME = r"[a-z][a-z0-9_]*"
_VARIABLE = r"[A-Z][A-Z0-9_]*"
# What ci.plan.container.install fills in beside `pin_<id>` and `repository_<id>`.
_VALUES = ("python", "checkout", "gfx", "extras", "aiter_commit", "torch_lib")
_ARRAYS = (
    "flavour", "target", "pin", "choice", "repository", "installer", "alternative_index", "override", "step",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """A line of images.

    `stage_suffix` follows the GPU target in the name of the Dockerfile stage that built it. An image without a stamp is of the
    first flavour of which it has one of `signs` (variables that are set) or whose `hip` its HIP version begins with. In
    one where `sglang` is false nothing of SGLang is installed.
    """

    id: str
    sglang: bool
    stage_suffix: str
    extras: tuple[str, ...]
    signs: tuple[str, ...]
    hip: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A value that a file of the checkout assigns to the first of `names` that it has.

    With `per_stage` it is the one of the Dockerfile stage that built the image.
    """

    id: str
    file: str
    names: tuple[str, ...]
    per_stage: bool
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A folder of the checkout that has moved: the first of `among` that holds the file `holds`."""

    id: str
    among: tuple[str, ...]
    holds: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """A program that installs packages; the first row whose `program` the image has is used (empty: always there).

    `install` and `uninstall` are the beginnings of its commands. The other values are names of variables that it reads: its
    cache folder, its package index, its file of constraints; `cache` is the folder, used when it is there.
    """

    id: str
    program: str
    install: tuple[str, ...]
    uninstall: tuple[str, ...]
    cache: str
    cache_variable: str
    index_variable: str
    constraint_variable: str
    why: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of the installation, in the order of the file.

    `commands` are argv lists with placeholders, run one after the other; a failed one makes the step begin again from its
    first. `files` are written before them. `needs_*` say when the step is taken at all. `announces` are the distributions
    that it may change: any other change of a protected one is a violation. It is run again when its inputs changed, or after
    a step of `again_after` ran. `once` is for what fails the same way when it is tried again. A failed `optional` step is a
    warning; a failed `product` step is the code's fault.
    """

    id: str
    text: str
    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, str]
    cwd: str
    env: Mapping[str, str]
    needs_checkout: bool
    needs_file: str
    needs_pin: str
    needs_dir: str
    needs_aiter_rebuild: bool
    needs_absent_program: str
    flavours: tuple[str, ...]
    announces: tuple[str, ...]
    again_after: tuple[str, ...]
    once: bool
    optional: bool
    product: bool
    timeout_s: float
    era: str
    why: str
    source: str

    @property
    def placeholders(self) -> frozenset[str]:
        """The names in braces that have to be filled in."""
        texts = [self.cwd, *self.files, *self.files.values(), *self.env.values()]
        texts += [word for command in self.commands for word in command]
        return frozenset(name for text in texts for name in PLACEHOLDER.findall(text))

    @property
    def installs(self) -> bool:
        """Whether it calls an installer of packages."""
        return any(command[:1] in (("{install}",), ("{uninstall}",)) for command in self.commands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """The whole file. `alternative_index` and `overrides` name variables of the caller, never their values.

    Of an override's variables the first that is set and not empty holds.
    """

    flavours: Mapping[str, Flavour]
    targets: Mapping[str, str]
    pins: Mapping[str, Pin]
    choices: Mapping[str, Choice]
    repositories: Mapping[str, str]
    installers: tuple[Installer, ...]
    alternative_index: str
    overrides: Mapping[str, tuple[str, ...]]
    steps: tuple[StepRow, ...]


def load_dependencies(problems: list[Problem], folder: Path, *, families: Collection[str]) -> Dependencies:
    """Read and check `dependencies.toml`; every problem is added to `problems`."""
    tables = Tables(folder / "dependencies.toml", problems, arrays=_ARRAYS)
    flavours = {row.id: row for row in _flavours(tables)}
    targets = _texts(tables, "target", "family", "gfx", r"gfx[0-9a-f]+")
    if tables.rows("target"):
        for family in families:
            if family not in targets:
                tables.problem("target", f"no row for family {family!r}", "name its GPU target")
    pins = {row.id: row for row in _pins(tables)}
    choices = {row.id: row for row in _choices(tables)}
    repositories = _texts(tables, "repository", "id", "url", r"\S+")
    installers = _installers(tables)
    indexes = _texts(tables, "alternative_index", "id", "variable", _VARIABLE)
    if len(indexes) > 1:
        tables.problem("alternative_index", f"{len(indexes)} rows", "a retry takes one alternative")
    overrides = _overrides(tables)
    known = {*_VALUES, *choices, *(f"pin_{pin}" for pin in pins), *(f"repository_{name}" for name in repositories)}  # fmt: skip
    steps = _steps(tables, flavours, pins, known)
    return Dependencies(
        flavours=flavours,
        targets=targets,
        pins=pins,
        choices=choices,
        repositories=repositories,
        installers=installers,
        alternative_index=next(iter(indexes.values()), ""),
        overrides=overrides,
        steps=steps,
    )


def _flavours(tables: Tables) -> list[Flavour]:
    rows = tables.rows("flavour")
    tables.unique(rows)
    found = []
    for row in rows:
        found.append(
            Flavour(
                id=row.text("id", matches=_NAME),
                sglang=row.flag("sglang", default=True),
                stage_suffix=row.text("stage_suffix", ""),
                extras=row.texts("extras", []),
                signs=row.texts("signs", []),
                hip=row.text("hip", ""),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    return found


def _pins(tables: Tables) -> list[Pin]:
    rows = tables.rows("pin")
    tables.unique(rows)
    found = []
    for row in rows:
        found.append(
            Pin(
                id=row.text("id", matches=_NAME),
                file=row.text("file"),
                names=row.texts("names"),
                per_stage=row.flag("per_stage"),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    return found


def _choices(tables: Tables) -> list[Choice]:
    rows = tables.rows("choice")
    tables.unique(rows)
    found = []
    for row in rows:
        found.append(
            Choice(
                id=row.text("id", matches=_NAME),
                among=row.texts("among"),
                holds=row.text("holds"),
                why=row.text("why"),
                source=row.text("source"),
            )
        )
        row.done()
    return found


def _installers(tables: Tables) -> tuple[Installer, ...]:
    rows = tables.rows("installer")
    tables.unique(rows)
    found = []
    for row in rows:
        installer = Installer(
            id=row.text("id", matches=_ID),
            program=row.text("program", ""),
            install=row.texts("install"),
            uninstall=row.texts("uninstall"),
            cache=row.text("cache"),
            cache_variable=row.text("cache_variable", matches=_VARIABLE),
            index_variable=row.text("index_variable", matches=_VARIABLE),
            constraint_variable=row.text("constraint_variable", matches=_VARIABLE),
            why=row.text("why"),
            source=row.text("source"),
        )
        for key, words in (("install", installer.install), ("uninstall", installer.uninstall)):
            for name in (name for word in words for name in PLACEHOLDER.findall(word)):
                if name not in ("python", "program"):
                    row.problem(key, f"has {{{name}}}, which is not known", "known: python, program")
        row.done()
        found.append(installer)
    if not found or found[-1].program:
        tables.problem("installer", "the last row needs a program", "end with one that is always there")
    return tuple(found)


def _texts(tables: Tables, array: str, key: str, value: str, matches: str) -> Mapping[str, str]:
    """Rows that give one text for one key."""
    rows = tables.rows(array, key)
    tables.unique(rows, key)
    found = {}
    for row in rows:
        found[row.text(key, matches=_NAME)] = row.text(value, matches=matches)
        row.text("why")
        row.text("source")
        row.done()
    return found


def _overrides(tables: Tables) -> Mapping[str, tuple[str, ...]]:
    """The variables of each override, in the order in which they hold."""
    rows = tables.rows("override")
    tables.unique(rows)
    found = {}
    for row in rows:
        variables = row.texts("variables")
        for name in variables:
            if not re.fullmatch(_VARIABLE, name):
                row.problem("variables", f"{name!r} is no variable's name", "e.g. AITER_COMMIT_OVERRIDE")
        found[row.text("id", matches=_NAME)] = variables
        row.text("why")
        row.text("source")
        row.done()
    return found


def _steps(
    tables: Tables, flavours: Mapping[str, Flavour], pins: Mapping[str, Pin], known: Collection[str]
) -> tuple[StepRow, ...]:
    rows = tables.rows("step")
    tables.unique(rows)
    sglang = tuple(flavour.id for flavour in flavours.values() if flavour.sglang)
    found: list[StepRow] = []
    for row in rows:
        step = StepRow(
            id=row.text("id", matches=_ID),
            text=row.text("text"),
            commands=_commands(row),
            files=_strings(row, "files"),
            cwd=row.text("cwd", "/"),
            env=_strings(row, "env"),
            needs_checkout=row.flag("needs_checkout"),
            needs_file=row.text("needs_file", ""),
            needs_pin=row.text("needs_pin", "", among=pins),
            needs_dir=row.text("needs_dir", ""),
            needs_aiter_rebuild=row.flag("needs_aiter_rebuild"),
            needs_absent_program=row.text("needs_absent_program", ""),
            flavours=row.texts("flavours", sglang, among=flavours)
            if row.raw("flavours") is not None
            else sglang,
            announces=row.texts("announces", []),
            again_after=row.texts("again_after", [], among=(ALWAYS, *(step.id for step in found))),
            once=row.flag("once"),
            optional=row.flag("optional"),
            product=row.flag("product"),
            timeout_s=row.number("timeout_s", above=0),
            era=row.text("era"),
            why=row.text("why"),
            source=row.text("source"),
        )
        row.done()
        _check_step(row, step, known)
        found.append(step)
    return tuple(found)


def _check_step(row: Row, step: StepRow, known: Collection[str]) -> None:
    for name in sorted(step.placeholders - {"install", "uninstall"}):
        if name not in known:
            row.problem("", f"has {{{name}}}, which is not known", f"known: {', '.join(sorted(known))}")
    for command in step.commands:
        if any(word in ("{install}", "{uninstall}") for word in command[1:]):
            row.problem("commands", "has an installer that is not the first word", "begin with {install}")
    if not step.commands and not step.files:
        row.problem("commands", "is empty", "a step runs something or writes something")
    if step.optional and step.product:
        row.problem("optional", "stands beside product", "what builds the code under test is not optional")


def _commands(row: Row) -> tuple[tuple[str, ...], ...]:
    value = row.raw("commands")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(
        isinstance(command, list) and command and all(isinstance(word, str) and word for word in command)
        for command in value
    ):
        row.problem("commands", f"is {value!r}, not a list of argv lists", 'e.g. [["git", "--version"]]')
        return ()
    return tuple(tuple(command) for command in value)


def _strings(row: Row, key: str) -> Mapping[str, str]:
    value = row.mapping(key)
    wrong = [name for name, item in value.items() if not isinstance(item, str)]
    if wrong:
        row.problem(key, f"has values that are no strings: {', '.join(sorted(wrong))}")
        return {}
    return value
