"""The options of `nox -s fleet`, read with every problem at once."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError
from ci.plan.fleet.scenario import Settings

__all__ = ["fleet_parser", "read_fleet_options"]

_EXAMPLE = "nox -s fleet -- --checkout ~/sglang --per-day pull-requests=200 --gpus mi300=512"
_WHAT = "Simulate a fleet: queue wait, time to green, GPU hours, and what gates, fail-fast, selection and shards cost."

N = TypeVar("N", int, float)


def fleet_parser() -> Parser:
    """The options of `nox -s fleet`."""
    parser = Parser(prog="nox -s fleet --", description=_WHAT)
    add = parser.add_argument
    add("--checkout", default="", metavar="PATH", help="an SGLang tree: its tests, suites and parts")
    add("--per-day", action="append", default=[], metavar="ARRIVAL=N", help="events a day; repeatable")
    add("--gpus", action="append", default=[], metavar="POOL=N", help="GPUs of a pool; repeatable")
    add("--days", default="3", metavar="N", help="days that are counted (default 3)")
    add("--warm-up", default="1", metavar="N", help="days before them (default 1)")
    add("--seed", default="1", metavar="N", help="of the pseudo-random numbers (default 1)")
    add(
        "--compare", nargs=2, default=[], metavar=("A", "B"), help="two folders of catalog rows, side by side"
    )
    add(
        "--target",
        default=None,
        metavar="MIN",
        help="find shards and routing for this p90 of the time to green",
    )
    add(
        "--budget",
        default=None,
        metavar="GPU_HOURS",
        help="with --target: no more GPU hours a day than these",
    )
    add("--plain", action="store_true", help="the fleet as it is alone, without what each rule costs")
    add("--output", default="", metavar="FILE", help="a page with plots and tables")
    add("--json", action="store_true", help="everything, for machines")
    return parser


def read_fleet_options(arguments: Sequence[str]) -> tuple[Any, Settings]:
    """The options.

    Raises:
        UsageError: with every problem.
    """
    problems: list[Problem] = []
    known = parse(fleet_parser(), arguments, problems)
    days = _number("--days", known.days, float, problems)
    warm_up = _number("--warm-up", known.warm_up, float, problems, least=0)
    seed = _number("--seed", known.seed, int, problems, least=0)
    per_day = _pairs("--per-day", known.per_day, float, problems)
    gpus = _pairs("--gpus", known.gpus, int, problems)
    for name in ("target", "budget"):
        if getattr(known, name) is not None:
            setattr(known, name, _number(f"--{name}", getattr(known, name), float, problems))
    if known.budget is not None and known.target is None:
        problems.append(Problem(where="--budget", what="needs --target"))
    if known.compare and known.target is not None:
        problems.append(
            Problem(where="--target", what="does not go with --compare", hint="search one catalog")
        )
    problems += [
        Problem(where="--compare", what=f"{folder} is not a folder", hint="e.g. ci/catalog")
        for folder in known.compare
        if not Path(folder).expanduser().is_dir()
    ]
    if known.compare and len(set(known.compare)) == 1:
        problems.append(Problem(where="--compare", what="names one folder twice"))
    if problems:
        raise UsageError("invalid options", problems=problems, then=_EXAMPLE)
    return known, Settings(days=days, warm_up_days=warm_up, seed=seed, per_day=per_day, gpus=gpus)


def _number(
    where: str, text: str, kind: Callable[[str], N], problems: list[Problem], *, least: float | None = None
) -> N:
    try:
        value = kind(text)
        valid = math.isfinite(value) and (value > 0 if least is None else value >= least)
    except (ValueError, OverflowError):
        value, valid = kind("0"), False
    if not valid:
        above = "above 0" if least is None else f"{least:g} or more"
        problems.append(Problem(where=where, what=f"invalid number {text!r}", hint=above))
    return value


def _pairs(
    where: str, given: Sequence[str], kind: Callable[[str], N], problems: list[Problem]
) -> dict[str, N]:
    found: dict[str, N] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            problems.append(Problem(where=where, what=f"invalid value {pair!r}", hint="NAME=NUMBER"))
        elif name in found:
            problems.append(Problem(where=where, what=f"{name} appears twice"))
        else:
            found[name] = _number(where, text, kind, problems)
    return found
