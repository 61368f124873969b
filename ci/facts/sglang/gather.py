"""Everything that our rows are compared with, of one SGLang."""

from collections.abc import Iterable, Mapping, Sequence

from ci.catalog.versions import release_of
from ci.facts.sglang.environ import read_declared
from ci.facts.sglang.options import read_lists
from ci.facts.sglang.parser import ask_parser, read_parser
from ci.facts.sglang.readers import find_readers
from ci.facts.sglang.source import Package
from ci.facts.sglang.tree import SglangTree
from ci.plan.contract.sglang import SglangFacts, VariableFact

__all__ = ["gather_sglang"]


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
    package = Package(tree.folder)
    parser = ask_parser(tree, python, groups, environ) if python else read_parser(tree, package)
    readings = find_readers(tree.roots, tree.base, [*values])
    return SglangFacts(
        title=tree.title,
        version=tree.version,
        version_source=tree.version_source,
        release=release_of(tree.version),
        environ_source=environ_source,
        variables={
            name: VariableFact(
                name=name,
                declared=declared.get(name),
                readers=readings.readers[name],
                mentions=readings.mentions[name],
            )
            for name in values
        },
        parser=parser,
        lists=read_lists(package),
        declared=tuple(sorted(declared)),
        files_scanned=readings.files,
    )
