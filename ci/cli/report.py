"""`nox -s report`: one page, one JUnit file and one summary of a whole workflow's runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ci.catalog.catalog import load_catalog
from ci.cli.options import Parser, parse
from ci.errors import CiError, ExitCode, InfrastructureError, Problem, UsageError, writing
from ci.execute.run_folder import make_report_folder
from ci.facts.gather import runs_dir
from ci.github.outputs import add_summary
from ci.github.verdict import planned_jobs, read_needs
from ci.record.merge import NOT_WHOLE, Merged, merge
from ci.report.console import Text, open_console, print_json
from ci.report.final.terminal import show_end
from ci.report.final.write import Failed, page_of, show_written, write_reports
from ci.report.shards import merged_data
from ci.report.text import one_line
from ci.report.views.shards import show_shards
from ci.repro.gather_runs import EXAMPLE, RunGatherer, planned_of
from ci.system import clock
from ci.system.environ import read_environ

__all__ = ["report", "report_parser"]


def report(arguments: Sequence[str]) -> int:
    """Merge the runs of the sources; 0 when the report is of the whole workflow, whatever its tests ended with.

    Raises:
        CiError: with everything that is missing or left out, after the report was written.
    """
    known = _read(arguments)
    environ = read_environ()
    if known.link:
        return _link(environ, known.link)
    catalog = load_catalog()
    into = _folder(known.output, environ)
    gatherer = RunGatherer(into, catalog, environ, api=known.api)
    needs = environ.get("NEEDS", "")
    if needs:
        names = [(name, "") for name in planned_jobs(read_needs(needs))]
        gatherer.planned = planned_of(names, catalog, gatherer.unusable)
    for source in known.sources:
        gatherer.read(source)
    merged = merge(gatherer.found, gatherer.planned, gatherer.unusable)
    if not merged.record.parts and not gatherer.planned:
        raise _incomplete(merged, "there is no run to report")
    limits = catalog.limits.report
    console = open_console(environ, json=known.json)
    written = write_reports(merged.record, into, environ=environ, limits=limits)
    page = page_of(written)
    if known.page and page is not None and page.suffix == ".html":
        with writing(Path(known.page)):
            Path(known.page).write_bytes(page.read_bytes())
    if known.json:
        print_json({"folder": str(into), **merged_data(merged)})
    show_written(console, into, written, verbose=False)
    if not known.json:
        show_shards(console, merged.record)
        show_end(console, merged.record, into, report=page)
    if lost := [file for file in written if isinstance(file, Failed)]:
        raise InfrastructureError(
            "the report is not whole: " + "; ".join(f"{file.path}: {file.because}" for file in lost),
            then=f"df -h {into}",
        )
    if merged.unusable:
        raise _incomplete(merged, NOT_WHOLE)
    return 0


def _link(environ: Mapping[str, str], links: Sequence[str]) -> int:
    """Links on the run's page to what was kept: only after an upload is its address known."""
    named = [(name, url) for name, _, url in (link.partition("=") for link in links)]
    add_summary(environ, "\n" + " · ".join(f"[{name}]({url})" for name, url in named) + "\n")
    console = open_console(environ)
    for name, url in named:
        console.print(Text(one_line(f"{name}: {url}")), soft_wrap=True)
    return 0


def _incomplete(merged: Merged, what: str) -> CiError:
    problems = [each.problem for each in merged.unusable]
    return CiError(
        what,
        problems=problems,
        then=EXAMPLE,
        exit_code=ExitCode(merged.code or ExitCode.NOTHING_SELECTED),
    )


def _folder(given: str, environ: Mapping[str, str]) -> Path:
    """The folder of the report, which is new or empty.

    Raises:
        UsageError: it holds something.
        InfrastructureError: it cannot be made.
    """
    if not given:
        return make_report_folder(runs_dir(environ), clock.utc_now())
    folder = Path(given).expanduser().absolute()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty",
                cause="the report of other runs may be in it",
                then="name another folder: --output DIR",
            )
    return folder


def report_parser() -> Parser:
    """The options of `nox -s report`."""
    parser = Parser(
        prog="nox -s report --",
        description="One page, one JUnit file and one summary of the runs of a workflow.",
    )
    add = parser.add_argument
    add("sources", nargs="*", default=[], metavar="RUN|ZIP|URL", help=EXAMPLE)
    add("--output", default="", metavar="DIR", help="where the report goes; a new folder in .runs by default")
    add("--page", default="", metavar="FILE", help="write the page there too")
    add(
        "--link",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="make no report: add a link to the page of the run in Actions; repeatable",
    )
    add("--api", default="", metavar="URL", help="GitHub's API, e.g. https://HOST/api/v3")
    add("--json", action="store_true", help="machine-readable standard output")
    return parser


def _read(arguments: Sequence[str]) -> Any:
    """The options.

    Raises:
        UsageError: with every problem.
    """
    parser = report_parser()
    problems: list[Problem] = []
    known = parse(parser, arguments, problems)
    for link in known.link:
        name, _, url = link.partition("=")
        if not name or not url.startswith("https://") or " " in url or set(link) & set("[]()<>\n"):
            problems.append(Problem(where=f"--link {link}", what="is not NAME=https://..."))
    if known.link and known.sources:
        problems.append(Problem(where="--link", what="makes no report", hint="leave out the runs"))
    if not known.sources and not known.link:
        problems.append(Problem(where="RUN|ZIP|URL", what="is missing", hint=EXAMPLE))
    if known.api and not any(source.startswith(("http://", "https://")) for source in known.sources):
        problems.append(
            Problem(where="--api", what="has no effect: no source is a link", hint="leave it out")
        )
    if problems:
        raise UsageError("invalid options", problems=problems, then=EXAMPLE)
    return known
