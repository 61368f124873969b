"""Rows for ranges of releases, in plans: by the engine's version as far as it is known."""

from dataclasses import replace

import pytest

from ci.catalog.capabilities import Capability
from ci.catalog.catalog import Catalog
from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.registrations.test_requirements import Requirements
from ci.plan.facts import EngineFact, Facts, Known
from ci.plan.model import Plan
from support.planning import STAGE_B_SMALL, catalog, discovery, mi300x, planned, registration, request

ASKING = "test/registered/b/test_asking.py"


def rows() -> Catalog:
    """A capability whose argument was renamed in 2.0, and a variable that ended there."""
    row = next(row for row in catalog().capabilities if row.id == "memory" and "mi300x" in row.hardware)
    ranges: tuple[Capability, ...] = (
        replace(row, versions="<2.0", args=("--old-memory", "1")),
        replace(row, versions=">=2.0", args=("--new-memory", "1")),
    )
    layered = next(iter(catalog().env_layers)).sets[0]
    ended = EnvVariable(name="ENDED", value="1", why="until 2.0", versions="<2.0")
    env_set = catalog().env_sets[layered]
    return replace(
        catalog(),
        capabilities=(*(each for each in catalog().capabilities if each is not row), *ranges),
        env_sets={
            **catalog().env_sets,
            layered: EnvSet(id=layered, variables=(*env_set.variables, ended)),
        },
    )


def here(version: str, checkout: Known | None = None) -> Facts:
    tests = [registration(ASKING, STAGE_B_SMALL)]
    engine = EngineFact(python="/p", python_version="3.12.1", engine_version=version, source="test")
    found = replace(discovery(tests), requirements={ASKING: Requirements(asks=("memory",))})
    return mi300x(tests, tests=found, engines={"sglang": engine}, checkout=checkout)


def plan(facts: Facts) -> Plan:
    return planned(rows(), facts, request("stage-b-amd"))


@pytest.mark.parametrize(
    ("version", "args", "variable"),
    [
        ("1.9.post1", ("--old-memory", "1"), True),
        ("2.0", ("--new-memory", "1"), False),
        ("2.0+rocm720", ("--new-memory", "1"), False),
    ],
)
def test_a_release_takes_the_rows_that_are_for_it(
    version: str, args: tuple[str, ...], *, variable: bool
) -> None:
    made = plan(here(version))
    assert made.work.capabilities["memory"].args == args
    assert all(("ENDED" in suite.env) is variable for suite in made.work.suites)
    assert not any("is unknown" in note for note in made.notes)
    assert (
        any(note.startswith("ENDED is not set: ") and "for <2.0" in note for note in made.notes)
        is not variable
    )


@pytest.mark.parametrize("version", ["2.0.dev30+g1a2b3c4", "", "0.0.0.dev0"])
def test_a_commit_takes_the_newest_row_with_a_note_and_keeps_every_variable(version: str) -> None:
    made = plan(here(version))
    assert made.work.capabilities["memory"].args == ("--new-memory", "1")
    assert all("ENDED" in suite.env for suite in made.work.suites)
    (note,) = [note for note in made.notes if "is unknown" in note]
    assert note.startswith("memory: which release of sglang will run is unknown")
    assert ">=2.0" in note


def test_a_checkout_is_at_no_release_whatever_is_installed() -> None:
    made = plan(here("1.9", checkout=Known(value="b" * 40, source="git")))
    assert made.work.capabilities["memory"].args == ("--new-memory", "1")
    assert all("ENDED" in suite.env for suite in made.work.suites)


def test_releases_with_other_rows_have_other_digests() -> None:
    one, other = plan(here("1.9")), plan(here("2.1"))
    same = replace(other.work, engine_version=one.work.engine_version)
    assert same != one.work
