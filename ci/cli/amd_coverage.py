"""`nox -s amd_coverage`: tests of an SGLang tree that run for CUDA and not for AMD, and which could."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.options import Parser
from ci.errors import UsageError
from ci.facts.coverage import gather_coverage
from ci.facts.tree.gather import gather_tree
from ci.plan.coverage.make import FIRST, TreeTests, backtest, make_coverage
from ci.report.console import open_console, print_json
from ci.report.views.coverage import backtest_data, coverage_data, show_backtest, show_coverage
from ci.system.environ import read_environ

__all__ = ["amd_coverage", "amd_coverage_parser"]

_EXAMPLE = "nox -s amd_coverage -- --checkout ~/sglang"
_COMPARED = "test/registered"


def amd_coverage_parser() -> Parser:
    """The options of `nox -s amd_coverage`."""
    parser = Parser(prog="nox -s amd_coverage --", description=amd_coverage.__doc__)
    add = parser.add_argument
    add("--checkout", default="", metavar="PATH", help="an SGLang tree")
    add("--limit", default=FIRST, type=int, metavar="N", help=f"how many tests to show (default {FIRST})")
    add(
        "--backtest",
        default="",
        metavar="LATER_TREE",
        help="judge the list by what a later tree enables for AMD",
    )
    add("--json", action="store_true", help="everything, for machines")
    return parser


def amd_coverage(arguments: Sequence[str]) -> int:
    """List tests that run for CUDA and not for AMD, the likeliest to run there first, with the lines to add."""
    known = amd_coverage_parser().read(arguments)
    if not known.checkout:
        raise UsageError("no tree given", cause="the tests are those of an SGLang tree", then=_EXAMPLE)
    catalog = load_catalog()
    tree = _gather(catalog, known.checkout)
    found = make_coverage(catalog.coverage, tree, _shards(catalog, Path(tree.root)))
    judged = (
        backtest(found, _gather(catalog, known.backtest).files, below=_COMPARED) if known.backtest else None
    )
    if known.json:
        data = coverage_data(found)
        print_json(data if judged is None else {**data, "backtest": backtest_data(judged)})
    elif judged is not None:
        show_backtest(open_console(read_environ()), judged, later=known.backtest)
    else:
        show_coverage(open_console(read_environ()), found, title=tree.root, limit=known.limit)
    return 0


def _gather(catalog: Catalog, path: str) -> TreeTests:
    return gather_coverage(Path(path).expanduser().absolute(), catalog.discovery)


def _shards(catalog: Catalog, root: Path) -> Callable[[str], int]:
    """In how many shards a suite runs: what the tree's workflows say, else its row, else 1."""
    parts = {suite.name: suite.shards for suite in catalog.suites}
    for job in gather_tree(root, catalog.hardware).amd_jobs:
        for cell in job.started:
            parts.update({call.suite: call.parts for call in cell.calls if call.suite and call.parts})
    return lambda suite: parts.get(suite, 1)
