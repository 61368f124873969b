"""The registered tests of a tree by file: which run for CUDA, which for AMD, and what the pairs of both say."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from ci.catalog.registrations.parse import Registration

__all__ = [
    "AMD",
    "CUDA",
    "Proposal",
    "Proposals",
    "Ratio",
    "RegisteredFile",
    "Share",
    "by_file",
    "gpus_of",
    "shares",
    "stage_of",
    "time_ratios",
]

AMD, CUDA = "amd", "cuda"
_GPUS = re.compile(r"(\d+)-gpu|gpu-(\d+)")
# A median of fewer pairs than this says nothing of an area.
_LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredFile:
    """One file; `cuda` and `amd` are enabled registrations, `disabled` the reason of an AMD one that is not."""

    file: str
    cuda: tuple[Registration, ...] = ()
    amd: tuple[Registration, ...] = ()
    disabled: str = ""

    @property
    def is_gap(self) -> bool:
        """Whether it runs for CUDA alone."""
        return bool(self.cuda) and not self.amd

    @property
    def is_pair(self) -> bool:
        """Whether it runs for both."""
        return bool(self.cuda and self.amd)

    @property
    def area(self) -> str:
        """The folder below the root of registered tests; elsewhere the folder that holds the file."""
        head, found, rest = self.file.partition("registered/")
        return rest.partition("/")[0] if found and "/" in rest else (head.rpartition("/")[0] or ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of `cuda` files, how many are registered for AMD too."""

    cuda: int
    both: int

    @property
    def value(self) -> float:
        """Between 0 and 1; few files say less than many."""
        return (self.both + 1) / (self.cuda + 2)


def by_file(registrations: Iterable[Registration]) -> tuple[RegisteredFile, ...]:
    """Every file with a CUDA or AMD registration, by path."""
    found: dict[str, list[Registration]] = {}
    for row in registrations:
        if row.backend in (AMD, CUDA):
            found.setdefault(row.file, []).append(row)
    return tuple(
        RegisteredFile(
            file=file,
            cuda=tuple(row for row in rows if row.backend == CUDA and row.disabled is None),
            amd=tuple(row for row in rows if row.backend == AMD and row.disabled is None),
            disabled=next(
                (row.disabled for row in rows if row.backend == AMD and row.disabled is not None), ""
            ),
        )
        for file, rows in sorted(found.items())
    )


def stage_of(row: Registration) -> str:
    """`base-b` of `base-b-test-1-gpu-small`, `nightly` of `nightly-8-gpu`."""
    first, *others = row.suite.split("-")
    return f"{first}-{others[0]}" if others and len(others[0]) == 1 and others[0].isalpha() else first


def gpus_of(suite: str) -> int:
    """How many GPUs a suite's name says; 1 when it says nothing."""
    found = _GPUS.search(suite)
    return int(found[1] or found[2]) if found is not None else 1


def shares(
    files: Iterable[RegisteredFile], groups: Callable[[RegisteredFile], Iterable[str]]
) -> Mapping[str, Share]:
    """How much of each group is registered for AMD too; a file may be in several."""
    cuda: Counter[str] = Counter()
    both: Counter[str] = Counter()
    for one in files:
        if one.cuda:
            cuda.update(groups(one))
            both.update(groups(one) if one.amd else ())
    return {group: Share(cuda=count, both=both[group]) for group, count in sorted(cuda.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median of AMD's est_time over CUDA's, and of how many pairs."""

    value: float
    pairs: int


def time_ratios(files: Iterable[RegisteredFile]) -> Mapping[str, Ratio]:
    """By area, for areas with enough pairs; under "" that of all."""
    found: dict[str, list[float]] = {"": []}
    for one in files:
        if one.is_pair and one.cuda[0].est_time_s > 0:
            ratio = one.amd[0].est_time_s / one.cuda[0].est_time_s
            found[""].append(ratio)
            found.setdefault(one.area, []).append(ratio)
    return {
        area: Ratio(value=median(ratios), pairs=len(ratios))
        for area, ratios in found.items()
        if len(ratios) >= _LEAST_PAIRS
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An AMD suite for a test, and why; `suite` is empty when the tree has none for so many GPUs."""

    suite: str
    nightly: bool
    cuda: Registration
    why: str


class Proposals:
    """Which AMD suite fits a test, from the tests that have both.

    A suite whose name is a CUDA suite's too is none of AMD's: no job of AMD's runs it.
    """

    def __init__(self, files: Iterable[RegisteredFile]) -> None:
        files = tuple(files)
        of_cuda = {row.suite for one in files for row in one.cuda}
        self._followed: dict[str, Counter[str]] = {}
        self._sizes: Counter[str] = Counter()
        self._nightly: Counter[str] = Counter()
        for one in files:
            for row in one.amd:
                if row.suite not in of_cuda:
                    self._sizes[row.suite] += 1
                    self._nightly[row.suite] += 1 if row.nightly else -1
                    for cuda in one.cuda:
                        self._followed.setdefault(cuda.suite, Counter())[row.suite] += 1

    def of(self, one: RegisteredFile) -> Proposal:
        """The suite to which most tests of the same CUDA suite belong, else the largest with as many GPUs."""
        by_gpus = sorted(one.cuda, key=lambda row: gpus_of(row.suite))
        for cuda in by_gpus:
            if pairs := self._followed.get(cuda.suite):
                suite = _largest(pairs)
                return self._proposal(suite, cuda, f"{pairs[suite]} of {cuda.suite} are in it")
        cuda = by_gpus[0]
        gpus = gpus_of(cuda.suite)
        fitting = Counter(
            {
                suite: count
                for suite, count in self._sizes.items()
                if gpus_of(suite) == gpus and self._is_nightly(suite) == cuda.nightly
            }
        )
        if not fitting:
            return self._proposal("", cuda, f"no AMD suite of that kind has {gpus} GPUs")
        return self._proposal(_largest(fitting), cuda, f"the largest with {gpus} GPUs")

    def _is_nightly(self, suite: str) -> bool:
        return self._nightly[suite] > 0

    def _proposal(self, suite: str, cuda: Registration, why: str) -> Proposal:
        return Proposal(suite=suite, nightly=self._is_nightly(suite), cuda=cuda, why=why)


def _largest(counts: Counter[str]) -> str:
    return max(sorted(counts), key=lambda name: counts[name])
