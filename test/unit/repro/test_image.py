"""Whether the image of a plan is still there, and the nearest one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ci.errors import UsageError
from ci.plan.container.image_fact import ImageFact
from ci.repro.image import check_image, nearest_image, require_image
from support.http_server import Server, serve_http
from support.planning import catalog
from support.shard_plans import contained_shard_plan


@pytest.fixture
def hub() -> Iterator[Server]:
    """A registry that answers 404 unless a test says otherwise."""
    with serve_http() as one:
        yield one


class TestTheImageOfAPlan:
    """Asked at the image's own registry when the local store has it not; no engine answers here."""

    def asked(self, hub: Server, tmp_path: Path) -> str:
        made = contained_shard_plan()
        place = made.placement.container
        assert place is not None
        address = hub.url.removeprefix("http://")
        there = replace(place, image_pinned=f"{address}/org/engine@sha256:{'d' * 64}")
        made = replace(made, placement=replace(made.placement, container=there))
        environ = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "AMD_CI_REGISTRY": address}
        return check_image(made, catalog(), environ, today=date(2026, 5, 29))

    def test_it_is_there(self, hub: Server, tmp_path: Path) -> None:
        hub.answer = lambda _path, _headers: (200, {}, b"")
        assert self.asked(hub, tmp_path).endswith("has it")
        assert hub.asked[0][0] == f"/v2/org/engine/manifests/sha256:{'d' * 64}"

    def test_a_registry_that_does_not_say_is_not_a_proof_of_absence(
        self, hub: Server, tmp_path: Path
    ) -> None:
        hub.answer = lambda _path, _headers: (403, {}, b"")
        assert self.asked(hub, tmp_path).startswith("not known whether it is still there: ")

    def test_it_is_gone_and_nothing_is_near(self, hub: Server, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no longer exists") as caught:
            self.asked(hub, tmp_path)
        assert "./inv image.resolve" in caught.value.render()


def known(tag: str, digest: str, **changes: Any) -> ImageFact:
    fact = ImageFact(
        reference=f"org/engine:{tag}", manifest_digest="", config_digest=digest, flavour="rocm700", labels={}, env={},
        size_bytes=1, age_days=1, stale_after_days=3, candidates=(), source="Docker Hub",
    )  # fmt: skip
    return replace(fact, **changes)


class TestImages:
    FACTS = (
        known("v0.5.15-rocm720-mi30x-20260715", "sha256:b"),
        known("v0.5.15-rocm700-mi30x-20260715", "sha256:c"),
        known("v0.5.15-rocm700-mi30x-20260716", "", problem="gone"),
    )

    def test_the_same_image_is_enough(self) -> None:
        require_image("sha256:c", self.FACTS)

    def test_an_image_that_is_gone_says_so_and_offers_the_nearest(self) -> None:
        wanted = "org/engine:v0.5.15-rocm700-mi30x-20260714@sha256:a"
        nearest = nearest_image(wanted, self.FACTS)
        assert nearest is not None
        assert nearest.config_digest == "sha256:c"
        with pytest.raises(UsageError, match="no longer exists") as caught:
            require_image(wanted, self.FACTS)
        assert "--image org/engine:v0.5.15-rocm700-mi30x-20260715" in caught.value.render()

    def test_no_image_at_all(self) -> None:
        with pytest.raises(UsageError, match="no longer exists"):
            require_image("sha256:a", ())

    def test_only_images_that_can_be_had_are_near(self) -> None:
        facts = (
            known("v0.5.15-rocm700-mi30x-20260714", "sha256:x", problem="refused"),
            known("v0.5.15-rocm700-mi30x-20260714", ""),
            known("v0.5.15-rocm720-mi30x-20260715", "sha256:b"),
        )
        nearest = nearest_image("org/engine:v0.5.15-rocm700-mi30x-20260714@sha256:a", facts)
        assert nearest is facts[2]
        assert nearest_image("x", facts[:2]) is None

    def test_of_two_that_are_as_near_it_is_the_newer(self) -> None:
        old, new = (
            known("v0.5.15-rocm700-mi30x-20260714", f"sha256:{days}", age_days=days) for days in (9, 2)
        )
        assert nearest_image("org/engine:other", (old, new)) is new
