"""Names of jobs as Actions shows them."""

import pytest

from ci.errors import UsageError
from ci.github.job_names import job_name, looks_like_a_job
from support.planning import catalog


class TestJobNames:
    @pytest.mark.parametrize(
        ("name", "suite", "shard", "label"),
        [
            (
                "stage-b-test-1-gpu-small-amd (linux-north-1gpu, 4/5)",
                "1-gpu-small",
                "4/5",
                "linux-north-1gpu",
            ),
            (
                "stage-b-test-1-gpu-small-amd (linux-south-1gpu, 3)",
                "1-gpu-small",
                "4/5",
                "linux-south-1gpu",
            ),
            (
                "wave-2 / stage-c-test-8-gpu-amd (linux-south-8gpu, 0)",
                "8-gpu",
                "1/3",
                "linux-south-8gpu",
            ),
            (
                "call / wave-2 / stage-c-test-4-gpu-amd (linux-south-4gpu)",
                "4-gpu",
                "",
                "linux-south-4gpu",
            ),
            ("stage-b-test-2-gpu-amd", "2-gpu", "", ""),
            (
                "stage-b-test-2-gpu-amd-rocm720 (linux-south-2gpu, 1)",
                "2-gpu",
                "2/2",
                "linux-south-2gpu",
            ),
            (
                "nightly-8-gpu-west-big-flash-rocm720 (linux-west-8gpu)",
                "big-flash",
                "",
                "linux-west-8gpu",
            ),
        ],
    )
    def test_names_as_actions_shows_them(self, name: str, suite: str, shard: str, label: str) -> None:
        assert looks_like_a_job(name, catalog())
        found = job_name(name, catalog())
        assert found.suite.id == suite
        assert str(found.shard or "") == shard
        assert (found.label.label if found.label else "") == label

    @pytest.mark.parametrize("rocm", ["720", "10", "7.15"])
    def test_the_version_of_rocm_at_the_end_may_have_two_digits_or_a_dot(self, rocm: str) -> None:
        assert job_name(f"stage-b-test-2-gpu-amd-rocm{rocm} (linux-south-2gpu, 1)", catalog()).rocm == rocm

    def test_a_bare_number_says_how_it_was_read(self) -> None:
        found = job_name("stage-b-test-1-gpu-small-amd (linux-south-1gpu, 3)", catalog())
        assert any("counted from 0: shard 4/5" in words for words in found.readings)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("stage-b-test-1-gpu-smol-amd (linux-north-1gpu, 4/5)", "shard 4/5"),
            ("stage-b-test-1-gpu-small-amd (linux-north-1gpu, 5)", "counted from 0"),
            ("stage-b-test-1-gpu-small-amd (linux-north-1gpu, 6/5)", "counted from 1"),
            ("stage-b-test-1-gpu-small-amd (linux-north-3gpu, 1/5)", "neither a runner label nor a shard"),
            ("a b c", "is not a job name"),
        ],
    )
    def test_an_invalid_name_is_refused_with_what_was_understood(self, name: str, words: str) -> None:
        with pytest.raises(UsageError) as caught:
            job_name(name, catalog())
        assert words in caught.value.render()
