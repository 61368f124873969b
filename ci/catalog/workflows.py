"""What the workflows are rendered from, beside stages and runners: the rows of `actions.toml`."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.toml_reader import Row, Tables
from ci.errors import Problem

__all__ = [
    "ActionPin",
    "ActionsCatalog",
    "ImageRelease",
    "LintIgnore",
    "OwnSession",
    "SecretRow",
    "TreeRow",
    "WorkflowInput",
    "WorkflowRow",
    "load_actions",
]

_FILE = "actions.toml"
_KINDS = ("tests", "stage", "images", "own")
_HOSTS = ("control", "image-build", "image-mirror")
_NUMBERS = (
    "set_up_min", "clean_up_min", "plan_min", "finish_min", "image_build_min", "image_mirror_min", "artifact_days",
)  # fmt: skip
_ACTIONS = ("actions/checkout", "astral-sh/setup-uv", "actions/upload-artifact")
_TOOLS = ("uv", "nox")
_ARRAYS = (
    "action",
    "tool",
    "workflow",
    "input",
    "secret",
    "host",
    "tree",
    "image",
    "own",
    "ignore",
    "number",
)
_KEYS = {"own": "session", "image": "rocm", "ignore": "rule"}
_CRON = r"[-\d*/,]+( [-\d*/,]+){4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPin:
    """An action of somebody else's, by the full hash of a commit; `tag` is that commit's release."""

    id: str
    tag: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow:
    """One rendered file, `<id>.yml`; `nightly` says which suites a workflow of kind `tests` runs."""

    id: str
    kind: str
    title: str
    crons: tuple[str, ...]
    pull_requests: bool
    nightly: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInput:
    """What a person (`dispatch`) or a calling workflow (`calls`) may ask for; the planner reads `variable`."""

    id: str
    type: str
    options: tuple[str, ...]
    options_from: str
    description: str
    dispatch: bool
    calls: bool

    @property
    def variable(self) -> str:
        """The environment variable that hands it to the planner."""
        return f"INPUT_{self.id.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow:
    """A secret, by the name of its variable too, and the kinds of workflow whose jobs get it."""

    id: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow:
    """The repository under test and the folder that it is checked out into."""

    repository: str
    path: str
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRelease:
    """One image of the daily release."""

    rocm: str
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """A session that this repository's own CI runs; `root` sessions go through `.ci/run`, which installs what they need."""

    session: str
    root: bool
    timeout_min: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LintIgnore:
    """A rule of zizmor whose findings in these files are let pass, and why."""

    rule: str
    files: tuple[str, ...]
    why: str


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
        return math.ceil(suite_limit_s / 60) + self.numbers["set_up_min"]

    def job_limit_min(self, suite_limit_s: float) -> int:
        """What the job may take: its step, and afterwards the upload and the sweep."""
        return self.step_limit_min(suite_limit_s) + self.numbers["clean_up_min"]

    def of_kind(self, kind: str) -> tuple[WorkflowRow, ...]:
        """The workflows of a kind, in the file's order."""
        return tuple(row for row in self.workflows if row.kind == kind)


def load_actions(
    problems: list[Problem], folder: Path = Path(__file__).parent, *, families: Collection[str] = ()
) -> ActionsCatalog:
    """Read and check `actions.toml`; what is wrong is added to `problems`."""
    tables = Tables(folder / _FILE, problems, arrays=_ARRAYS)
    rows = {name: tables.rows(name, _KEYS.get(name, "id")) for name in _ARRAYS}
    for name in _ARRAYS:
        tables.unique(rows[name], _KEYS.get(name, "id"))
    needed = {"action": _ACTIONS, "tool": _TOOLS, "host": _HOSTS, "number": _NUMBERS}
    for name, keys in needed.items():
        for key in keys:
            if key not in {row.raw("id") for row in rows[name]}:
                tables.problem(name, f"{key} is missing", f'add [[{name}]] with id = "{key}"')
    for name, kind in (("workflow", "tests"), ("workflow", "stage"), ("image", "")):
        if not any(not kind or row.raw("kind") == kind for row in rows[name]):
            tables.problem(name, f"no row of kind {kind}" if kind else "no row", f"add [[{name}]]")
    trees = [_tree(row) for row in rows["tree"]]
    if len(trees) != 1:
        tables.problem("tree", f"{len(trees)} rows", "exactly one tree is under test")
    return ActionsCatalog(
        actions={pin.id: pin for pin in map(_action, rows["action"])},
        tools=dict(_tool(row) for row in rows["tool"]),
        workflows=tuple(_workflow(row) for row in rows["workflow"]),
        inputs=tuple(_input(row) for row in rows["input"]),
        secrets=tuple(_secret(row) for row in rows["secret"]),
        hosts=dict(_host(row) for row in rows["host"]),
        tree=trees[0] if trees else TreeRow(repository="", path="", branch=""),
        images=tuple(image for row in rows["image"] for image in _images(row, families)),
        own=tuple(_own(row) for row in rows["own"]),
        ignores=tuple(
            _ignore(row, {f"{item.raw('id')}.yml" for item in rows["workflow"]}) for row in rows["ignore"]
        ),
        numbers=dict(_number(row) for row in rows["number"]),
    )


def _action(row: Row) -> ActionPin:
    pin = ActionPin(
        id=row.text("id", among=_ACTIONS),
        tag=row.text("tag", matches=r"v\d+\.\d+\.\d+"),
        hash=row.text("hash", matches=r"[0-9a-f]{40}"),
    )
    _reasons(row)
    return pin


def _tool(row: Row) -> tuple[str, str]:
    tool = row.text("id", among=_TOOLS), row.text("version", matches=r"\d+(\.\d+)+")
    _reasons(row)
    return tool


def _workflow(row: Row) -> WorkflowRow:
    crons = row.texts("crons", [])
    workflow = WorkflowRow(
        id=row.text("id", matches=r"[a-z][a-z0-9-]*"),
        kind=row.text("kind", among=_KINDS),
        title=row.text("title", matches=r"[\w -]+"),
        crons=crons,
        pull_requests=row.flag("pull_requests"),
        nightly=row.flag("nightly"),
        why=row.text("why"),
    )
    for cron in crons:
        if not re.fullmatch(_CRON, cron):
            row.problem("crons", f"{cron!r} is no schedule", "five fields, e.g. 30 17 * * *")
    _reasons(row)
    return workflow


def _input(row: Row) -> WorkflowInput:
    kind = row.text("type", among=("string", "boolean", "choice"))
    found = WorkflowInput(
        id=row.text("id", matches=r"[a-z][a-z_]*"),
        type=kind,
        options=row.texts("options", []),
        options_from=row.text("from", "", among=("suites", "pools")),
        description=row.text("description"),
        dispatch=row.flag("dispatch", default=True),
        calls=row.flag("calls"),
    )
    if (kind == "choice") != bool(found.options or found.options_from):
        row.problem("options", f"does not fit type {kind}", "a choice, and nothing else, has options or from")
    _reasons(row)
    return found


def _secret(row: Row) -> SecretRow:
    secret = SecretRow(id=row.text("id", matches=r"[A-Z][A-Z0-9_]*"), kinds=row.texts("kinds", among=_KINDS))
    _reasons(row)
    return secret


def _host(row: Row) -> tuple[str, str]:
    host = row.text("id", among=_HOSTS), row.text("label", matches=r"[\w.-]+")
    _reasons(row)
    return host


def _tree(row: Row) -> TreeRow:
    row.text("id")
    tree = TreeRow(
        repository=row.text("repository", matches=r"[\w.-]+/[\w.-]+"),
        path=row.text("path", matches=r"\w+"),
        branch=row.text("branch", matches=r"[\w./-]+"),
    )
    _reasons(row)
    return tree


def _images(row: Row, families: Collection[str]) -> list[ImageRelease]:
    rocm = row.text("rocm", matches=r"\d+")
    images = [ImageRelease(rocm=rocm, family=name) for name in row.texts("families", among=families)]
    _reasons(row)
    return images


def _own(row: Row) -> OwnSession:
    own = OwnSession(
        session=row.text("session", matches=r"[a-z_]+"),
        root=row.flag("root"),
        timeout_min=row.whole("timeout_min", least=1),
    )
    row.text("why")
    row.done()
    return own


def _ignore(row: Row, files: Collection[str]) -> LintIgnore:
    ignore = LintIgnore(
        rule=row.text("rule", matches=r"[a-z-]+"),
        files=row.texts("files", among=files),
        why=row.text("why", matches=r".+"),  # one line: it becomes a comment
    )
    _reasons(row)
    return ignore


def _number(row: Row) -> tuple[str, int]:
    number = row.text("id", among=_NUMBERS), row.whole("value", least=1)
    _reasons(row)
    return number


def _reasons(row: Row) -> None:
    """Every row says why it is there and where it comes from, and holds nothing else."""
    row.text("why")
    row.text("source")
    row.done()
