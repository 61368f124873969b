"""What the contract reports of real releases: they are fetched from the package index, without their dependencies."""

import pytest

from ci.catalog.capabilities import Capability
from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.registrations.server_specs import ServerArguments
from ci.facts.sglang.gather import gather_sglang
from ci.facts.sglang.tree import find_release
from ci.plan.contract.arguments import judge_capabilities, judge_specs
from ci.plan.contract.sglang import SglangFacts
from ci.plan.contract.variables import VariableStatus, judge_variables
from ci.system.environ import read_environ

NAME = "SGLANG_OPT_USE_FUSED_COMPRESS"


def examined(version: str) -> SglangFacts:
    environ = read_environ()
    values = {NAME: ("true",)}
    return gather_sglang(find_release(version, environ), values, (), python="", environ=environ)


@pytest.mark.parametrize(
    ("version", "status"), [("0.5.17", VariableStatus.READ), ("0.5.23", VariableStatus.UNREAD)]
)
def test_a_variable_that_was_dropped_is_found(version: str, status: VariableStatus) -> None:
    facts = examined(version)
    env_set = EnvSet(id="x.SET", variables=(EnvVariable(name=NAME, value="true", why="test"),))
    (row,) = judge_variables(
        [env_set], facts.variables, release=facts.release, title=facts.title, names=facts.declared
    )
    assert row.status is status
    assert bool(row.problems) is (status is VariableStatus.UNREAD)


@pytest.mark.parametrize(
    ("version", "unknown"),
    [("0.5.17", []), ("0.5.20", ["--nsa-prefill-backend", "--nsa-decode-backend"])],
)
def test_arguments_that_were_renamed_are_found_with_their_new_names(version: str, unknown: list[str]) -> None:
    row = Capability(
        id="tilelang",
        engine="sglang",
        hardware=("mi300x",),
        args=("--nsa-prefill-backend", "tilelang", "--nsa-decode-backend", "tilelang"),
        allowed=True,
        why="test",
        source="test",
    )
    (found,) = judge_capabilities([("row", row)], examined(version))
    assert [problem.what for problem in found.problems] == [f"unknown argument {name}" for name in unknown]
    assert all("renamed to --dsa-" in problem.hint for problem in found.problems)


@pytest.mark.parametrize(("version", "known"), [("0.5.10.post1", False), ("0.5.23", True)])
def test_a_choice_that_is_too_new_is_found(version: str, *, known: bool) -> None:
    spec = ServerArguments(place="test_x.py:1", args=("--attention-backend", "dsv4"))
    (found,) = judge_specs([spec], examined(version))
    assert [problem.what for problem in found.problems] == (
        [] if known else ["--attention-backend: invalid choice 'dsv4'"]
    )
