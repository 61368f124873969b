"""`./inv repro SOURCE`: its options, and what it is started with."""

from collections.abc import Sequence
from pathlib import Path

from ci.catalog.catalog import load_catalog
from ci.cli.options import Parser, parse
from ci.errors import ExitCode, Problem, UsageError
from ci.plan.request import parse_executor
from ci.report.console import say
from ci.repro.command import Repro, bisect_step
from ci.repro.options import EXAMPLE, ReproOptions
from ci.system.environ import read_environ
from ci.system.signals import stop_once

__all__ = ["repro"]


def repro(arguments: Sequence[str]) -> int:
    """`SOURCE [options]`: print what was understood and the lines that repeat it; with `--run` do it."""
    options, step = _read(arguments)
    catalog, environ = load_catalog(), read_environ()
    if step or options.run:
        stop_once(lambda _number: None)
    if step:
        return bisect_step(Path(step), catalog, environ)
    try:
        return Repro(options, catalog, environ).act()
    except KeyboardInterrupt:
        say("interrupted; its processes have ended, its work trees are removed")
        return int(ExitCode.INTERRUPTED)


def _read(arguments: Sequence[str]) -> tuple[ReproOptions, str]:
    """The options, and the file that a bisection calls us with.

    Raises:
        UsageError: with every problem.
    """
    parser = Parser(prog="./inv repro")
    add = parser.add_argument
    add("source", nargs="?", default="", help=EXAMPLE)
    add("--run", action="store_true", help="do it")
    add("--failed", action="store_true", help="only the failed tests")
    add("--repeat", default="", metavar="N", help="until it fails, at most N times")
    add("--bisect", default="", metavar="GOOD..BAD", help="find the first commit on which it fails")
    add("--checkout", default="", metavar="PATH", help="SGLang's tree here")
    add(
        "--executor", default="auto", metavar="E", help="where a plan is repeated, instead of on this machine"
    )
    add("--api", default="", metavar="URL", help="GitHub's API, e.g. https://HOST/api/v3")
    add("--digest", default="", metavar="HEX", help="which run of a log that holds several")
    add("--json", action="store_true")
    add("--bisect-step", default="", metavar="FILE", help="what --bisect calls for each commit")
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    if not known.source and not known.bisect_step:
        problems.append(Problem(where="SOURCE", what="is missing", hint=EXAMPLE))
    if known.repeat and not (known.repeat.isdecimal() and int(known.repeat) >= 1):
        problems.append(Problem(where="--repeat", what=f"{known.repeat!r} is not a number from 1"))
    good, _, bad = known.bisect.partition("..")
    bad = bad.lstrip(".")
    if known.bisect and not (good and bad):
        problems.append(Problem(where="--bisect", what=f"{known.bisect!r} is not GOOD..BAD"))
    if known.repeat and known.bisect:
        problems.append(Problem(where="--repeat", what="and --bisect: use one of them"))
    if (known.repeat or known.bisect) and not known.run:
        where = "--repeat" if known.repeat else "--bisect"
        problems.append(Problem(where=where, what="runs tests", hint="add --run"))
    executor = parse_executor(known.executor, problems)
    if problems:
        raise UsageError("invalid options", problems=problems, then="./inv --help repro")
    options = ReproOptions(
        source=known.source,
        run=known.run,
        failed=known.failed,
        repeat=int(known.repeat or 0),
        bisect=(good, bad) if known.bisect else None,
        checkout=known.checkout,
        executor=executor,
        api=known.api,
        digest=known.digest,
        json=known.json,
    )
    return options, known.bisect_step
