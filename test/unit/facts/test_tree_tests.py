"""The tests of a tree, on whatever machine."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import UsageError
from ci.facts.tree_tests import tree_facts
from support.trees import OWN_TESTS

pytestmark = pytest.mark.processes  # git says the commit


def test_every_test_of_this_tree_is_found_and_no_hardware_is_looked_for(
    catalog: Catalog, own_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("an engine was looked for")

    monkeypatch.setattr("ci.facts.gather.find_engine", refuse)
    found = tree_facts(catalog, "", {"PATH": "/usr/bin"})
    assert {row.file for row in found.tests.registrations} == set(OWN_TESTS)
    assert Path(found.root) == own_tree


def test_a_registration_that_cannot_be_read_is_refused_with_its_place(
    catalog: Catalog, own_tree: Path
) -> None:
    file = own_tree / next(iter(OWN_TESTS))
    file.write_text(file.read_text().replace("est_time=60", "est_time=60 + x"))
    with pytest.raises(UsageError, match="cannot read the registered tests") as caught:
        tree_facts(catalog, "", {"PATH": "/usr/bin"})
    assert file.name in caught.value.render()
    assert caught.value.then == "nox -s check"
