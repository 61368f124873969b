"""What an SGLang reads and accepts, as values: no tree is read."""

from collections.abc import Mapping, Sequence

from ci.catalog.versions import release_of
from ci.plan.contract.sglang import Declared, Option, ParserFact, Reader, SglangFacts, VariableFact

__all__ = ["option", "sglang", "variable"]


def option(*names: str, **changes: object) -> Option:
    """An argument with one value of any text."""
    return Option(names=names, **({"type": "str"} | changes))  # type: ignore[arg-type]  # the keywords are Option's own


def variable(name: str, *readers: Reader, declared: Declared | None = None) -> VariableFact:
    """A variable that nothing mentions without reading it."""
    return VariableFact(name=name, declared=declared, readers=readers, mentions=())


def sglang(
    options: Sequence[Option] = (),
    *,
    version: str = "1.2",
    variables: Sequence[VariableFact] = (),
    lists: Mapping[str, tuple[str, ...]] | None = None,
    refused: Mapping[tuple[str, str], str] | None = None,
) -> SglangFacts:
    """One version of SGLang."""
    return SglangFacts(
        title=f"SGLang {version}",
        version=version,
        version_source="test",
        release=release_of(version),
        environ_source="test",
        variables={each.name: each for each in variables},
        parser=ParserFact(source="test", options=tuple(options), refused=refused or {}),
        lists=lists or {},
        declared=tuple(each.name for each in variables if each.declared),
        files_scanned=1,
    )
