"""The engine's environment as a value: its digest holds all that it is made of, and is known before it is made."""

from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.envsets import ENVS_DIR
from ci.catalog.toml_reader import CATALOG_DIR
from ci.engine.environment import EngineEnvironment, environment_of, pinned_layer, tree_layer
from ci.errors import UsageError
from support.engine_makers import small_environment, write_pins


def test_the_digest_is_that_of_the_ingredients_and_not_of_the_place(tmp_path: Path) -> None:
    one = small_environment(tmp_path / "a")
    assert one.digest == small_environment(tmp_path / "b").digest
    assert not one.is_ready()
    changed = [
        replace(one, base_pins=one.base_pins + "x==1\n"),
        replace(one, stub_digest="other"),
        replace(one, python_minor="3.13"),
        replace(one, layer=replace(one.layer, pins="sglang==1.2.1\n")),
        replace(one, layer=replace(one.layer, scripts={"sglang": "a:b"})),
    ]
    assert len({one.digest, *(each.digest for each in changed)}) == 6
    assert len({each.folder for each in [one, *changed]}) == 6


def test_two_layers_stand_on_one_base(tmp_path: Path, catalog: Catalog) -> None:
    requirements = write_pins(tmp_path / "requirements")
    scripts = {"sglang": "sglang.cli.main:main"}
    tree = tree_layer(catalog.sglang, transformers="5.1.0", scripts=scripts, requirements=requirements)
    assert tree
    other = environment_of(catalog.sglang, tree, cache=tmp_path / "cache", requirements=requirements)
    one = small_environment(tmp_path)
    assert other.base_folder == one.base_folder
    assert other.folder != one.folder
    assert (one.size().disk_mib, one.size().download_mib) == (220, 110)


def test_a_version_without_a_row_has_no_pinned_layer(tmp_path: Path, catalog: Catalog) -> None:
    assert pinned_layer(catalog.sglang, "9.9.9", tmp_path) is None
    assert tree_layer(catalog.sglang, transformers="9.9", scripts={}, requirements=tmp_path) is None


def test_a_missing_pin_file_names_the_session_that_writes_it(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match=r"engine-1\.2\.0\.txt") as raised:
        pinned_layer(catalog.sglang, "1.2.0", tmp_path)
    assert raised.value.then == "nox -s pins"


@pytest.mark.live_rows
def test_every_row_of_this_repository_has_its_pins_with_the_versions_that_it_names(tmp_path: Path) -> None:
    rows = load_catalog(CATALOG_DIR, ENVS_DIR).sglang
    made: list[EngineEnvironment] = []
    for release in rows.releases.values():
        layer = pinned_layer(rows, release.version)
        assert layer
        assert f"\nsglang=={release.version} " in layer.pins
        made.append(environment_of(rows, layer, cache=tmp_path))
        assert f"\ntransformers=={release.transformers} " in made[-1].base_pins + layer.pins
    for tree in rows.trees.values():
        layer = tree_layer(rows, transformers=tree.transformers, scripts={})
        assert layer
        assert f"\ntransformers=={tree.transformers} " in layer.pins
        assert "\nsglang==" not in layer.pins
    assert rows.newest in rows.releases
    assert len({each.base_folder for each in made}) == 1
