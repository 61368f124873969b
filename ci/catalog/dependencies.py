"""Dependencies in the container: what is installed, in which order and why, the rows of `dependencies.toml`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from ci.catalog.columns import Positive, Sourced, Text, Texts, VariableName, matching
from ci.catalog.decode import Reader
from ci.catalog.toml_reader import closest

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

# What ci.plan.container.install fills in beside `pin_<id>` and `repository_<id>`.
_VALUES = ("python", "checkout", "gfx", "extras", "aiter_commit", "torch_lib")

_Id = Annotated[
    str, matching(r"[a-z0-9][a-z0-9-]*", "lower case letters, digits and hyphens, e.g. remove-old")
]
_Name = Annotated[str, matching(r"[a-z][a-z0-9_]*", "lower case letters, digits and _, e.g. sgl_eval")]
_FlavourId = Annotated[str, matching(r"[a-z][a-z0-9_]*(\.\d+)*", "as tags have it, e.g. rocm720 or rocm7.15")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour(Sourced):
    """A line of images.

    `stage_suffix` follows the GPU target in the name of the Dockerfile stage that built it. An image without a stamp is of the
    first flavour of which it has one of `signs` (variables that are set) or whose `hip` its HIP version begins with. In
    one where `sglang` is false nothing of SGLang is installed.
    """

    id: _FlavourId
    sglang: bool = True
    stage_suffix: Text = ""
    extras: tuple[Text, ...] = ()
    signs: tuple[Text, ...] = ()
    hip: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin(Sourced):
    """A value that a file of the checkout assigns to the first of `names` that it has.

    With `per_stage` it is the one of the Dockerfile stage that built the image.
    """

    id: _Name
    file: Text
    names: tuple[Text, ...]
    per_stage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Sourced):
    """A folder of the checkout that has moved: the first of `among` that holds the file `holds`."""

    id: _Name
    among: tuple[Text, ...]
    holds: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer(Sourced):
    """A program that installs packages; the first row whose `program` the image has is used (empty: always there).

    `install` and `uninstall` are the beginnings of its commands. The other values are names of variables that it reads: its
    cache folder, its package index, its file of constraints; `cache` is the folder, used when it is there.
    """

    id: _Id
    program: Text = ""
    install: tuple[Text, ...]
    uninstall: tuple[Text, ...]
    cache: Text
    cache_variable: VariableName
    index_variable: VariableName
    constraint_variable: VariableName


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow(Sourced):
    """One step of the installation, in the order of the file.

    `commands` are argv lists with placeholders, run one after the other; a failed one makes the step begin again from its
    first. `files` are written before them. `needs_*` say when the step is taken at all. `announces` are the distributions
    that it may change: any other change of a protected one is a violation. It is run again when its inputs changed, or after
    a step of `again_after` ran. `once` is for what fails the same way when it is tried again. A failed `optional` step is a
    warning; a failed `product` step is the code's fault.
    """

    id: _Id
    text: Text
    commands: tuple[Texts, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    cwd: Text = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    needs_checkout: bool = False
    needs_file: Text = ""
    needs_pin: Text = ""
    needs_dir: Text = ""
    needs_aiter_rebuild: bool = False
    needs_absent_program: Text = ""
    flavours: tuple[Text, ...] = ()
    announces: tuple[Text, ...] = ()
    again_after: tuple[Text, ...] = ()
    once: bool = False
    optional: bool = False
    product: bool = False
    timeout_s: Positive
    era: Text

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
class _Target(Sourced):
    KEY: ClassVar[str] = "family"

    family: Text
    gfx: Annotated[str, matching(r"gfx[0-9a-f]+", "a GPU target, e.g. gfx942")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository(Sourced):
    id: _Name
    url: Annotated[str, matching(r"\S+", "a URL without spaces")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _AlternativeIndex(Sourced):
    id: _Name
    variable: VariableName


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override(Sourced):
    id: _Name
    variables: tuple[VariableName, ...]


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


def load_dependencies(reader: Reader, *, families: Collection[str]) -> Dependencies:
    """Read dependencies.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open(
        "dependencies.toml",
        *("flavour", "target", "pin", "choice", "repository"),
        *("installer", "alternative_index", "override", "step"),
    )
    flavours = {row.id: row for row in file.rows("flavour", Flavour)}
    targets = {row.family: row.gfx for row in file.rows("target", _Target)}
    pins = {row.id: row for row in file.rows("pin", Pin)}
    choices = {row.id: row for row in file.rows("choice", Choice)}
    repositories = {row.id: row.url for row in file.rows("repository", _Repository)}
    installers = file.rows("installer", Installer)
    indexes = file.rows("alternative_index", _AlternativeIndex)
    overrides = {row.id: row.variables for row in file.rows("override", _Override)}
    steps = file.rows("step", StepRow)
    for installer in installers:
        _check_installer(reader, installer)
    values = {
        *_VALUES,
        *choices,
        *(f"pin_{pin}" for pin in pins),
        *(f"repository_{name}" for name in repositories),
    }
    for number, step in enumerate(steps):
        earlier = [ALWAYS, *(row.id for row in steps[:number])]
        for name in step.again_after:
            if not reader.may_exist(name, earlier):
                reader.problem(step, "again_after", f"unknown earlier step {name!r}", closest(name, earlier))
        _check_step(reader, step, values)
    file.refer("step", "needs_pin", "pin", pins)
    file.refer("step", "flavours", "flavour", flavours)
    for family in families:
        if not reader.may_exist(family, targets):
            file.problem("target", f"no row for family {family!r}", "name its GPU target")
    if file.complete("installer") and (not installers or installers[-1].program):
        file.problem("installer", "the last row has a program", "end with one that is always there")
    if len(indexes) > 1:
        file.problem("alternative_index", f"has {len(indexes)} rows", "a retry takes one alternative")
    sglang = tuple(row.id for row in flavours.values() if row.sglang)
    return Dependencies(
        flavours=flavours,
        targets=targets,
        pins=pins,
        choices=choices,
        repositories=repositories,
        installers=installers,
        alternative_index=indexes[0].variable if indexes else "",
        overrides=overrides,
        steps=tuple(
            step if reader.has(step, "flavours") else replace(step, flavours=sglang) for step in steps
        ),
    )


def _check_installer(reader: Reader, row: Installer) -> None:
    for key, words in (("install", row.install), ("uninstall", row.uninstall)):
        for name in PLACEHOLDER.findall(" ".join(words)):
            if name not in ("python", "program"):
                reader.problem(row, key, f"unknown placeholder {{{name}}}", "known: python, program")


def _check_step(reader: Reader, step: StepRow, values: Collection[str]) -> None:
    for name in sorted(step.placeholders - {"install", "uninstall"} - set(values)):
        reader.problem(step, "", f"unknown placeholder {{{name}}}", closest(name, values))
    for command in step.commands:
        if any(word in ("{install}", "{uninstall}") for word in command[1:]):
            what = "has an installer that is not the first word"
            reader.problem(step, "commands", what, "begin the command with {install} or {uninstall}")
    if not step.commands and not step.files:
        reader.problem(
            step, "", "has neither commands nor files", "a step runs something or writes something"
        )
    if step.optional and step.product:
        reader.problem(
            step,
            "optional",
            "cannot be combined with product",
            "what builds the code under test is not optional",
        )
