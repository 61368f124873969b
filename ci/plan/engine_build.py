"""The engine's environment that we make where it has no GPU: what of it decides a verdict, and where it is."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["EngineBuild", "EnginePlace", "EngineSource", "EngineWork"]


class EngineSource(StrEnum):
    """Where the engine's own code comes from."""

    RELEASE = "release"
    CHECKOUT = "checkout"
    GIVEN = "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWork:
    """What of it decides a verdict; digests are SHA-256.

    `environment` is the digest of all that it is made of, empty for an interpreter that was given. `requirements` are the
    versions and hashes of what has no pins in this repository. `kernels` is the digest of what stands in for the
    compiled kernels, `weights` that of what stands in for the models. `changed` is over the files that are not as they were
    made, empty when all are.
    """

    source: EngineSource
    environment: str
    requirements: tuple[str, ...]
    kernels: str
    weights: str
    changed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlace:
    """Where it is on this machine.

    `path` goes before the tests' PATH, `pythonpath` before their PYTHONPATH. `hf_home` is the Hugging Face cache in which
    the stand-ins have the models' names. `folders` are what a container needs to see, at the same paths.
    """

    path: tuple[str, ...]
    pythonpath: tuple[str, ...]
    hf_home: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBuild:
    """Both parts, and notes for the reader. `ready` is false for one that has to be made first.

    `arguments` are those that this version of the engine needs besides those of its service.
    """

    work: EngineWork
    place: EnginePlace
    ready: bool
    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
