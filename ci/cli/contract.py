"""`nox -s contract`: our variables and server arguments against what one version of SGLang reads and accepts."""

import argparse
import contextlib
from collections.abc import Mapping, Sequence

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.registrations.server_specs import read_server_arguments
from ci.cli.options import Parser
from ci.engine.environment import environment_of, pinned_layer, tree_layer
from ci.engine.trees import tree_wants
from ci.errors import ExitCode, InfrastructureError, UsageError
from ci.facts.gather import REPOSITORY
from ci.facts.sglang.gather import gather_sglang
from ci.facts.sglang.tree import SglangTree, find_checkout, find_installed, find_release
from ci.plan.contract.judge import Contract, judge, values_of, words_of
from ci.report.console import open_console, print_json, say
from ci.report.views.contract import contract_data, show_contract
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir

__all__ = ["contract", "contract_parser"]


def contract_parser() -> Parser:
    """The options of `nox -s contract`."""
    parser = Parser(prog="nox -s contract --", description=contract.__doc__)
    add = parser.add_argument
    add(
        "--sglang",
        default="",
        metavar="VERSION",
        help="a release from the package index; default: the newest with a row",
    )
    add("--checkout", default="", metavar="PATH", help="an SGLang tree")
    add(
        "--python",
        default="",
        metavar="PATH",
        help="an interpreter that can import it: its own parser is asked",
    )
    add("--json", action="store_true", help="everything, for machines")
    return parser


def contract(arguments: Sequence[str]) -> int:
    """Compare; exit 1 when a row of ours does not fit, 10 when the tree contradicts itself."""
    known = contract_parser().read(arguments)
    catalog, environ = load_catalog(), read_environ()
    tree = _tree(known, catalog, environ)
    specs = read_server_arguments(REPOSITORY)
    python = _python(known, catalog, tree, environ)
    values, words = values_of(catalog), tuple(words_of(catalog, specs))
    try:
        sglang = gather_sglang(tree, values, words, python=python, environ=environ)
    except InfrastructureError as error:
        if known.python or not python:
            raise
        say(f"{error.what} ({error.cause}): its source is read")
        sglang = gather_sglang(tree, values, words, python="", environ=environ)
    found: Contract = judge(catalog, specs, sglang)
    if known.json:
        print_json(contract_data(found))
    else:
        show_contract(open_console(environ), found)
    if found.problems:
        return int(ExitCode.TESTS_FAILED)
    return int(ExitCode.FINDINGS if found.findings else ExitCode.OK)


def _tree(known: argparse.Namespace, catalog: Catalog, environ: Mapping[str, str]) -> SglangTree:
    """What is named, else the newest release that has a row."""
    if known.sglang and known.checkout:
        raise UsageError(
            "--sglang and --checkout both name an SGLang",
            then="nox -s contract -- --sglang 0.5.23, or: --checkout PATH",
        )
    if known.checkout:
        return find_checkout(known.checkout, catalog.discovery)
    if known.python and not known.sglang:
        return find_installed(known.python, environ)
    return find_release(known.sglang or catalog.sglang.newest, environ)


def _python(known: argparse.Namespace, catalog: Catalog, tree: SglangTree, environ: Mapping[str, str]) -> str:
    """The interpreter to ask: the one given, else the engine's environment for this SGLang, if it was made before."""
    layer = None
    if known.checkout:
        # one that does not say what it wants has no environment
        with contextlib.suppress(UsageError):
            wants = tree_wants(tree.base, catalog.sglang)
            layer = tree_layer(catalog.sglang, transformers=wants.transformers, scripts=wants.scripts)
    else:
        layer = pinned_layer(catalog.sglang, tree.version)
    if known.python or layer is None:
        return str(known.python)
    engine = environment_of(catalog.sglang, layer, cache=cache_dir(environ))
    return str(engine.python) if engine.is_ready() else ""
