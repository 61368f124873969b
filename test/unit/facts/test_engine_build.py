"""What the environment of an engine that is made here needs, by the version of its SGLang."""

from pathlib import Path

import pytest

from ci.engine.locate import StandIns
from ci.engine.weights import Weights
from ci.facts.engine_build import find_engine_build
from support.catalog_files import catalog
from support.engine_makers import small_environment

ROW = catalog().sglang.arguments[0]
OLD, NEW = "1.0.0", "1.2.0"


@pytest.fixture(autouse=True)
def _nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = Weights(engines=tmp_path / "engines", gguf=tmp_path / "model.gguf")
    weights.gguf.touch()
    here = "ci.facts.engine_build"
    monkeypatch.setattr(f"{here}.find_environment", lambda *_, **__: small_environment(tmp_path))
    monkeypatch.setattr(f"{here}.find_stand_ins", lambda *_: StandIns(weights=weights, names=("org/m",)))


def arguments(*, version: str = "", checkout: Path | None = None) -> tuple[str, ...]:
    rows = catalog()
    build, _ = find_engine_build(
        rows,
        rows.engines["sglang"],
        checkout=checkout,
        version=version,
        python="",
        planning_only=True,
        environ={"PATH": "/usr/bin"},
    )
    return build.arguments


@pytest.mark.parametrize(("version", "wanted"), [(OLD, ROW.args), (NEW, ())])
def test_a_release_gets_the_arguments_of_its_range(version: str, wanted: tuple[str, ...]) -> None:
    assert arguments(version=version) == wanted


@pytest.mark.parametrize("has_it", [True, False])
def test_a_checkout_gets_what_its_own_file_cannot_do_without(tmp_path: Path, *, has_it: bool) -> None:
    tree = tmp_path / "tree"
    file = tree / ROW.file
    file.parent.mkdir(parents=True)
    file.write_text(ROW.text if has_it else "")
    project = tree / "python" / "pyproject.toml"
    project.parent.mkdir(exist_ok=True)
    project.write_text(
        '[project]\ndependencies = ["transformers==5.1.0"]\nscripts = { sglang = "sglang.cli:main" }\n'
    )
    assert arguments(checkout=tree) == (() if has_it else ROW.args)
    assert arguments(checkout=tree, version=OLD) == ROW.args
