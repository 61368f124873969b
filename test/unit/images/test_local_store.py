"""What the local store offers when an image is not taken from its registry."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Self

import pytest

from ci.docker.client import EngineError
from ci.errors import InfrastructureError
from ci.images import resolve
from ci.images.registry import RegistryError
from ci.images.resolve import resolve_image
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import ImageFact
from support.catalog_files import catalog

TODAY = date(2026, 5, 29)
ID = "sha256:" + "d" * 64
OLDER, NEWER = (f"org/engine:v0.5.12-rocm700-mi30x-202605{day}" for day in (27, 28))


class Store:
    """A local store: what it says of names, and its list."""

    def __init__(self, images: Mapping[str, Mapping[str, Any]], listed: list[dict[str, Any]]) -> None:
        self.api = self
        self._images = images
        self._listed = listed

    def inspect_image(self, name: str) -> Mapping[str, Any]:
        if name not in self._images:
            raise EngineError("no such image", status=404)
        return self._images[name]

    def images(self) -> list[dict[str, Any]]:
        return self._listed

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        notes = ("asked in vain",)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, _name: str) -> Any:
            raise RegistryError("the registry does not answer")

    monkeypatch.setattr(resolve, "open_registry", lambda *_: Silent())


def resolved(monkeypatch: pytest.MonkeyPatch, store: Store | None, image: str = "") -> ImageFact:
    def connect(_host: str, **_: object) -> Store:
        if store is None:
            raise InfrastructureError("no engine here")
        return store

    monkeypatch.setattr(resolve, "connect", connect)
    ask = image_request(
        catalog().images, family="mi30x", today=TODAY, environ={}, image=image, flavour="rocm700"
    )
    return resolve_image(catalog(), ask, {}, engine_host="unix:///x", sleep_s=lambda _seconds: None)


def test_images_that_would_fit_are_listed_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {"Id": "sha256:1", "RepoTags": [OLDER, "other/thing:latest"]},
        {"Id": "sha256:2", "RepoTags": [f"10.0.0.1:5000/{NEWER}"]},
        {"Id": "sha256:3", "RepoTags": [NEWER.replace("mi30x", "mi35x"), NEWER.replace("700", "720")]},
        {"Id": "sha256:4", "RepoTags": None},
    ]
    found = resolved(monkeypatch, Store({}, rows))
    assert (found.config_digest, found.problem) == ("", "the registry does not answer")
    tags = [reference.rpartition(":")[2] for reference in (NEWER, OLDER)]
    assert found.local == (f"has {tags[0]}: --image sha256:2", f"has {tags[1]}: --image sha256:1")


def test_a_store_that_cannot_be_asked_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(monkeypatch, None).local == ()


def test_a_named_image_that_is_here_may_be_named_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"Id": ID, "RepoDigests": [f"org/engine@{ID}"]}
    found = resolved(monkeypatch, Store({NEWER: here}, []), image=NEWER)
    assert found.config_digest == ""
    assert found.local == (f"has {NEWER} as it was when it was pulled: --image {ID}",)


def test_an_id_that_is_not_here_is_reported_and_nothing_else_is_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = resolved(monkeypatch, Store({}, [{"Id": "sha256:1", "RepoTags": [NEWER]}]), image=ID)
    assert f"the local store has no {ID}" in found.problem
    assert found.local == ()


def test_an_engine_that_is_away_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = resolved(monkeypatch, None, image=ID)
    assert "no engine here" in found.problem
    assert any("no engine here" in note for note in found.notes)


def test_an_image_that_was_made_here_asks_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {
        "Id": ID, "RepoDigests": [], "Size": 7,
        "Config": {"Labels": {"ci.flavour": "rehearsal"}, "Env": ["A=1=2"]},
    }  # fmt: skip
    found = resolved(monkeypatch, Store({"mine:1": here}, []), image="mine:1")
    assert (found.config_digest, found.manifest_digest, found.problem) == (ID, "", "")
    assert (found.flavour, found.env, found.size_bytes) == ("rehearsal", {"A": "1=2"}, 7)
    assert any("no registry was asked" in note for note in found.notes)
