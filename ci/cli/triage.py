"""`./inv triage SOURCE ...`: its options."""

import sys
from collections.abc import Sequence

from ci.catalog.catalog import load_catalog
from ci.cli.options import Parser, parse
from ci.errors import Problem, UsageError
from ci.report.console import open_console, print_json
from ci.repro.triage.gather import EXAMPLE, TriageOptions, triage_sources
from ci.repro.triage.view import markdown_of, report_of, show_jobs
from ci.system.environ import read_environ

__all__ = ["triage"]


def triage(arguments: Sequence[str]) -> int:
    """`SOURCE... [options]`: print what failed, why, and the next step; the exit code is 0 when every source was read."""
    options = _read(arguments)
    environ = read_environ()
    jobs = triage_sources(options, load_catalog(), environ)
    if options.json:
        print_json(report_of(jobs))
    elif options.markdown:
        sys.stdout.write(markdown_of(jobs))
    else:
        show_jobs(open_console(environ), jobs)
    return 0


def _read(arguments: Sequence[str]) -> TriageOptions:
    """The options.

    Raises:
        UsageError: with every problem.
    """
    parser = Parser(prog="./inv triage")
    add = parser.add_argument
    add("sources", nargs="*", default=[], help=EXAMPLE)
    add("--checkout", default="", metavar="PATH", help="SGLang's tree here: the lines fit it")
    add("--api", default="", metavar="URL", help="GitHub's API, e.g. https://HOST/api/v3")
    add("--markdown", action="store_true", help="Markdown for a pull request")
    add("--json", action="store_true")
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    if not known.sources:
        problems.append(Problem(where="SOURCE", what="is missing", hint=EXAMPLE))
    if known.markdown and known.json:
        problems.append(Problem(where="--markdown", what="and --json: use one of them"))
    if known.api and not any(source.startswith(("http://", "https://")) for source in known.sources):
        problems.append(
            Problem(where="--api", what="has no effect: no source is a link", hint="leave it out")
        )
    if problems:
        raise UsageError("invalid options", problems=problems, then="./inv --help triage")
    return TriageOptions(
        sources=tuple(known.sources),
        checkout=known.checkout,
        api=known.api,
        markdown=known.markdown,
        json=known.json,
    )
