"""Which images of the local store are old."""

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from ci.errors import InfrastructureError, UsageError
from ci.images.store import choose_old, prune_images
from support.catalog_files import catalog
from support.docker_client import docker_error

TODAY = date(2026, 5, 29)
IMAGES = catalog().images


def tag(
    version: str = "v0.5.12", flavour: str = "rocm700", family: str = "mi30x", day: str = "20260528"
) -> str:
    return f"{version}-{flavour}-{family}-{day}"


def test_old_unused_images_of_ours_go_and_the_newest_stay() -> None:
    def row(number: int, *names: str) -> dict[str, object]:
        return {
            "Id": f"sha256:{number}",
            "RepoTags": list(names),
            "RepoDigests": [],
            "Created": 0,
            "Size": 10,
        }

    rows = [
        row(1, f"org/engine:{tag(day='20260528')}"),
        row(2, f"10.0.0.1:5000/org/engine:{tag(day='20260501')}", f"org/engine:{tag(day='20260501')}"),
        row(3, f"org/engine:{tag(day='20260401')}"),
        row(4, "org/engine:built-by-hand"),
        row(5, "debian:bookworm"),
        row(6, f"evil/x-org/engine:{tag(day='20260401')}"),
    ]
    found = choose_old(rows, {"sha256:3"}, images=IMAGES, today=TODAY, older_days=7, keep=1)
    assert [(image.id, image.kept) for image in found] == [
        ("sha256:1", "among the newest 1"),
        ("sha256:2", ""),
        ("sha256:3", "a container uses it"),
        ("sha256:4", ""),
    ]
    assert len(found[1].names) == 2
    for before, after in pairwise(found):
        assert before.age_days <= after.age_days


class Store:
    """An engine's images, some of which it may refuse to remove."""

    def __init__(self, **refusals: Exception) -> None:
        self.refusals = refusals
        self.removed: list[str] = []
        self.fault: Exception | None = None

    @property
    def api(self) -> "Store":
        return self

    def close(self) -> None:
        """Nothing is open."""

    def images(self) -> list[dict[str, Any]]:
        if self.fault is not None:
            raise self.fault
        ids = {"one": "20260501", "two": "20260401"}
        rows = {
            name: [f"org/engine:{tag(day=day)}", f"lan:5000/org/engine:{name}"] for name, day in ids.items()
        }
        return [
            {"Id": name, "RepoTags": tags, "RepoDigests": [], "Created": 0, "Size": 10}
            for name, tags in rows.items()
        ]

    def containers(self, **_how: Any) -> list[dict[str, str]]:
        return []

    def df(self) -> dict[str, int]:
        return {"LayersSize": 100 - 7 * len(self.removed)}

    def remove_image(self, name: str) -> None:
        fault = self.refusals.get(name.rpartition(":")[2])
        if fault is not None:
            raise fault
        self.removed.append(name)


def prune(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, dry: bool = False, **counts: int
) -> tuple[Any, int]:
    monkeypatch.setattr("ci.images.store.connect", lambda *_, **__: store)
    how = {"older_days": 7, "keep": 0} | counts
    return prune_images(catalog(), engine_host="unix:///e", today=TODAY, dry=dry, **how)


def test_an_image_goes_by_all_its_names_and_what_the_store_has_shrunk_by_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store()
    images, freed = prune(store, monkeypatch, keep=1)
    assert [(image.id, image.kept) for image in images] == [("one", "among the newest 1"), ("two", "")]
    assert store.removed == [f"org/engine:{tag(day='20260401')}", "lan:5000/org/engine:two"]
    assert freed == 14


def test_a_dry_run_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    images, freed = prune(store, monkeypatch, dry=True)
    assert [image.kept for image in images] == ["", ""]
    assert (store.removed, freed) == ([], 0)


def test_a_refusal_is_why_an_image_stays_and_the_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(one=docker_error("it is being used", 409), two=docker_error("no such image", 404))
    images, _ = prune(store, monkeypatch)
    assert [image.kept for image in images] == ["the engine refused: it is being used", ""]


def test_invalid_counts_and_an_engine_that_cannot_say_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="must not be negative"):
        prune(Store(), monkeypatch, keep=-1)
    store = Store()
    store.fault = docker_error("database is locked", 500)
    with pytest.raises(InfrastructureError, match="cannot prune the engine's images: database is locked"):
        prune(store, monkeypatch)
    assert store.removed == []
