"""A stage session's options: every problem at once, nothing guessed."""

import pytest

from ci.catalog.executors import ExecutorKind
from ci.cli.options import RunOptions, read_run_options
from ci.errors import ExitCode, UsageError


def read(*arguments: str) -> RunOptions:
    return read_run_options("stage-a-amd", "nox -s stage_a_amd --", ("nox",), arguments)


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.render()


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "x", "1", "1/", "/3", "-1/3", "1/0", "1.0/3", "1/3 ", "\uff11/\uff13"]
)
def test_what_is_not_a_shard_is_refused_with_an_example(text: str) -> None:
    assert "--shard" in refused("--shard", text)


def test_unknown_options_are_named_with_the_nearest_all_at_once() -> None:
    text = refused("--siute", "x", "--shrad", "1/2", "--shard", "9/3")
    for part in ("--siute", "did you mean '--suite'", "--shrad", "'9/3' is outside"):
        assert part in text


def test_an_unknown_executor_is_refused_with_the_known_ones() -> None:
    text = refused("--executor", "dokcer", "--shard", "9/3")
    for part in ("unknown executor 'dokcer'", "did you mean 'docker'", "'9/3' is outside"):
        assert part in text
    assert read().request.executor is read("--executor", "auto").request.executor is None
    assert read("--executor", "docker", "--keep").request.executor is ExecutorKind.DOCKER


def test_an_option_that_the_executor_has_no_use_for_is_refused() -> None:
    text = refused("--executor", "host", "--keep", "--rocm", "720")
    assert (
        "--keep: has no effect with --executor host (--executor docker or --executor slurm, or leave it out)"
        in text
    )
    assert "--rocm: " in text


def test_a_cluster_needs_the_executor_that_has_one() -> None:
    text = refused("--cluster", "x", "--nodes", "0")
    assert "--cluster: needs --executor slurm" in text
    assert "--nodes: '0' is not a number from 1 to 99999" in text
    assert "--nodes: has no effect with --executor host" in refused("--executor", "host", "--nodes", "2")
    asked = read("--executor", "slurm", "--cluster", "x", "--nodes", "2").request
    assert (asked.executor, asked.cluster, asked.nodes) == (ExecutorKind.SLURM, "x", 2)


def test_a_saved_plan_may_be_done_elsewhere() -> None:
    asked = read("--plan", "p.json", "--executor", "slurm", "--cluster", "x", "--nodes", "2").request
    assert (asked.executor, asked.cluster, asked.nodes) == (ExecutorKind.SLURM, "x", 2)
    assert read("--plan", "p.json", "--nodes", "2").request.nodes == 2


def test_abbreviations_are_refused() -> None:
    assert "unknown option" in refused("--shar", "1/2")


def test_an_option_without_its_value_is_a_message() -> None:
    assert "expected one argument" in refused("--suite")


def test_what_stands_after_a_second_dashes_goes_to_pytest() -> None:
    options = read("--suite", "1-gpu-small", "--", "-k", "json", "--", "x")
    assert options.request.pytest_args == ("-k", "json", "--", "x")
    assert options.request.suites == ("1-gpu-small",)


@pytest.mark.parametrize("item", ["X", "A B=1", "1A=1", "A-B=1", "A=\0"])
def test_what_is_not_a_variable_is_refused(item: str) -> None:
    assert "is not NAME=VALUE" in refused("--env", item)


def test_a_variable_given_twice_is_refused() -> None:
    assert "SGLANG_X is given twice" in refused("--env", "SGLANG_X=1", "--env", "SGLANG_X=2")


def test_a_plan_goes_with_no_option_that_would_change_it() -> None:
    text = refused("--plan", "plan.json", "--suite", "1-gpu-small", "--fail-fast", "--", "-k", "x")
    for part in ("--suite: would change", "--fail-fast: would change", "pytest's arguments"):
        assert part in text
    assert read("--plan", "plan.json", "--json").plan_file == "plan.json"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "all"])
def test_jobs_is_a_number_or_gpus(text: str) -> None:
    assert "--jobs" in refused("--jobs", text)


def test_keep_going_and_fail_fast_exclude_each_other() -> None:
    assert "not allowed with" in refused("--keep-going", "--fail-fast")
