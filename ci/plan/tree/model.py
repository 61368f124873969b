"""What a checkout's own files say of its CI: values that `ci/facts/tree` reads, each with the place that says it.

A `source` is `pr-test-amd.yml:412`: the file's name and the line. `file` is a path within the tree, with slashes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from ci.errors import Problem

__all__ = [
    "ANY",
    "CallKind",
    "ContainerStart",
    "JobCell",
    "ListedSuite",
    "Partition",
    "Registrar",
    "Registry",
    "RunnerDefaults",
    "Stated",
    "TestCall",
    "TreeFacts",
    "TreeJob",
    "TreeRoot",
    "TreeWorkflow",
    "WaitStep",
    "source_at",
]

T = TypeVar("T")
ANY = "*"


def source_at(file: str, line: int) -> str:
    """`pr-test-amd.yml:412`."""
    return f"{file.rpartition('/')[2]}:{line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated(Generic[T]):
    """A value and the place that says it."""

    value: T
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """A function that registers a test, e.g. `register_amd_ci`, and its backend, e.g. `amd`."""

    name: str
    backend: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRoot:
    """A folder in which the suite runner looks, with all its subfolders, for files that fit `glob`."""

    path: str
    glob: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSuite:
    """A suite that the runner names for a backend; `group` is the list that has it, e.g. `PER_COMMIT_SUITES`."""

    name: str
    backend: str
    group: str
    source: str


class Partition(StrEnum):
    """How a runner splits a suite into parts."""

    LONGEST_FIRST = "longest first, equal ones by name, each to the lightest part"
    FILE_ORDER = "longest first, equal ones in the order in which the file system lists them"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerDefaults:
    """What `run_suite.py` does without an option; None where it has no such option."""

    timeout_per_file_s: Stated[float] | None = None
    max_attempts: Stated[float] | None = None
    retry_wait_s: Stated[float] | None = None
    retry_timeout_increase_s: Stated[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What `ci_register.py` and `run_suite.py` know.

    `positional` and `keyword_only` are the arguments of a registrar; `exempt` are names of files, or ends of paths, that are
    not collected; `checked` are the backends whose suite names the runner validates, `ANY` for the one that is run; `options` are
    the runner's own.
    """

    registrars: tuple[Registrar, ...]
    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    roots: tuple[TreeRoot, ...]
    exempt: tuple[Stated[str], ...]
    suites: tuple[ListedSuite, ...]
    checked: tuple[str, ...]
    options: tuple[str, ...]
    defaults: RunnerDefaults
    partition: Stated[Partition]


class CallKind(StrEnum):
    """What a command runs: a suite by `test/run_suite.py`, files by themselves, or a suite by a runner that is another's."""

    SUITE = "suite"
    FILES = "files"
    OTHER_RUNNER = "another runner"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCall:
    """One command that runs tests.

    `suite` is empty for files, `ANY` within it for what is known only at run time. `part` counts from 0; it and `parts` are
    None without a partition, `parts` alone where the part is known only at run time. `files` are paths within the tree.
    `env` is what the command gives the tests by `-e` or before the program. `options` are the runner's options as written,
    with values; `sometimes` those that depend on the event. `step_timeout_min` is None without a limit.
    """

    kind: CallKind
    runner: str = ""
    suite: str = ""
    hardware: str = ""
    nightly: bool = False
    part: int | None = None
    parts: int | None = None
    timeout_per_file_s: float | None = None
    attempts: int = 1
    retry_wait_s: float | None = None
    retry_timeout_increase_s: float | None = None
    files: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    sometimes: tuple[str, ...] = ()
    step: str
    step_line: int
    step_timeout_min: float | None
    line: int
    file: str

    @property
    def source(self) -> str:
        """Where the command is."""
        return source_at(self.file, self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStart:
    """The call of the script that starts the job's container; `rocm` is `rocm720`, the script's own default without an option.

    `image` is empty where the script looks one up, `rocm` where it is known only at run time.
    """

    script: str
    arguments: tuple[str, ...]
    rocm: Stated[str]
    image: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCell:
    """One job as Actions starts it: a combination of the matrix, and of inputs where a choice of them changes the job.

    `name` is what Actions shows; it holds `ANY` for what is known only at run time. `inputs` are empty for a run without
    inputs. `label` is that of the runner, empty where the file does not show it; `hardware` is its class and `gpus` how many,
    empty and None for a label of no row.
    """

    name: str
    matrix: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    label: str
    hardware: str
    gpus: int | None
    container: ContainerStart | None
    calls: tuple[TestCall, ...]

    def is_named(self, name: str) -> bool:
        """Whether Actions may show this cell under a name."""
        return self.name == name or (ANY in self.name and fnmatchcase(name, self.name.replace("[", "[[]")))


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep:
    """A step that waits for the jobs whose names begin with `prefix`, a number that is written in the file."""

    prefix: str
    expected: int
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeJob:
    """One job of a workflow; `written_name` is empty where the file gives none.

    `permissions` is None where the job has none of its own. `uses` is the workflow that it calls, with `given` as inputs.
    `condition` is its `if`, as written. `timeout_min` is None without a limit of its own, and where only a
    run can tell it: `limited` tells them apart. `amd`: its label, suite or command
    is AMD's. `cells` without `inputs` come first; it is empty for a job that calls a workflow. `size` is how many jobs a run
    without inputs starts, None where the matrix is made at run time.
    """

    file: str
    id: str
    line: int
    written_name: str
    needs: tuple[str, ...]
    condition: str
    label: Stated[str]
    timeout_min: float | None
    limited: bool
    permissions: Mapping[str, str] | None
    uses: str
    given: tuple[tuple[str, str], ...]
    matrix_keys: tuple[str, ...]
    size: int | None
    cells: tuple[JobCell, ...]
    waits: tuple[WaitStep, ...]
    amd: bool

    @property
    def source(self) -> str:
        """Where the job begins."""
        return source_at(self.file, self.line)

    @property
    def started(self) -> tuple[JobCell, ...]:
        """The cells of a run without inputs."""
        return tuple(cell for cell in self.cells if not cell.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWorkflow:
    """One workflow file; `permissions` is None where it has none, `choices` are the options of its inputs by name."""

    file: str
    name: str
    triggers: tuple[str, ...]
    permissions: Mapping[str, str] | None
    permissions_line: int
    choices: Mapping[str, tuple[str, ...]]
    jobs: tuple[TreeJob, ...]

    def job(self, job_id: str) -> TreeJob | None:
        """The job of that id."""
        return next((job for job in self.jobs if job.id == job_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFacts:
    """A checkout's own facts. `unread` is what could not be read, with its place; `root` is the checkout."""

    root: str
    registry: Registry
    workflows: tuple[TreeWorkflow, ...]
    unread: tuple[Problem, ...]

    @property
    def amd_jobs(self) -> Iterator[TreeJob]:
        """Every job of AMD's, in the order of files."""
        return (job for workflow in self.workflows for job in workflow.jobs if job.amd)

    def workflow(self, file: str) -> TreeWorkflow | None:
        """The workflow of a path within the tree, or of a `uses:` of it."""
        path = file.removeprefix("./").partition("@")[0]
        return next((workflow for workflow in self.workflows if workflow.file == path), None)
