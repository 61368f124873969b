"""The coverage of AMD against CUDA, the tests that could be added, best first, and what each costs."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ci.catalog.coverage import CoverageRules
from ci.catalog.registrations.test_contents import Contents
from ci.plan.coverage.registered import (
    Proposals,
    Ratio,
    RegisteredFile,
    Share,
    shares,
    stage_of,
    time_ratios,
)
from ci.plan.coverage.score import Score, known_on_amd, score
from ci.plan.shards import split

__all__ = ["Backtest", "Candidate", "Coverage", "Load", "TreeTests", "backtest", "make_coverage"]

# What a list is judged by: as many as were added in the quarter that it was first compared with, and 2.5 times as many.
FIRST, WIDER = 32, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTests:
    """The tests of a checkout that are registered for CUDA or AMD, what they use, and files that cannot be read.

    `helpers` are, by test file, what the helpers use that it imports.
    """

    root: str
    files: tuple[RegisteredFile, ...]
    contents: Mapping[str, Contents]
    helpers: Mapping[str, tuple[Contents, ...]]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A suite's work by its estimates: seconds in all and in the longest of its shards."""

    total_s: float
    longest_s: float
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A test that runs for CUDA alone: its score, where it could run, for how long, and the line that adds it.

    `suite` is empty when the tree has no AMD suite that fits; `line` then, and when a disabled line is there. `before` and `after` are the suite's load without
    and with it. `after_line` is the line of the CUDA registration, after which the line goes.
    """

    test: RegisteredFile
    score: Score
    suite: str
    suite_why: str
    est_time_s: int
    est_time_why: str
    before: Load
    after: Load
    line: str
    after_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Shares by stage and area, and every test that runs for CUDA alone, the highest score first.

    `suites` are the estimates of the tests of each AMD suite.
    """

    total: Share
    stages: Mapping[str, Share]
    areas: Mapping[str, Share]
    candidates: tuple[Candidate, ...]
    suites: Mapping[str, Mapping[str, float]]
    unread: tuple[str, ...]

    def together(self, added: Iterable[Candidate]) -> Mapping[str, tuple[Load, Load]]:
        """The load of each suite that gets tests, without and with all of them."""
        by_suite: dict[str, list[Candidate]] = {}
        for row in added:
            if row.line:
                by_suite.setdefault(row.suite, []).append(row)
        return {
            suite: (
                rows[0].before,
                load(
                    [
                        *self.suites.get(suite, {}).items(),
                        *((row.test.file, row.est_time_s) for row in rows),
                    ],
                    rows[0].before.shards,
                ),
            )
            for suite, rows in sorted(by_suite.items())
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """How many of the tests that a later tree enables for AMD, at the same path, are high in the list."""

    gap: int
    added: tuple[str, ...]
    in_first: int
    in_wider: int

    @property
    def precision(self) -> float:
        """Of the first 32, the share that was added."""
        return self.in_first / min(FIRST, self.gap) if self.gap else 0.0

    @property
    def recall(self) -> float:
        """Of all that were added, the share among the first 80."""
        return self.in_wider / len(self.added) if self.added else 0.0


@dataclass(frozen=True, slots=True)
class _Test:
    """A test of a suite, as splitting into shards sees it."""

    id: str
    est_s: float


def make_coverage(rules: CoverageRules, tree: TreeTests, shards: Callable[[str], int]) -> Coverage:
    """Args:
    rules: `coverage.toml`.
    tree: what is registered, and what it uses.
    shards: in how many shards CI runs a suite.
    """
    by_suite = shares(tree.files, lambda one: {row.suite for row in one.cuda})
    areas = shares(tree.files, lambda one: (one.area,))
    known = known_on_amd((tree.contents[one.file] for one in tree.files if one.amd), by_suite, areas)
    ratios = time_ratios(tree.files)
    suites, proposals = _estimates(tree.files), Proposals(tree.files)
    candidates = [
        _candidate(
            proposals,
            one,
            score(rules, one, tree.contents[one.file], tree.helpers[one.file], known),
            ratios,
            suites,
            shards,
        )
        for one in tree.files
        if one.is_gap
    ]
    both = sum(one.is_pair for one in tree.files)
    return Coverage(
        total=Share(cuda=sum(bool(one.cuda) for one in tree.files), both=both),
        stages=shares(tree.files, lambda one: {stage_of(row) for row in one.cuda}),
        areas=areas,
        candidates=tuple(sorted(candidates, key=lambda row: (-row.score.points, row.test.file))),
        suites=suites,
        unread=tree.unread,
    )


def backtest(coverage: Coverage, later: Iterable[RegisteredFile], *, below: str) -> Backtest:
    """Compare the list with what a later tree enables; `below` is the folder whose files are compared."""
    enabled = {one.file for one in later if one.amd}
    ranked = [row.test.file for row in coverage.candidates if row.test.file.startswith(f"{below}/")]
    added = tuple(file for file in ranked if file in enabled)
    return Backtest(
        gap=len(ranked),
        added=added,
        in_first=sum(file in enabled for file in ranked[:FIRST]),
        in_wider=sum(file in enabled for file in ranked[:WIDER]),
    )


def load(tests: Iterable[tuple[str, float]], shards: int) -> Load:
    """The load of a suite's tests, each a name with its seconds."""
    rows = [_Test(id=name, est_s=est_s) for name, est_s in tests]
    return Load(
        total_s=sum(row.est_s for row in rows),
        longest_s=max(sum(row.est_s for row in shard) for shard in split(rows, shards)),
        shards=shards,
    )


def _estimates(files: Iterable[RegisteredFile]) -> dict[str, dict[str, float]]:
    """By AMD suite and test."""
    found: dict[str, dict[str, float]] = {}
    for one in files:
        for row in one.amd:
            found.setdefault(row.suite, {})[one.file] = row.est_time_s
    return found


def _candidate(
    proposals: Proposals,
    one: RegisteredFile,
    scored: Score,
    ratios: Mapping[str, Ratio],
    suites: Mapping[str, Mapping[str, float]],
    shards: Callable[[str], int],
) -> Candidate:
    proposal = proposals.of(one)
    cuda = proposal.cuda
    area = one.area if one.area in ratios else ""
    ratio = ratios.get(area)
    est_time_s = math.ceil(cuda.est_time_s * (ratio.value if ratio is not None else 1.0))
    why = (
        f"{ratio.value:.2f} of CUDA's {cuda.est_time_s:g} s, as of {ratio.pairs} tests of {area or 'all areas'} that have both"
        if ratio is not None
        else f"CUDA's {cuda.est_time_s:g} s: no tests have both"
    )
    count = shards(proposal.suite) if proposal.suite else 1
    tests = suites.get(proposal.suite, {})
    nightly = ", nightly=True" if proposal.nightly else ""
    line = f'register_amd_ci(est_time={est_time_s}, suite="{proposal.suite}"{nightly})'
    return Candidate(
        test=one,
        score=scored,
        suite=proposal.suite,
        suite_why=proposal.why,
        est_time_s=est_time_s,
        est_time_why=why,
        before=load(tests.items(), count),
        after=load([*tests.items(), (one.file, est_time_s)], count),
        line=line if proposal.suite and not one.disabled else "",
        after_line=cuda.line,
    )
