"""What a plan depends on, gathered by ci/facts and handed in as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from ci.catalog.registrations.parse import Discovery
from ci.plan.container.image_fact import ImageFact
from ci.plan.container.install import CheckoutFacts
from ci.plan.container.needs import ContainerFacts
from ci.plan.content import TreeContent
from ci.plan.engine_build import EngineBuild

__all__ = ["DockerFacts", "EngineFact", "Facts", "Known", "PartitionFact", "SlurmFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A fact with its source; `value` is empty when it is not available; `source` then gives the reason."""

    value: str
    source: str

    @property
    def text(self) -> str:
        """The value, or `unknown`."""
        return self.value or "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFact:
    """The interpreter that runs the tests: its path, its version, and the engine's package version in it.

    `found` is false for one that is only looked for when the tests run. `packages` are the digests of what it has of the
    engine and of pytest, by name.
    """

    python: str
    python_version: str
    engine_version: str
    source: str
    found: bool = True
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerFacts:
    """What else a plan needs to know that needs a container.

    `engine` is the interpreter in the image. `flavour` is a row of dependencies.toml, empty when the image does not tell.
    `tree` is what its rows ask of a checkout.
    """

    container: ContainerFacts
    engine: EngineFact
    image: ImageFact
    flavour: str
    tree: CheckoutFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFact:
    """A partition of a cluster; `limit_min` is its MaxTime, None where it has none, and `nodes` how many it has.

    Slurm takes the one that is `default` where none is named.
    """

    name: str
    default: bool
    up: bool
    limit_min: int | None
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmFacts:
    """The cluster of a run: its name, a row of clusters.toml, with its source, and what Slurm says here.

    `here` is the ClusterName of the Slurm on this machine. What follows it is empty when none was asked, or when `problem` says
    why none answers.
    """

    cluster: Known = Known(value="", source="")
    here: str = ""
    version: str = ""
    partitions: tuple[PartitionFact, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """This machine, this tree and this call. `today` is a date in UTC; its source says so when it was only tried.

    `gpu_groups` are what each GPU is in, the widest first: its XGMI hive, its NUMA node. `cpus` are those that we may use.
    `elsewhere`: the plan is for another machine of `hardware_class`, which cannot be seen. `render_nodes` is how many GPUs a
    container here can get. `fixed_files` are files of the catalog's suites that the tree has. `engine_build` is the environment
    that we make for the engine, None where it is found. `content` is what is on disk of the tree and of this repository. With
    `slurm` hardware, GPUs and CPUs are those of the cluster's nodes.
    """

    hardware_class: str
    hardware_source: str
    gpu_ids: tuple[str, ...]
    commit: Known
    root: str
    checkout: Known | None
    runs_dir: str
    tests: Discovery
    fixed_files: frozenset[str]
    engines: Mapping[str, EngineFact]
    environ: Mapping[str, str]
    event: Known
    host: str
    user: str
    today: date
    today_source: str
    today_tried: bool
    gpu_groups: tuple[tuple[str, ...], ...] = ()
    cpus: int = 1
    elsewhere: bool = False
    render_nodes: int = 0
    engine_build: EngineBuild | None = None
    slurm: SlurmFacts | None = None
    content: TreeContent = field(default_factory=TreeContent)
