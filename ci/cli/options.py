"""The options of the stage sessions: declared once, read with every problem reported at once."""

import argparse
import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

from ci.catalog.executors import ExecutorKind
from ci.catalog.toml_reader import closest
from ci.errors import Problem, UsageError
from ci.facts.gather import Place
from ci.plan.pytest_args import check_pytest_args
from ci.plan.registry import EXECUTOR_OPTIONS, EXECUTORS
from ci.plan.request import (
    CHANGING,
    SELECTING,
    Request,
    given,
    parse_env,
    parse_executor,
    parse_jobs,
    parse_nodes,
    parse_shard,
    split_pytest_args,
)
from ci.plan.shards import Shard

__all__ = ["Parser", "RunOptions", "parse", "read_run_options", "run_parser"]

# a job of Actions that tests no other tree gives it so
_MAY_BE_EMPTY = frozenset({"--checkout"})


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours and whose abbreviations are refused: `--shar` would silently mean `--shard`."""

    def __init__(self, **keywords: Any) -> None:
        """As ArgumentParser."""
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **keywords)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage and leaving.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, cause="invalid options", then=f"{self.prog} --help")

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Read all arguments.

        Raises:
            UsageError: with every problem.
        """
        problems: list[Problem] = []
        known = parse(self, arguments, problems)
        if problems:
            raise UsageError("invalid options", problems=problems, then=f"{self.prog} --help")
        return known

    def empty(self, arguments: Sequence[str]) -> list[str]:
        """Options that are given an empty value, as an unset variable of a shell does: it would count as not given."""
        names = {name for action in self._actions if action.nargs != 0 for name in action.option_strings}
        taking = names - _MAY_BE_EMPTY
        inline = [word[:-1] for word in arguments if word.endswith("=") and word[:-1] in taking]
        return inline + [word for word, value in pairwise(arguments) if word in taking and value == ""]

    @property
    def options(self) -> list[str]:
        """Every option's name."""
        return sorted(
            name for action in self._actions for name in action.option_strings if name.startswith("--")
        )

    @property
    def described(self) -> list[tuple[str, str]]:
        """Every option or argument as it is typed, and its help."""
        return [
            (" ".join([*action.option_strings, *_values(action)]), action.help or "")
            for action in self._actions
            if "--help" not in action.option_strings
        ]


def _values(action: argparse.Action) -> list[str]:
    """What follows an option, or stands for an argument."""
    if action.nargs == 0:
        return []
    named = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or action.dest.upper(),)
    return [f"[{name}]" if action.nargs == "?" and action.option_strings else name for name in named]


def parse(parser: Parser, arguments: Sequence[str], problems: list[Problem]) -> argparse.Namespace:
    """Read the arguments; options that are not known are added to `problems` with the nearest names."""
    known, unknown = parser.parse_known_args(list(arguments))
    problems += [
        Problem(where=option, what="is empty", hint="give it a value, or leave it out")
        for option in parser.empty(arguments)
    ]
    for item in unknown:
        name = item.partition("=")[0]
        if name.startswith("-"):
            problems.append(Problem(where=name, what="unknown option", hint=closest(name, parser.options)))
        else:
            hint = "options begin with --; arguments for pytest follow a second --"
            problems.append(Problem(where=item, what="is unexpected", hint=hint))
    return known


class RunOptions:
    """A stage session's options after reading: what is asked (`request`), where (`place`), and how to show it."""

    __slots__ = (
        "as_saved",
        "baseline",
        "dry_run",
        "failed",
        "json",
        "last_failed",
        "list",
        "place",
        "plan_file",
        "request",
        "verbose",
        "yes",
    )

    def __init__(self, known: argparse.Namespace, request: Request, place: Place) -> None:
        """Keep what the parser found."""
        self.request = request
        self.place = place
        self.list: bool = known.list
        self.json: bool = known.json
        self.dry_run: bool = known.dry_run
        self.last_failed: str | None = known.last_failed
        self.plan_file: str = known.plan
        self.failed: bool = known.failed
        self.as_saved: bool = known.as_saved
        self.baseline: str = known.baseline
        self.yes: bool = known.yes
        self.verbose: bool = known.verbose


def _part(text: str, problems: list[Problem]) -> Shard | None:
    """The shard; 1/1 is the whole suite, and plans the same."""
    shard = parse_shard(text, problems) if text else None
    return None if shard == Shard(index=1, count=1) else shard


@functools.cache
def run_parser(prog: str) -> Parser:
    """The parser of every stage session."""
    parser = Parser(
        prog=prog,
        description="Run a stage. The plan shows every default with its source.",
        epilog="Arguments after a second -- go to pytest.",
    )
    add = parser.add_argument
    add(
        "--suite",
        action="append",
        default=[],
        metavar="S",
        help="only this suite: short id or SGLang's full name",
    )
    add(
        "--shard",
        default="",
        metavar="I/N",
        help="one shard of one suite, counted from 1; a --test must be in it",
    )
    add(
        "--test",
        action="append",
        default=[],
        metavar="NODEID",
        help="only this file or pytest node id; repeatable",
    )
    add(
        "--last-failed",
        nargs="?",
        const="",
        metavar="RUN",
        help="only what failed in this run; without RUN: in the newest of this stage",
    )
    add("--list", action="store_true", help="print the tests with their estimates, one per line, and stop")
    add(
        "--env",
        action="append",
        default=[],
        metavar="K=V",
        help="set a variable over every env set; repeatable",
    )
    add("--hardware", default="auto", metavar="CLASS", help="auto, cpu (rehearsal), mi300x, mi325x or mi355x")
    add(
        "--executor",
        default="auto",
        metavar="E",
        help=f"where the tests run: auto, {' or '.join(ExecutorKind)}",
    )
    add(
        "--cluster",
        default="",
        metavar="NAME",
        help="slurm: a row of clusters.toml instead of this machine's cluster",
    )
    add("--nodes", default="", metavar="N", help="slurm: how many nodes, instead of the row's number")
    add("--engine", default="auto", metavar="E", help="auto, sglang or llamacpp")
    add(
        "--sglang",
        default="",
        metavar="VERSION",
        help="with --engine sglang on a CPU: this release of SGLang",
    )
    add(
        "--only",
        default="",
        choices=("", "runnable"),
        metavar="runnable",
        help="with --engine sglang on a CPU: leave out tests that are known to need a GPU",
    )
    add(
        "--baseline",
        default="",
        metavar="RUN",
        help="compare with this run: what passed there and fails here comes first",
    )
    add("--yes", action="store_true", help="make the engine's environment (5 GB) without asking")
    add("--image", default="", metavar="REF", help="docker: this image instead of the newest of its flavour")
    add("--rocm", default="", metavar="V", help="docker: the image's ROCm line: 700, 720 or 724")
    add(
        "--from-dockerfile",
        action="store_true",
        help="docker: build the image from --checkout's docker/rocm.Dockerfile",
    )
    add(
        "--keep",
        action="store_true",
        help="docker: keep the container, and use one that an earlier run kept",
    )
    add("--strict", action="store_true", help="docker: a stale image is exit 4")
    add(
        "--exclusive-host",
        action="store_true",
        help="docker: this machine is for this run alone: end processes that hold its GPUs",
    )
    add("--python", default="", metavar="PATH", help="the interpreter that has the engine and runs the tests")
    add("--checkout", default="", metavar="PATH", help="an SGLang tree whose registered tests are run")
    add("--plan", default="", metavar="FILE|RUN", help="run exactly this plan.json, or a run's plan, again")
    add("--failed", action="store_true", help="of --plan RUN only what failed in that run")
    add(
        "--as-saved",
        action="store_true",
        help="run the plan of --plan although it is not what its request gives here: UNVERIFIED",
    )
    add("--dry-run", action="store_true", help="print the plan and do nothing")
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="show the plan before the run, and tables of all after it",
    )
    stop = parser.add_mutually_exclusive_group()
    stop.add_argument("--keep-going", action="store_true", help="go on after a failed test (the default)")
    stop.add_argument("--fail-fast", action="store_true", help="stop after the first failed test")
    add(
        "--jobs",
        default="",
        metavar="N|gpus",
        help="tests at a time; gpus: as many as there are GPUs, in a rehearsal CPUs",
    )
    add("--json", action="store_true", help="machine-readable standard output; people read standard error")
    return parser


def read_run_options(stage: str, prog: str, command: tuple[str, ...], arguments: Sequence[str]) -> RunOptions:
    """Read a stage session's arguments.

    Raises:
        UsageError: with every problem.
    """
    ours, pytest_args = split_pytest_args(arguments)
    problems: list[Problem] = []
    known = parse(run_parser(prog), ours, problems)
    request = Request(
        stage=stage,
        suites=tuple(known.suite),
        shard=_part(known.shard, problems),
        tests=tuple(known.test),
        env=parse_env(known.env, problems),
        hardware=known.hardware,
        executor=parse_executor(known.executor, problems),
        engine=known.engine,
        sglang=known.sglang,
        only_runnable=known.only == "runnable",
        fail_fast=known.fail_fast,
        jobs=parse_jobs(known.jobs, problems),
        pytest_args=pytest_args,
        command=command,
        image=known.image,
        rocm=known.rocm,
        keep=known.keep,
        strict=known.strict,
        exclusive_host=known.exclusive_host,
        from_dockerfile=known.from_dockerfile,
        cluster=known.cluster,
        nodes=parse_nodes(known.nodes, problems),
    )
    check_pytest_args(pytest_args, problems)
    _check_executor_options(known, request, problems)
    changing = [
        name
        for name in (*SELECTING, *CHANGING)
        if name not in ("--plan", "--failed") and _is_given(known, name)
    ]
    changing += ["-- (pytest's arguments)"] if pytest_args else []
    if known.plan and changing:
        hint = "leave it out, or plan again without --plan"
        problems += [
            Problem(where=name, what="would change the plan of --plan", hint=hint) for name in changing
        ]
    if known.last_failed is not None and known.test:
        problems.append(
            Problem(where="--last-failed", what="and --test both name tests", hint="use one of them")
        )
    if known.failed and not known.plan:
        hint = "--plan RUN --failed; of the newest run: --last-failed"
        problems.append(Problem(where="--failed", what="of which run's plan?", hint=hint))
    if known.as_saved and not known.plan:
        problems.append(Problem(where="--as-saved", what="of which plan?", hint="--plan FILE --as-saved"))
    if problems:
        raise UsageError("invalid options", problems=problems, then=f"{prog} --help")
    place = Place(
        checkout=known.checkout,
        python=known.python,
        planning_only=known.dry_run or known.list,
        names_only=known.list,
    )
    return RunOptions(known, request, place)


def _is_given(known: argparse.Namespace, option: str) -> bool:
    value = getattr(known, option.removeprefix("--").replace("-", "_"))
    return value not in (None, False, "", "auto", [])


def _check_executor_options(known: argparse.Namespace, request: Request, problems: list[Problem]) -> None:
    """Options that the executor has no use for, and those that name an image twice, are added to `problems`."""
    executor = request.executor
    for option in given(request, EXECUTOR_OPTIONS):
        fitting = [kind for kind, each in EXECUTORS.items() if option in each.OPTIONS]
        if executor in fitting:
            continue
        named = " or ".join(f"--executor {kind}" for kind in fitting)
        if executor is not None:
            what = f"has no effect with --executor {executor}"
            problems.append(Problem(where=option, what=what, hint=f"{named}, or leave it out"))
        elif not known.plan and all(EXECUTORS[kind].ON_CLUSTER for kind in fitting):
            # one on a cluster is never the default
            problems.append(Problem(where=option, what=f"needs {named}", hint="add it, or leave this out"))
    if request.from_dockerfile and request.image:
        problems.append(
            Problem(where="--from-dockerfile", what="and --image both name the image", hint="use one of them")
        )
    if request.from_dockerfile and not known.checkout:
        what = "needs --checkout, the tree with the Dockerfile"
        problems.append(Problem(where="--from-dockerfile", what=what, hint="--checkout PATH"))
