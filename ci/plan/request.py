"""What a user requested, before defaults: None or empty means "not given"."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.executors import ExecutorKind
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.plan.shards import Shard
from ci.system.environ import VARIABLE_NAME

__all__ = [
    "CHANGING",
    "SELECTING",
    "Request",
    "given",
    "parse_env",
    "parse_executor",
    "parse_jobs",
    "parse_nodes",
    "parse_shard",
    "split_pytest_args",
    "without",
]

# options that select tests, and those about the rest of a plan's work; each with the number of words that follow, None where
# one may
SELECTING: Mapping[str, int | None] = {
    "--suite": 1,
    "--shard": 1,
    "--test": 1,
    "--last-failed": None,
    "--plan": 1,
    "--failed": 0,
}
CHANGING: Mapping[str, int | None] = {
    "--env": 1,
    "--hardware": 1,
    "--engine": 1,
    "--sglang": 1,
    "--only": 1,
    "--image": 1,
    "--rocm": 1,
    "--from-dockerfile": 0,
    "--checkout": 1,
    "--fail-fast": 0,
    "--keep-going": 0,
    "--jobs": 1,
}


# characters of a value that a message repeats
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of a stage session. `tests_source` says who named the tests.

    `tests` are files or node ids of whatever suite has them; `failed` are (suite, node id) of an earlier run.

    `sglang` is a release for the engine's environment that we make; `only_runnable` leaves out what rows know to need a GPU.
    `image` to `from_dockerfile` are for executors with a container: see docs/container.md.
    `cluster` is a Slurm cluster's name and `nodes` how many of its nodes, 0 when not given.
    `compared`: the plan is only compared with that of other hardware, so suites that would not fit are planned too.
    """

    stage: str
    suites: tuple[str, ...] = ()
    shard: Shard | None = None
    tests: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    tests_source: str = "--test"
    env: tuple[tuple[str, str], ...] = ()
    hardware: str = "auto"
    executor: ExecutorKind | None = None
    engine: str = "auto"
    sglang: str = ""
    only_runnable: bool = False
    fail_fast: bool = False
    jobs: str = ""
    pytest_args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    compared: bool = False
    image: str = ""
    rocm: str = ""
    keep: bool = False
    strict: bool = False
    exclusive_host: bool = False
    from_dockerfile: bool = False
    cluster: str = ""
    nodes: int = 0

    @property
    def names_tests(self) -> bool:
        """Whether only some tests are requested."""
        return bool(self.tests or self.failed)


def given(request: Request, options: Iterable[str]) -> tuple[str, ...]:
    """Those of some options that a request gives; each is a field of it by its name."""
    return tuple(
        option for option in options if getattr(request, option.removeprefix("--").replace("-", "_"))
    )


def split_pytest_args(arguments: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ours, and those after a second `--` for pytest."""
    items = tuple(arguments)
    if "--" not in items:
        return items, ()
    cut = items.index("--")
    return items[:cut], items[cut + 1 :]


def without(words: Sequence[str], options: Mapping[str, int | None]) -> tuple[str, ...]:
    """Words of a command that the reader took, without these options and their values."""
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name not in options:
            kept.append(word)
            continue
        follow = options[name]
        if not equals and rest and (follow or (follow is None and not rest[0].startswith("-"))):
            rest.pop(0)
    return tuple(kept)


def parse_shard(text: str, problems: list[Problem]) -> Shard | None:
    """`3/14` as a shard counted from 1; anything else is added to `problems`."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None:
        what = f"{text!r} is not a shard"
        problems.append(Problem(where="--shard", what=what, hint="i/n counted from 1, e.g. --shard 3/14"))
        return None
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count:
        what = f"{text!r} is outside 1/{max(count, 1)} to {max(count, 1)}/{max(count, 1)}"
        problems.append(Problem(where="--shard", what=what, hint="shards are counted from 1"))
        return None
    return Shard(index=index, count=count)


def parse_env(items: Sequence[str], problems: list[Problem]) -> tuple[tuple[str, str], ...]:
    """`K=V` items in order; malformed and doubled ones are added to `problems`."""
    pairs: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if equals and not name:
            hint = "e.g. --env SGLANG_X=1"
            problems.append(Problem(where="--env", what=f"{item!r} has no name before the =", hint=hint))
        elif not equals or not VARIABLE_NAME.fullmatch(name) or "\0" in value:
            problems.append(
                Problem(where="--env", what=f"{name!r} is not NAME=VALUE", hint="e.g. --env SGLANG_X=1")
            )
        elif name in pairs:
            problems.append(Problem(where="--env", what=f"{name} is given twice", hint="give it once"))
        else:
            pairs[name] = value
    return tuple(pairs.items())


def parse_executor(text: str, problems: list[Problem]) -> ExecutorKind | None:
    """An executor by its name, None for `auto`."""
    if text == "auto":
        return None
    try:
        return ExecutorKind(text)
    except ValueError:
        hint = closest(text, ("auto", *ExecutorKind))
        problems.append(Problem(where="--executor", what=f"unknown executor {text!r}", hint=hint))
        return None


def parse_jobs(text: str, problems: list[Problem]) -> str:
    """A number from 1, or `gpus`: as many tests at a time as the GPUs allow."""
    if text and text != "gpus" and not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        what = f"{text[:_SHOWN]!r} is neither a number from 1 to 9999 nor 'gpus'"
        problems.append(Problem(where="--jobs", what=what, hint="e.g. --jobs 2"))
        return ""
    return text


def parse_nodes(text: str, problems: list[Problem]) -> int:
    """A number from 1, 0 for none given."""
    if text and not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        what = f"{text[:_SHOWN]!r} is not a number from 1 to 99999"
        problems.append(Problem(where="--nodes", what=what, hint="e.g. --nodes 2"))
        return 0
    return int(text or 0)
