"""What the workflows are rendered from, beside stages and runners: the rows of `actions.toml`."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from ci.catalog.columns import Count, Explained, Sourced, Text, VariableName, key, matching
from ci.catalog.decode import Reader

__all__ = [
    "ActionPin",
    "ActionsCatalog",
    "ImageRelease",
    "InputType",
    "LintIgnore",
    "OwnSession",
    "SecretRow",
    "TreeRow",
    "WorkflowInput",
    "WorkflowKind",
    "WorkflowRow",
    "load_actions",
]


class WorkflowKind(StrEnum):
    """What a workflow is for."""

    # runs what ci_plan selects
    TESTS = "tests"
    # the one that all planned jobs run in
    STAGE = "stage"
    IMAGES = "images"
    # this repository's own CI
    OWN = "own"
    # publishes docs/
    DOCS = "docs"


class InputType(StrEnum):
    """Of GitHub's types of inputs those that are used."""

    STRING = "string"
    BOOLEAN = "boolean"
    CHOICE = "choice"


class _Action(StrEnum):
    CHECKOUT = "actions/checkout"
    SETUP_UV = "astral-sh/setup-uv"
    UPLOAD_ARTIFACT = "actions/upload-artifact"
    DOWNLOAD_ARTIFACT = "actions/download-artifact"
    UPLOAD_PAGES = "actions/upload-pages-artifact"
    DEPLOY_PAGES = "actions/deploy-pages"


class _Tool(StrEnum):
    UV = "uv"
    NOX = "nox"


class _Host(StrEnum):
    CONTROL = "control"
    IMAGE_BUILD = "image-build"
    IMAGE_MIRROR = "image-mirror"


class _Number(StrEnum):
    SET_UP_MIN = "set_up_min"
    CLEAN_UP_MIN = "clean_up_min"
    PLAN_MIN = "plan_min"
    REPORT_MIN = "report_min"
    FINISH_MIN = "finish_min"
    IMAGE_BUILD_MIN = "image_build_min"
    IMAGE_MIRROR_MIN = "image_mirror_min"
    DOCS_MIN = "docs_min"
    ARTIFACT_DAYS = "artifact_days"


class _Choices(StrEnum):
    """Where the options of an input come from."""

    SUITES = "suites"
    POOLS = "pools"
    NONE = ""


_Cron = Annotated[str, matching(r"[-\d*/,]+( [-\d*/,]+){4}", "five fields, e.g. 30 17 * * *")]
_Rocm = Annotated[str, matching(r"\d+(\.\d+)*", "a version as tags have it, e.g. 720 or 7.15")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPin(Sourced):
    """A third-party action, pinned by the full hash of a commit; `tag` is that commit's release."""

    id: _Action
    tag: Annotated[str, matching(r"v\d+\.\d+\.\d+", "a release, e.g. v6.0.2")]
    hash: Annotated[str, matching(r"[0-9a-f]{40}", "a commit's full hash, 40 hexadecimal digits")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ToolRow(Sourced):
    id: _Tool
    version: Annotated[str, matching(r"\d+(\.\d+)+", "a version, e.g. 0.13.8")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow(Sourced):
    """One rendered file, `<id>.yml`; `nightly` says which suites a workflow of kind `tests` runs."""

    id: Annotated[str, matching(r"[a-z][a-z0-9-]*", "lower case letters, digits and hyphens, e.g. amd-pr")]
    kind: WorkflowKind
    title: Annotated[str, matching(r"[\w -]+", "letters, digits, spaces and hyphens")]
    crons: tuple[_Cron, ...] = ()
    pull_requests: bool = False
    nightly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInput(Sourced):
    """What a person (`dispatch`) or a calling workflow (`calls`) may ask for; the planner reads `variable`."""

    id: Annotated[str, matching(r"[a-z][a-z_]*", "lower case letters and _, e.g. runner_arch")]
    type: InputType
    options: tuple[Text, ...] = ()
    options_from: Annotated[_Choices, key("from")] = _Choices.NONE
    description: Text
    dispatch: bool = True
    calls: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that hands it to the planner."""
        return f"INPUT_{self.id.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow(Sourced):
    """A secret, by the name of its variable too, and the kinds of workflow whose jobs get it."""

    id: VariableName
    kinds: tuple[WorkflowKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostRow(Sourced):
    id: _Host
    label: Annotated[str, matching(r"[\w.-]+", "a runner label, e.g. ubuntu-24.04")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow(Sourced):
    """The repository under test and the folder that it is checked out into."""

    id: Text
    repository: Annotated[str, matching(r"[\w.-]+/[\w.-]+", "owner/name, e.g. sgl-project/sglang")]
    path: Annotated[str, matching(r"\w+", "a folder's name, e.g. sglang")]
    branch: Annotated[str, matching(r"[\w./-]+", "a branch, e.g. main")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRelease:
    """One image of the daily release."""

    rocm: str
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImageRow(Sourced):
    KEY: ClassVar[str] = "rocm"

    rocm: _Rocm
    families: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession(Explained):
    """A session that this repository's own CI runs; `root` ones go through `.ci/run`, which installs what they need."""

    KEY: ClassVar[str] = "session"

    session: Annotated[str, matching(r"[a-z_]+", "a session of the noxfile, e.g. tests_all")]
    root: bool = False
    timeout_min: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class LintIgnore(Sourced):
    """A rule of zizmor whose findings in these files are let pass; `why` becomes a comment, so it is one line."""

    KEY: ClassVar[str] = "rule"

    rule: Annotated[str, matching(r"[a-z-]+", "a rule of zizmor, e.g. template-injection")]
    files: tuple[Text, ...]
    why: Annotated[str, matching(r".+", "one line")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _NumberRow(Sourced):
    id: _Number
    value: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsCatalog:
    """`actions.toml`. `hosts` are labels by use, `numbers` are minutes or days as their names say."""

    actions: Mapping[str, ActionPin]
    tools: Mapping[str, str]
    workflows: tuple[WorkflowRow, ...]
    inputs: tuple[WorkflowInput, ...]
    secrets: tuple[SecretRow, ...]
    hosts: Mapping[str, str]
    tree: TreeRow
    images: tuple[ImageRelease, ...]
    own: tuple[OwnSession, ...]
    ignores: tuple[LintIgnore, ...]
    numbers: Mapping[str, int]

    def step_limit_min(self, suite_limit_s: float) -> int:
        """What the step of a suite may take: image and dependencies come before the suite's own limit counts."""
        return math.ceil(suite_limit_s / 60) + self.numbers[_Number.SET_UP_MIN]

    def job_limit_min(self, suite_limit_s: float) -> int:
        """What the job may take: its step, and afterwards the upload and the sweep."""
        return self.step_limit_min(suite_limit_s) + self.numbers[_Number.CLEAN_UP_MIN]

    def of_kind(self, kind: str) -> tuple[WorkflowRow, ...]:
        """The workflows of a kind, in the file's order."""
        return tuple(row for row in self.workflows if row.kind == kind)


def load_actions(reader: Reader, *, families: Collection[str]) -> ActionsCatalog:
    """Read actions.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open(
        "actions.toml",
        *("action", "tool", "workflow", "input", "secret", "host"),
        *("tree", "image", "own", "ignore", "number"),
    )
    images = file.rows("image", _ImageRow)
    file.refer("image", "families", "hardware family", families)
    actions = ActionsCatalog(
        actions={row.id: row for row in file.rows("action", ActionPin)},
        tools={row.id: row.version for row in file.rows("tool", _ToolRow)},
        workflows=file.rows("workflow", WorkflowRow),
        inputs=file.rows("input", WorkflowInput),
        secrets=file.rows("secret", SecretRow),
        hosts={row.id: row.label for row in file.rows("host", _HostRow)},
        tree=file.row("tree", TreeRow),
        images=tuple(ImageRelease(rocm=row.rocm, family=name) for row in images for name in row.families),
        own=file.rows("own", OwnSession),
        ignores=file.rows("ignore", LintIgnore),
        numbers={row.id: row.value for row in file.rows("number", _NumberRow)},
    )
    if file.complete("workflow"):
        file.refer("ignore", "files", "workflow file", [f"{row.id}.yml" for row in actions.workflows])
    for row in actions.inputs:
        if (row.type == InputType.CHOICE) != bool(row.options or row.options_from):
            what = f"options do not fit type {row.type.value!r}"
            reader.problem(row, "", what, "a choice, and nothing else, has options or from")
    for array, rows, needed in (
        ("action", actions.actions, _Action),
        ("tool", actions.tools, _Tool),
        ("host", actions.hosts, _Host),
        ("number", actions.numbers, _Number),
    ):
        for name in needed if file.complete(array) else ():
            if name not in rows:
                file.problem(array, f"{name} is missing", f'add [[{array}]] with id = "{name}"')
    for kind in (WorkflowKind.TESTS, WorkflowKind.STAGE):
        if file.complete("workflow") and not actions.of_kind(kind):
            file.problem("workflow", f"no row of kind {kind}", "add a [[workflow]]")
    if file.complete("image") and not actions.images:
        file.problem("image", "has no row", "add an [[image]]")
    return actions
