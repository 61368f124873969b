"""What is on disk and decides a verdict, whatever git and the pins say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ContentWork", "TreeContent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeContent:
    """SHA-256 of the files of the tree under test, and of this repository's tools; empty where nobody looked."""

    tests: str = ""
    tools: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentWork:
    """SHA-256 of files as they are: git shows no ignored file, and none that it was asked to take for unchanged.

    `tests` are the tests with all that stands beside them, in a checkout its own SGLang too. `tools` are agent, harness, and
    what plans and judges. `packages` are those of the engine, of what its kernels come from, of the weights that stand in, and
    pytest, by name: empty in a container, whose image has them, and for an environment that is made here, whose changes stand in
    `engine_build`.
    """

    tests: str = ""
    tools: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
