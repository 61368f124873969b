"""`./inv image.build`: which image is built, from what, and what is refused before anything is built."""

import json
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.build import build_verb
from ci.cli.verb_options import BuildOptions
from ci.errors import InfrastructureError, UsageError
from ci.images.build_rehearsal import REHEARSAL_TAG
from ci.plan.container.image_fact import ImageFact
from support.containers import DIGEST, image

ENVIRON = {"DOCKER_HOST": "unix:///engine.sock", "AMD_CI_TODAY": "2026-05-29"}


class Doubles:
    """The builders, which note what they are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.broken = False
        monkeypatch.setattr("ci.cli.build.stop_requested", lambda: lambda: False)
        monkeypatch.setattr("ci.cli.build.have_base", self._have_base)
        monkeypatch.setattr("ci.cli.build.build_rehearsal", self._rehearsal)
        monkeypatch.setattr("ci.cli.build.build_from_dockerfile", self._sglang)

    def _have_base(self, base: str, **_how: Any) -> None:
        self.calls.append(("base", base))

    def _rehearsal(self, *, base: str, tag: str, engine_host: str, **_how: Any) -> ImageFact:
        if self.broken:
            raise InfrastructureError("step 3 failed")
        self.calls.append(("rehearsal", (base, tag, engine_host)))
        return image(reference=tag)

    def _sglang(self, _images: Any, wanted: Any, **_how: Any) -> ImageFact:
        self.calls.append(("sglang", wanted))
        return image()


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Doubles:
    return Doubles(monkeypatch)


@pytest.mark.parametrize("options", [BuildOptions(), BuildOptions(rehearsal=True, checkout="/x")])
def test_it_is_one_of_two_images(doubles: Doubles, options: BuildOptions) -> None:
    with pytest.raises(UsageError) as caught:
        build_verb(ENVIRON, options)
    assert "either --rehearsal or --checkout PATH" in caught.value.render()
    assert doubles.calls == []


def test_a_rehearsal_image_is_of_the_rows_base_with_our_tag(
    doubles: Doubles, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    build_verb(ENVIRON, BuildOptions(rehearsal=True))
    base = catalog.builds.base.reference
    assert doubles.calls == [("base", base), ("rehearsal", (base, REHEARSAL_TAG, ENVIRON["DOCKER_HOST"]))]
    assert f"--image {REHEARSAL_TAG}" in capsys.readouterr().out


def test_base_and_tag_of_a_rehearsal_image_can_be_named(
    doubles: Doubles, capsys: pytest.CaptureFixture[str]
) -> None:
    build_verb(ENVIRON, BuildOptions(rehearsal=True, base="my/base:1", tag="my/image:2", json=True))
    assert doubles.calls[0] == ("base", "my/base:1")
    data = json.loads(capsys.readouterr().out)
    assert (data["reference"], data["config_digest"]) == ("my/image:2", DIGEST)


def test_a_failed_build_shows_no_image(doubles: Doubles, capsys: pytest.CaptureFixture[str]) -> None:
    doubles.broken = True
    with pytest.raises(InfrastructureError, match="step 3 failed"):
        build_verb(ENVIRON, BuildOptions(rehearsal=True))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BuildOptions(checkout="/x", base="a"), "--base cannot be combined with --checkout"),
        (BuildOptions(checkout="/x", tag="a"), "--tag cannot be combined with --checkout"),
        (BuildOptions(checkout="/x", rocm="999"), "999"),
    ],
)
def test_options_that_do_not_fit_a_checkout_are_refused(
    doubles: Doubles, options: BuildOptions, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build_verb(ENVIRON, options)
    assert words in caught.value.render()
    assert doubles.calls == []


def test_a_checkout_that_is_not_there_is_refused(doubles: Doubles, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build_verb(ENVIRON, BuildOptions(checkout=str(tmp_path / "gone"), rocm="700"))
    assert f"{tmp_path}/gone: no such folder" in caught.value.render()
    assert doubles.calls == []


@pytest.mark.processes  # git is asked for the commit
def test_a_checkout_without_a_dockerfile_is_refused(doubles: Doubles, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build_verb(ENVIRON, BuildOptions(checkout=str(tmp_path), family="mi30x", rocm="700"))
    assert "rocm.Dockerfile" in caught.value.render()
    assert doubles.calls == []
