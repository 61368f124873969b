"""The options of `./inv repro`."""

from dataclasses import dataclass

from ci.catalog.executors import ExecutorKind

__all__ = ["EXAMPLE", "ReproOptions"]

EXAMPLE = "./inv repro .runs/RUN, LOG, -, https://github.com/.../job/1, 'SUITE (LABEL, 8/14)' or test_x.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproOptions:
    """The source and what to do with it.

    `executor` is where a plan is repeated, None: on this machine. `repeat` is how often at most, 0 for once; `bisect` a good and a bad commit; `digest` the beginning of one, for a log
    that holds several runs.
    """

    source: str
    run: bool = False
    failed: bool = False
    repeat: int = 0
    bisect: tuple[str, str] | None = None
    checkout: str = ""
    executor: ExecutorKind | None = None
    api: str = ""
    digest: str = ""
    json: bool = False
