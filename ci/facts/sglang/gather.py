"""Everything that our rows are compared with, of one SGLang."""

from collections.abc import Iterable, Mapping, Sequence

from ci.catalog.versions import release_of
from ci.facts.sglang.environ import read_declared
from ci.facts.sglang.options import read_lists
from ci.facts.sglang.parser import ask_parser, read_parser
from ci.facts.sglang.readers import find_readers
from ci.facts.sglang.source import Package
from ci.facts.sglang.tree import SglangTree
from ci.plan.contract.sglang import Declared, SglangFacts, VariableFact

__all__ = ["gather_sglang", "gather_variables"]


def gather_sglang(
    tree: SglangTree,
    values: Mapping[str, Iterable[str]],
    groups: Iterable[Sequence[str]],
    *,
    python: str,
    environ: Mapping[str, str],
) -> SglangFacts:
    """Read a tree; `values` are our variables' by name, `groups` our (option, value) pairs.

    With `python` its own parser is asked there, else the source is read.

    Raises:
        FindingsError: the tree cannot be read.
        InfrastructureError: `python` cannot import it.
    """
    declared, environ_source = read_declared(tree.folder, values)
    variables, scanned = _variables(tree, values, declared)
    package = Package(tree.folder)
    parser = ask_parser(tree, python, groups, environ) if python else read_parser(tree, package)
    return SglangFacts(
        title=tree.title,
        version=tree.version,
        version_source=tree.version_source,
        release=release_of(tree.version),
        environ_source=environ_source,
        variables=variables,
        parser=parser,
        lists=read_lists(package),
        declared=tuple(sorted(declared)),
        files_scanned=scanned,
    )


def gather_variables(tree: SglangTree, values: Mapping[str, Iterable[str]]) -> Mapping[str, VariableFact]:
    """What a tree says of these variables; `values` are the texts that its own code is to parse, by name.

    Raises:
        FindingsError: the tree cannot be read.
    """
    return _variables(tree, values, read_declared(tree.folder, values)[0])[0]


def _variables(
    tree: SglangTree, values: Mapping[str, Iterable[str]], declared: Mapping[str, Declared]
) -> tuple[Mapping[str, VariableFact], int]:
    """By name, and how many files were scanned."""
    readings = find_readers(tree.roots, tree.base, [*values])
    return {
        name: VariableFact(
            name=name,
            declared=declared.get(name),
            readers=readings.readers[name],
            mentions=readings.mentions[name],
        )
        for name in values
    }, readings.files
