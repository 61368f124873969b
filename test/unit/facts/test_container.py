"""The facts of a container run: which image, whose interpreter, and which engine it may run under."""

from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import UsageError
from ci.facts import container as module
from ci.facts.container import gather_container, look_at_container
from ci.facts.gather import Place
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import (
    ENGINE_LABEL,
    FLAVOUR_LABEL,
    PYTHON_LABEL,
    PYTHON_VERSION_LABEL,
    ImageFact,
)
from ci.plan.executor import ContainerNeed
from ci.plan.facts import DockerFacts, Known
from support.containers import image
from support.planning import mi300x

LOCAL = {"DOCKER_HOST": "unix:///nowhere.sock"}
REMOTE = {"DOCKER_HOST": "tcp://box.invalid:2375"}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.facts.container_host._engine_problem", lambda _host: "")


def need(catalog: Catalog, **changes: Any) -> ContainerNeed:
    request = image_request(catalog.images, family="mi30x", today=mi300x([]).today, environ={})
    values: dict[str, Any] = {
        "profile": catalog.containers.profiles["standard"],
        "engine": "sglang",
        "image": request,
        **changes,
    }
    return ContainerNeed(**values)


def look(catalog: Catalog, found: ImageFact, tmp_path: Path, *, python: str = "") -> DockerFacts:
    here = mi300x([], environ=LOCAL)
    return look_at_container(catalog, here, need(catalog), found, python=python, sysroot=tmp_path)


def test_an_image_that_is_asked_for_is_looked_up_at_the_callers_engine(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def resolve(_catalog: Catalog, request: Any, _environ: Any, *, engine_host: str) -> ImageFact:
        asked.append((request, engine_host))
        return image()

    monkeypatch.setattr(module, "resolve_image", resolve)
    wanted = need(catalog)
    found = gather_container(catalog, mi300x([], environ=LOCAL), wanted, Place())
    assert asked == [(wanted.image, LOCAL["DOCKER_HOST"])]
    assert (found.image, found.flavour, found.tree) == (image(), "rocm700", None)
    gather_container(catalog, mi300x([], environ=LOCAL), need(catalog, image=image()), Place())
    assert len(asked) == 1


@pytest.mark.parametrize("planning_only", [True, False])
def test_an_image_from_a_dockerfile_is_built_for_a_run_and_only_named_for_a_plan(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, *, planning_only: bool
) -> None:
    asked: list[dict[str, Any]] = []

    def build(*_: object, **keywords: Any) -> ImageFact:
        asked.append(keywords)
        return image()

    monkeypatch.setattr(module, "dockerfile_image", build)
    wanted = need(catalog, from_dockerfile=True)
    gather_container(catalog, mi300x([], environ=LOCAL), wanted, Place(planning_only=planning_only))
    assert [(one["build"], one["family"]) for one in asked] == [(not planning_only, "mi30x")]


def test_a_run_needs_an_engine_of_this_machine_and_a_plan_does_not(catalog: Catalog) -> None:
    here = mi300x([], environ=REMOTE)
    with pytest.raises(UsageError, match="needs an engine of this machine") as caught:
        gather_container(catalog, here, need(catalog, image=image()), Place())
    assert "DOCKER_HOST" in caught.value.what
    assert (
        gather_container(catalog, here, need(catalog, image=image()), Place(planning_only=True)).image
        == image()
    )


def test_the_interpreter_is_the_callers_else_the_labels_else_the_rows_else_the_first_on_the_path(
    catalog: Catalog, tmp_path: Path
) -> None:
    labelled = image(labels={PYTHON_LABEL: "/opt/python", PYTHON_VERSION_LABEL: "3.10.12"})
    row = catalog.images.flavours["rocm700"].python
    found = [
        look(catalog, labelled, tmp_path, python="/given").engine,
        look(catalog, labelled, tmp_path).engine,
        look(catalog, image(), tmp_path).engine,
        look(catalog, image(flavour="unheard-of"), tmp_path).engine,
    ]
    assert [one.python for one in found] == ["/given", "/opt/python", row, "python3"]
    assert [one.source.partition(";")[0] for one in found] == [
        "--python",
        f"the image's label {PYTHON_LABEL}",
        "images.toml: flavour[rocm700]",
        "default: on the image's own PATH",
    ]
    assert found[1].python_version == "3.10.12"


def test_the_engines_version_is_the_labels_or_found_when_it_runs(catalog: Catalog, tmp_path: Path) -> None:
    label = ENGINE_LABEL + catalog.engines["sglang"].package
    known = look(catalog, image(labels={label: "0.5.12"}), tmp_path).engine
    assert known.engine_version == "0.5.12"
    assert label in known.source
    unknown = look(catalog, image(), tmp_path).engine
    assert unknown.engine_version == ""
    assert "found when it runs" in unknown.source


def test_the_flavour_of_an_image_without_a_name_is_its_labels(catalog: Catalog, tmp_path: Path) -> None:
    assert look(catalog, image(flavour="", labels={FLAVOUR_LABEL: "rocm720"}), tmp_path).flavour == "rocm720"
    assert look(catalog, image(flavour="", labels={FLAVOUR_LABEL: "rocm999"}), tmp_path).flavour == ""
    assert look(catalog, image(flavour=""), tmp_path).flavour == ""


def test_a_checkout_is_asked_what_it_wants_installed(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/rocm.Dockerfile").write_text(
        'FROM x AS gfx942\nENV AITER_COMMIT_DEFAULT="46e6c92b3e"\n'
    )
    commit = Known(value="a" * 40, source="git")
    here = mi300x([], environ=LOCAL, root=str(tmp_path), checkout=commit)
    found = look_at_container(catalog, here, need(catalog), image(), sysroot=tmp_path)
    assert found.tree is not None
