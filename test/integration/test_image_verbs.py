"""`./inv image.resolve|pull|mirror|prune` with a real engine and real registries."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.engines import Engine, Registry, make_tiny_image
from support.files import REPOSITORY, child_env

OLD, NEW = "v0.5.12-rocm700-mi30x-20260520", "v0.5.12.post1-rocm700-mi30x-20260525"


@dataclass
class Site:
    """A public registry with two official images and an unofficial one, an engine without any of them, a mirror."""

    engine: Engine
    public: Registry
    mirror: Registry
    ids: dict[str, str]
    runs: Path

    def inv(
        self, *arguments: str, today: str = "2026-05-26", **more: str
    ) -> subprocess.CompletedProcess[str]:
        environ = {
            "DOCKER_HOST": self.engine.host,
            "AMD_CI_REGISTRY": self.public.address,
            "AMD_CI_TODAY": today,
            **more,
        }
        return subprocess.run(
            [sys.executable, "tasks.py", *arguments],
            cwd=REPOSITORY,
            env=child_env(self.runs, environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def result(self, *arguments: str, **more: str) -> Any:
        done = self.inv(*arguments, "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def site(engine: Engine, registry: Callable[[], Registry], tmp_path: Path) -> Iterator[Site]:
    public = registry()
    ids = {}
    for tag in (OLD, NEW, f"{NEW}-preview"):
        ids[tag] = make_tiny_image(engine, "amd-ci-test/verbs:latest", os.urandom(2000), tag.encode())
        public.push(engine, "amd-ci-test/verbs:latest", f"rocm/sgl-dev:{tag}")
        engine.client.api.remove_image(ids[tag], force=True)
    yield Site(engine, public, registry(), ids, tmp_path / "runs")
    for image in ids.values():
        if engine.has(image):
            engine.client.api.remove_image(image, force=True)


def test_an_image_is_resolved_pulled_mirrored_and_pruned(site: Site) -> None:
    shown = site.inv("image.resolve", "--family", "mi30x")
    assert shown.returncode == 0, shown.stderr
    assert f"older than {NEW}" in shown.stdout
    assert "a preview build" in shown.stdout
    found = site.result("image.resolve", "--family", "mi30x")
    assert found["config_digest"] == site.ids[NEW]

    first = site.result("image.mirror", "--family", "mi30x", "--to", site.mirror.address)
    again = site.result("image.mirror", "--family", "mi30x", "--to", site.mirror.address)
    assert (first["pushed"], again["pushed"]) == (True, False)
    assert first["config_digest"] == site.ids[NEW]

    site.engine.client.api.remove_image(site.ids[NEW], force=True)
    pulled = site.result("image.pull", "--family", "mi30x", LOCAL_DOCKER_REGISTRY=site.mirror.address)
    assert (pulled["hop"], pulled["local_id"]) == ("mirror", site.ids[NEW])

    dry = site.result("image.prune", "--older", "1", "--keep", "0", "--dry", today="2026-05-29")
    assert [image["id"] for image in dry["images"] if site.ids[NEW] == image["id"]]
    assert site.engine.has(site.ids[NEW])
    user = site.engine.client.api.create_container(site.ids[NEW], command=["/never-started"])["Id"]
    try:
        used = site.result("image.prune", "--older", "1", "--keep", "0", today="2026-05-29")
        (row,) = (image for image in used["images"] if image["id"] == site.ids[NEW])
        assert row["kept"] == "a container uses it"
    finally:
        site.engine.client.api.remove_container(user, force=True)
    assert site.engine.has(site.ids[NEW])
    gone = site.result("image.prune", "--older", "1", "--keep", "0", today="2026-05-29")
    (row,) = (image for image in gone["images"] if image["id"] == site.ids[NEW])
    assert row["kept"] == ""
    assert gone["freed_bytes"] > 0
    assert not site.engine.has(site.ids[NEW])


def test_a_stale_image_is_reported_first_and_refused_when_strict(site: Site) -> None:
    # four days after the newest image, which is one more than the catalog allows
    loud = site.inv("image.resolve", "--family", "mi30x", today="2026-05-29")
    assert loud.returncode == 0
    assert "STALE IMAGE" in loud.stdout
    assert "4 days old, the catalog allows 3" in " ".join(loud.stdout.split())
    strict = site.inv("image.resolve", "--family", "mi30x", "--strict", today="2026-05-29")
    assert strict.returncode == 4
    assert "error (exit 4): STALE IMAGE" in strict.stderr
    late = site.inv("image.resolve", "--family", "mi30x", today="2026-06-29")
    assert late.returncode == 4
    assert "35 days old, the look-back is 7 days" in late.stderr


def test_overrides_are_resolved_at_their_registry_and_what_was_made_here_without_one(site: Site) -> None:
    reference = f"{site.public.address}/rocm/sgl-dev:{OLD}"
    found = site.result("image.resolve", "--family", "mi30x", AMD_CI_IMAGE=reference)
    assert (found["config_digest"], found["source"]) == (site.ids[OLD], "AMD_CI_IMAGE")
    wrong = site.inv("image.resolve", "--family", "mi35x", "--image", reference)
    assert wrong.returncode == 2
    assert "made for mi30x, this machine is mi35x" in wrong.stderr
    pinned = site.result("image.resolve", "--family", "mi30x", "--image", found["pinned"])
    assert pinned["config_digest"] == site.ids[OLD]

    made = make_tiny_image(site.engine, "amd-ci-test/made-here:latest", b"made here")
    here = site.result("image.resolve", "--image", "amd-ci-test/made-here")
    assert (here["config_digest"], here["manifest_digest"]) == (made, "")
    assert "was built on this machine" in here["notes"][0]
    site.engine.client.api.remove_image(made, force=True)
    missing = site.inv("image.resolve", "--image", f"{site.public.address}/rocm/sgl-dev:no-such-tag")
    assert missing.returncode == 4
    assert "HTTP 404" in missing.stderr
