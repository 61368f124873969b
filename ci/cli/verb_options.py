"""The options of the operators' verbs. Nothing heavy is imported here: `./inv --list` needs them all."""

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BuildOptions",
    "CheckoutOptions",
    "ContainerOptions",
    "DepsOptions",
    "EngineOptions",
    "ImageOptions",
    "JsonOptions",
    "KeptOptions",
    "MirrorOptions",
    "PruneImagesOptions",
    "PruneRunsOptions",
    "ReproOptions",
    "SlurmRunOptions",
    "TriageOptions",
]


def _option(text: str, default: Any = "") -> Any:
    """A field with its help; a whole number as default makes the option one."""
    return field(default=default, metadata={"help": text})


def _json() -> Any:
    return _option("machine-readable standard output", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonOptions:
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRunsOptions:
    keep: int = _option("how many of the newest run folders stay; default: 20", default=20)
    dry: bool = _option("only print what would be removed", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmRunOptions:
    run: str = _option("RUN: a run folder, its name, or the beginning of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    all: bool = _option("everything, however lately it was used", default=False)
    older: int = _option("DAYS: what was not used for so long; default: 30", default=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    family: str = _option("mi30x or mi35x; default: this machine's")
    flavour: str = _option("rocm700, rocm720 or rocm724; default: the catalog's")
    rocm: str = _option("the same as 700, 720 or 724")
    image: str = _option("REF, or sha256:ID of the local store, instead of the newest")
    strict: bool = _option("a stale image is exit 4", default=False)
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions(ImageOptions):
    to: str = _option("HOST:PORT; default: the mirror of this machine's runner pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneImagesOptions:
    older: str = _option("DAYS: only older images; default: the row image.prune_days")
    keep: str = _option("how many of the newest stay; default: the row image.prune_keep")
    dry: bool = _option("only print what would be removed", default=False)
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    rehearsal: bool = _option("an image to rehearse stages in, without a GPU", default=False)
    base: str = _option("REF of its base, with Python 3.10 or later; default: the row of builds.toml")
    checkout: str = _option("PATH of an SGLang tree, whose docker/rocm.Dockerfile is built")
    rocm: str = _option("700, 720 or 724; default: the catalog's")
    family: str = _option("mi30x or mi35x; default: this machine's")
    tag: str = _option("NAME:TAG of a rehearsal image")
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class DepsOptions:
    container: str = _option("NAME of a running container")
    checkout: str = _option("PATH of an SGLang tree; default: the image's own SGLang stays")
    image: str = _option("REF, whose tag has flavour and family")
    family: str = _option("mi30x or mi35x")
    rocm: str = _option("700, 720 or 724")
    python: str = _option("the interpreter in the container", default="python3")
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    name: str = _option("a name that container.list shows")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOptions:
    kept: bool = _option("also the kept ones (--keep) of runs that have ended", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutOptions:
    checkout: str = _option("PATH of an SGLang tree: the jobs of its tests")
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageOptions:
    source: str = _option("one or more: log or -, run folder, artifact zip, link of a job or run")
    checkout: str = _option("PATH of SGLang's tree here: the lines fit it")
    api: str = _option("URL of GitHub's API, e.g. https://HOST/api/v3")
    markdown: bool = _option("print Markdown for a pull request", default=False)
    json: bool = _json()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproOptions:
    source: str = _option(
        "run folder, plan.json, log or -, link of a job or run, job name, or name of a test"
    )
    run: bool = _option("run it", default=False)
    failed: bool = _option("only the failed tests", default=False)
    repeat: str = _option("N: until it fails, at most N times")
    bisect: str = _option("GOOD..BAD: find the first commit on which it fails")
    checkout: str = _option("PATH of SGLang's tree here")
    executor: str = _option("where a plan is repeated, instead of on this machine: slurm")
    api: str = _option("URL of GitHub's API, e.g. https://HOST/api/v3")
    digest: str = _option("which run of a log that has several")
    json: bool = _json()
