"""Which image a request gets from its registry, and what is said when it gets none."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.limits import RegistryLimits
from ci.errors import UsageError
from ci.images.registry import RegistryError
from ci.images.resolve import patiently, resolve_image
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import ImageFact
from support.catalog_files import catalog
from support.http_server import Answer, Server, serve_http

TODAY = date(2026, 5, 29)
IMAGES = catalog().images


@pytest.mark.parametrize("registry", ["myhost", "http://10.0.0.1:5000", "a b"])
def test_what_replaces_the_registry_has_to_be_one(registry: str) -> None:
    ask = image_request(IMAGES, family="mi30x", today=TODAY, environ={"AMD_CI_REGISTRY": registry})
    with pytest.raises(UsageError):
        resolve_image(catalog(), ask, {}, engine_host="unix:///nowhere")


class Hub:
    """A registry with tags, each of which is an image of its own; `refuse` is the status of its answers instead."""

    def __init__(self, server: Server) -> None:
        self.name = server.url.removeprefix("http://")
        self.tags = [f"v0.5.12-rocm700-mi30x-202605{day}" for day in (25, 28, 27)]
        self.refuse = 0
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        server.answer = self

    def __call__(self, path: str, _headers: Mapping[str, str]) -> Answer:
        self.asked.append(path)
        if self.refuse:
            return self.refuse, {}, b"{}"
        last = path.rpartition("/")[2]
        if "/tags/list" in path:
            return 200, {}, json.dumps({"tags": self.tags}).encode()
        if last in self.tags:
            config = self.put({"config": {"Labels": {"of": last}}, "rootfs": {}})
            return (
                200,
                {},
                self.blobs[self.put({"config": {"digest": config}, "layers": [{"size": 30}, {"size": 12}]})],
            )
        return (200, {}, self.blobs[last]) if last in self.blobs else (404, {}, b"{}")

    def put(self, content: Any) -> str:
        body = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.blobs[digest] = body
        return digest


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_http() as server:
        yield Hub(server)


@pytest.fixture
def resolve(hub: Hub, tmp_path: Path) -> Any:
    def resolved(family: str = "mi30x", **changes: Any) -> ImageFact:
        environ = {"AMD_CI_REGISTRY": hub.name}
        ask = image_request(IMAGES, family=family, today=TODAY, environ=environ, **changes)
        host = f"unix://{tmp_path}/no.sock"
        return resolve_image(catalog(), ask, environ, engine_host=host, sleep_s=lambda _seconds: None)

    return resolved


def test_the_newest_of_the_flavour_and_family_is_pinned(hub: Hub, resolve: Any) -> None:
    hub.tags += ["v0.5.12-rocm720-mi30x-20260529", "v0.5.12-rocm700-mi35x-20260529", "latest"]
    found = resolve()
    assert found.reference == f"{hub.name}/org/engine:v0.5.12-rocm700-mi30x-20260528"
    assert (found.age_days, found.flavour, found.size_bytes, found.problem) == (1, "rocm700", 42, "")
    assert found.labels == {"of": "v0.5.12-rocm700-mi30x-20260528"}
    assert found.manifest_digest in hub.blobs
    assert found.config_digest in hub.blobs
    assert "AMD_CI_REGISTRY" in found.source


def test_without_an_image_of_the_last_days_it_says_what_there_was(hub: Hub, resolve: Any) -> None:
    hub.tags = ["v0.5.12-rocm700-mi30x-20260401"]
    found = resolve()
    assert (found.config_digest, found.age_days) == ("", None)
    assert "has no rocm700 image for mi30x of the last 7 days (1 tags)" in found.problem
    assert found.flavour == "rocm700"


def test_a_registry_that_refuses_is_the_problem(hub: Hub, resolve: Any) -> None:
    hub.refuse = 403
    assert "403" in resolve().problem
    hub.refuse = 0
    hub.tags = ["v0.5.12-rocm700-mi30x-20260528"]
    assert resolve().problem == ""


def test_a_registry_that_fails_is_asked_again_and_that_is_a_note(hub: Hub, resolve: Any) -> None:
    hub.refuse = 503
    found = resolve()
    attempts = catalog().limits.registry.attempts
    assert len(hub.asked) == attempts
    assert len([note for note in found.notes if "asked again" in note]) == attempts - 1
    assert found.config_digest == ""


def test_an_image_that_is_named_is_asked_for_where_its_name_says(hub: Hub, resolve: Any) -> None:
    name = f"{hub.name}/org/engine:v0.5.12-rocm700-mi30x-20260525"
    found = resolve(image=name)
    assert (found.reference, found.age_days) == (name, 4)
    assert not [path for path in hub.asked if "tags/list" in path]
    assert any("local store not available" in note for note in found.notes)
    gone = resolve(image=f"{hub.name}/org/engine:gone")
    assert gone.config_digest == ""
    assert "404" in gone.problem


def test_an_image_of_another_family_is_refused(hub: Hub, resolve: Any) -> None:
    with pytest.raises(UsageError, match="is made for mi35x, this machine is mi30x"):
        resolve(image=f"{hub.name}/org/engine:v0.5.12-rocm700-mi35x-20260525")


def test_an_image_id_is_of_the_local_store_alone(hub: Hub, resolve: Any) -> None:
    found = resolve(image="sha256:" + "a" * 64)
    assert "the local store has no sha256:" in found.problem
    assert hub.asked == []


class TestPatience:
    LIMITS = RegistryLimits(connect_s=1, read_s=1, attempts=3)

    def asked(self, *errors: RegistryError | None) -> tuple[int, list[float], list[str]]:
        """How often it was asked, the waits between, and the notes."""
        left = list(errors)
        waits: list[float] = []
        notes: list[str] = []

        def action() -> None:
            if (error := left.pop(0)) is not None:
                raise error

        try:
            patiently(action, self.LIMITS, sleep_s=waits.append, note=notes.append)
        except RegistryError:
            notes.append("raised")
        return len(errors) - len(left), waits, notes

    def error(self, *, retry: bool = True, after_s: float | None = None) -> RegistryError:
        return RegistryError("busy", retry=retry, retry_after_s=after_s)

    def test_waits_double_and_the_last_error_is_raised(self) -> None:
        count, waits, notes = self.asked(*[self.error()] * 4)
        assert (count, waits, notes[-1]) == (3, [1, 2], "raised")
        assert notes[0] == "busy; asked again after 1 s"

    def test_the_registrys_own_wait_is_kept_unless_it_is_too_long(self) -> None:
        count, waits, notes = self.asked(self.error(after_s=7), None)
        assert (count, waits) == (2, [7])
        assert notes == ["busy; asked again after 7 s, as the registry asks"]
        assert self.asked(self.error(after_s=60), None)[0] == 2
        assert self.asked(self.error(after_s=61), None)[0] == 1

    def test_what_cannot_help_is_not_repeated(self) -> None:
        assert self.asked(self.error(retry=False), None) == (1, [], ["raised"])
        assert self.asked(None) == (1, [], [])
