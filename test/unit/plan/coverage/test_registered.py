"""Files by their registrations: shares, ratios of estimates, and suites that fit."""

import pytest

from ci.catalog.registrations.parse import Registration
from ci.plan.coverage.registered import Proposals, by_file, gpus_of, shares, stage_of, time_ratios


def row(
    name: str,
    backend: str,
    suite: str,
    est: float = 60,
    *,
    nightly: bool = False,
    disabled: str | None = None,
) -> Registration:
    return Registration(
        file=f"test/registered/{name}.py",
        backend=backend,
        suite=suite,
        est_time_s=est,
        nightly=nightly,
        disabled=disabled,
        line=3,
    )


def test_a_file_is_a_gap_when_cuda_alone_runs_it() -> None:
    files = by_file(
        [
            row("a/both", "cuda", "base-a"),
            row("a/both", "amd", "amd-a"),
            row("a/gap", "cuda", "base-a"),
            row("a/off", "cuda", "base-a"),
            row("a/off", "amd", "amd-a", disabled="slow"),
            row("b/none", "cuda", "base-a", disabled="old"),
            row("c/cpu", "cpu", "base-cpu"),
        ]
    )
    assert [(one.file[16:-3], one.is_gap, one.disabled) for one in files] == [
        ("a/both", False, ""),
        ("a/gap", True, ""),
        ("a/off", True, "slow"),
        ("b/none", False, ""),
    ]
    (share,) = shares(files, lambda one: (one.area,)).values()
    assert (share.cuda, share.both) == (3, 1)


@pytest.mark.parametrize(
    ("suite", "stage", "gpus"),
    [
        ("base-b-test-2-gpu-large", "base-b", 2),
        ("nightly-8-gpu", "nightly", 8),
        ("stress", "stress", 1),
        ("nightly-gpu-4-west", "nightly", 4),
    ],
)
def test_a_suite_name_says_stage_and_gpus(suite: str, stage: str, gpus: int) -> None:
    assert (stage_of(row("a/a", "cuda", suite)), gpus_of(suite)) == (stage, gpus)


def test_ratios_are_medians_of_areas_with_enough_pairs() -> None:
    rows = []
    for area, ratios in {"a": (1.0, 2.0, 9.0), "b": (4.0,)}.items():
        for number, ratio in enumerate(ratios):
            rows.append(row(f"{area}/t{number}", "cuda", "base", 10))
            rows.append(row(f"{area}/t{number}", "amd", "amd", 10 * ratio))
    found = time_ratios(by_file(rows))
    assert {area: (ratio.value, ratio.pairs) for area, ratio in found.items()} == {
        "": (3.0, 4),
        "a": (2.0, 3),
    }


class TestProposals:
    def suite(self, new: Registration, *others: Registration) -> tuple[str, bool]:
        files = by_file([new, *others])
        found = Proposals(files).of(next(one for one in files if one.file == new.file))
        return found.suite, found.nightly

    def test_most_tests_of_the_same_cuda_suite_show_the_way(self) -> None:
        pairs = [
            each
            for name, suite in (("a/1", "amd-x"), ("a/2", "amd-y"), ("a/3", "amd-y"))
            for each in (row(name, "cuda", "base-1-gpu"), row(name, "amd", suite))
        ]
        assert self.suite(row("a/new", "cuda", "base-1-gpu"), *pairs) == ("amd-y", False)

    def test_else_the_largest_with_as_many_gpus_and_of_the_same_time(self) -> None:
        others = [
            row("a/1", "amd", "amd-8-gpu-small"),
            row("a/2", "amd", "amd-8-gpu"),
            row("a/3", "amd", "amd-8-gpu"),
            row("a/4", "amd", "amd-nightly-8-gpu", nightly=True),
        ]
        assert self.suite(row("a/new", "cuda", "base-8-gpu"), *others) == ("amd-8-gpu", False)
        night = row("a/new", "cuda", "night-8-gpu", nightly=True)
        assert self.suite(night, *others) == ("amd-nightly-8-gpu", True)
        assert self.suite(row("a/new", "cuda", "base-4-gpu"), *others) == ("", False)

    def test_a_cuda_suites_name_is_never_proposed(self) -> None:
        wrong = [row("a/1", "cuda", "base-1-gpu"), row("a/1", "amd", "base-1-gpu")]
        assert self.suite(row("a/new", "cuda", "base-1-gpu"), *wrong) == ("", False)
