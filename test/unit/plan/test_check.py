"""What registered tests and the catalog say about each other, also where rows of the catalog are invalid."""

from dataclasses import replace

import pytest

from ci.catalog.bounds import Bound
from ci.catalog.catalog import read_catalog
from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.registrations.parse import Discovery
from ci.catalog.registrations.test_requirements import Requirements
from ci.errors import Problem
from ci.plan.check import check_environments, check_registrations
from support.catalog_files import CatalogCopy
from support.planning import (
    STAGE_A,
    STAGE_B_SMALL,
    bound,
    catalog,
    discovery,
    registration,
)

A, B, TEST = "test/registered/a.py", "test/registered/b.py", "test/registered/b/test_x.py"


def test_a_test_that_no_stage_would_run_is_named() -> None:
    rows = replace(catalog(), bounds=(), test_envs=())
    tests = discovery([registration(A, STAGE_A), registration(B, "stage-z")])
    problems: list[Problem] = []
    check_registrations(rows, tests, problems=problems)
    (problem,) = problems
    assert str(problem) == f"{B}:1: no stage runs suite 'stage-z' (nox -l lists the suites)"


def test_a_suite_that_registrations_and_rows_call_nightly_differently_is_named() -> None:
    tests = discovery([registration(A, STAGE_A, nightly=True)])
    problems: list[Problem] = []
    check_registrations(replace(catalog(), bounds=(), test_envs=()), tests, problems=problems)
    assert "is registered with nightly=True, suite" in str(problems[0])


@pytest.mark.parametrize("name", [STAGE_A, "stage-z"])
def test_an_invalid_suite_is_not_an_unknown_one(catalog_copy: CatalogCopy, name: str) -> None:
    catalog_copy.replace(
        "catalog/stages.toml", f'name = "{STAGE_A}"\n', f'name = "{STAGE_A}"\ncolour = "red"\n'
    )
    rows, found = read_catalog(catalog_copy.rows, catalog_copy.envs)
    assert [problem.what for problem in found] == ["unknown key"]
    assert not rows.sound
    problems: list[Problem] = []
    tests = discovery([registration(A, name)])
    check_registrations(replace(rows, bounds=(), test_envs=()), tests, problems=problems)
    assert [problem.what for problem in problems] == (
        [] if name == STAGE_A else ["no stage runs suite 'stage-z'"]
    )


def test_rows_whose_test_is_gone_have_their_line(catalog_copy: CatalogCopy) -> None:
    rows, found = read_catalog(catalog_copy.rows, catalog_copy.envs)
    assert found == ()
    problems: list[Problem] = []
    check_registrations(rows, discovery([]), problems=problems)
    row = rows.test_envs[0]
    text = (catalog_copy.rows / "environment.toml").read_text().splitlines()
    line = text.index(f'test = "{row.test}"') + 1
    assert f"catalog/environment.toml:{line}: test_env[{row.test}].test" in {one.where for one in problems}
    assert {one.where.partition(":")[0] for one in problems} == {
        "catalog/bounds.toml",
        "catalog/environment.toml",
    }


def check(metrics: tuple[str, ...] = (), declared: tuple[str, ...] = (), *bounds: Bound) -> list[str]:
    """What `check` says of the metrics of one test in a suite of MI30x machines."""
    tests = discovery([registration(TEST, STAGE_B_SMALL)])
    tests = Discovery(
        registrations=tests.registrations,
        kinds=tests.kinds,
        problems=(),
        files_seen=1,
        requirements={TEST: Requirements(metrics=metrics, declared=declared)},
        cases={TEST: ("test_x",)},
    )
    rows = replace(catalog(), bounds=bounds, test_envs=())
    problems: list[Problem] = []
    check_registrations(rows, tests, problems=problems)
    return [str(problem) for problem in problems]


def test_a_literal_metric_needs_a_row_for_each_class_of_its_family() -> None:
    assert check(("m",), (), bound(">", 1), bound(">", 1, "mi325x")) == []
    (problem,) = check(("m",), (), bound(">", 1))
    assert "no row of bounds.toml has its metric 'm' for mi325x" in problem
    (problem,) = check(("m", "n"), ())
    assert "'m', 'n' for mi300x, mi325x" in problem


def test_a_declared_metric_needs_a_row_on_any_class() -> None:
    assert check((), ("m",), bound(">", 1, "cpu")) == []
    (problem,) = check((), ("m",))
    assert "no row of bounds.toml has its metric 'm'" in problem


def test_a_row_whose_metric_or_test_is_gone_is_a_problem() -> None:
    (problem,) = check((), (), bound(">", 1))
    assert "the test has no metric 'm'" in problem
    assert "METRICS" in problem
    (problem,) = check((), (), bound(">", 1, test="test/registered/gone.py"))
    assert "bound[test/registered/gone.py].test: no such registered test" in problem


def env_set(name: str, **values: str) -> EnvSet:
    return EnvSet(
        id=name, variables=tuple(EnvVariable(name=key, value=value, why="w") for key, value in values.items())
    )


def test_sets_of_one_layer_that_disagree_are_named_for_suites_and_tests() -> None:
    assert check_environments(catalog()) == []
    sets = {
        **catalog().env_sets,
        "x": env_set("x", A="1"),
        "y": env_set("y", A="2"),
        "z": env_set("z", A="1"),
    }
    suites = tuple(
        replace(suite, env_sets=("x", "y") if suite.name == STAGE_A else ()) for suite in catalog().suites
    )
    problems = check_environments(replace(catalog(), env_sets=sets, suites=suites, test_envs=()))
    assert [problem.where for problem in problems] == ["layer suite: A"]
    (row, *_) = catalog().test_envs
    of_test = replace(row, sets=("x", "y", "no-such-set"))
    problems = check_environments(replace(catalog(), env_sets=sets, test_envs=(of_test,)))
    assert [problem.where for problem in problems] == [f"layer test {row.test}: A"]
    assert (
        check_environments(replace(catalog(), env_sets=sets, test_envs=(replace(row, sets=("x", "z")),)))
        == []
    )


def test_a_suite_with_an_unknown_set_is_left_to_the_catalog() -> None:
    suites = tuple(replace(suite, env_sets=("no-such-set",)) for suite in catalog().suites)
    assert check_environments(replace(catalog(), suites=suites, test_envs=())) == []
