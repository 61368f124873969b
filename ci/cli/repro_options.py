"""The options of `./inv repro`."""

from collections.abc import Sequence
from typing import Any

from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError

__all__ = ["EXAMPLE", "read_repro_options"]

EXAMPLE = "./inv repro .runs/RUN, LOG, -, https://github.com/.../job/1, 'SUITE (LABEL, 8/14)' or test_x.py"


def read_repro_options(arguments: Sequence[str]) -> Any:
    """What was asked for, as the parser's namespace.

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
    if known.bisect and not all(known.bisect.partition("..")[::2]):
        problems.append(Problem(where="--bisect", what=f"{known.bisect!r} is not GOOD..BAD"))
    if known.repeat and known.bisect:
        problems.append(Problem(where="--repeat", what="and --bisect: use one of them"))
    if (known.repeat or known.bisect) and not known.run:
        problems.append(
            Problem(where="--repeat" if known.repeat else "--bisect", what="runs tests", hint="add --run")
        )
    if problems:
        raise UsageError("the options can't be meant", problems=problems, then="./inv --help repro")
    return known
