"""How likely a test for CUDA is to run on AMD: points for what its file contains, with the reasons."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ci.catalog.coverage import CoverageRules, Trait
from ci.catalog.registrations.test_contents import Contents
from ci.plan.coverage.registered import RegisteredFile, Share, gpus_of

__all__ = ["HELPERS", "START", "Known", "Reason", "Score", "known_on_amd", "score"]

START = 50
_MANY_GPUS = 4
_SHORT_S = 60
_LONG_S = 1200
HELPERS = "sglang.test."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Points and why; `line` is that of the first evidence, None when the file as a whole is it."""

    id: str
    points: int
    what: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Points with their reasons, the weightiest first."""

    points: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the tests that run on AMD use: models, helpers, arguments; and how much of suites and areas runs there."""

    models: frozenset[str]
    helpers: frozenset[str]
    arguments: frozenset[str]
    suites: Mapping[str, Share]
    areas: Mapping[str, Share]


def known_on_amd(
    contents: Iterable[Contents], suites: Mapping[str, Share], areas: Mapping[str, Share]
) -> Known:
    """What the contents of all AMD-registered tests have."""
    contents = tuple(contents)
    return Known(
        models=frozenset().union(*(one.models for one in contents)),
        helpers=frozenset().union(*(_helpers(one) for one in contents)),
        arguments=frozenset().union(*(one.arguments for one in contents)),
        suites=suites,
        areas=areas,
    )


def score(
    rules: CoverageRules,
    one: RegisteredFile,
    contents: Contents,
    helpers: Iterable[Contents],
    known: Known,
) -> Score:
    """The score of a test that runs for CUDA alone; `helpers` are what it imports of other tests and of `sglang.test`."""
    # a helper that defines what starts a server names it too, and does not import it
    served = _launches(rules, contents, contents.names) or any(
        _launches(rules, helper, helper.imported) for helper in helpers
    )
    reasons = (
        *_word_reasons(rules, contents, served=served),
        *_traits(rules, one, contents, known, served=served),
    )
    return Score(
        points=START + sum(reason.points for reason in reasons),
        reasons=tuple(sorted((r for r in reasons if r.points), key=lambda r: (-abs(r.points), r.id))),
    )


def _word_reasons(rules: CoverageRules, contents: Contents, *, served: bool) -> Iterator[Reason]:
    for row in rules.words:
        if row.with_server and not served:
            continue
        pattern = re.compile(row.pattern)
        found = [(line, word) for word, line in contents.words.items() if pattern.search(word)]
        if found:
            line, whole = min(found)
            word = next((part for part in whole.split(".") if pattern.search(part)), whole)
            yield Reason(id=row.id, points=row.points, what=f"{word}: {row.why}", line=line)


def _traits(
    rules: CoverageRules, one: RegisteredFile, contents: Contents, known: Known, *, served: bool
) -> Iterator[Reason]:
    def reason(trait: Trait, what: str = "", *, part: float = 1.0) -> Reason:
        row = rules.traits[trait]
        return Reason(
            id=trait, points=round(part * row.points), what=f"{what}: {row.why}" if what else row.why
        )

    if one.disabled:
        yield reason(Trait.DISABLED, one.disabled)
    for trait, pattern in rules.skips.items():
        condition = next((text for text in contents.skips if pattern.search(text)), "")
        if condition:
            yield reason(trait, f"skips if {condition}")
    if not served:
        yield reason(Trait.NO_SERVER)
    else:
        if contents.models and contents.models <= known.models:
            yield reason(Trait.KNOWN_MODELS)
        elif contents.models and not contents.models & known.models:
            yield reason(Trait.UNKNOWN_MODELS, min(contents.models))
        unknown = sorted(contents.arguments - known.arguments)
        yield reason(Trait.UNKNOWN_ARGUMENTS, unknown[0]) if unknown else reason(Trait.KNOWN_ARGUMENTS)
    helpers = sorted(_helpers(contents) - known.helpers)
    yield reason(Trait.UNKNOWN_HELPERS, helpers[0]) if helpers else reason(Trait.KNOWN_HELPERS)
    gpus = min(gpus_of(row.suite) for row in one.cuda)
    if gpus == 1:
        yield reason(Trait.ONE_GPU)
    elif gpus >= _MANY_GPUS:
        yield reason(Trait.MANY_GPUS, f"{gpus} GPUs")
    est_s = min(row.est_time_s for row in one.cuda)
    if est_s <= _SHORT_S or est_s > _LONG_S:
        yield reason(Trait.SHORT if est_s <= _SHORT_S else Trait.LONG, f"{est_s:g} s")
    suite = max((known.suites[row.suite] for row in one.cuda), key=lambda share: share.value)
    area = known.areas[one.area]
    yield reason(Trait.SUITE_SHARE, f"{suite.both} of {suite.cuda}", part=2 * suite.value - 1)
    yield reason(Trait.AREA_SHARE, f"{area.both} of {area.cuda}", part=2 * area.value - 1)


def _launches(rules: CoverageRules, contents: Contents, names: Collection[str]) -> bool:
    return any(
        name in names or any(module == name or module.startswith(f"{name}.") for module in contents.imports)
        for name in rules.launchers
    )


def _helpers(contents: Contents) -> frozenset[str]:
    return frozenset(module for module in contents.imports if module.startswith(HELPERS))
