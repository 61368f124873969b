"""The way of an image into the local store: local, mirror, public, and what each failure leads to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ci.errors import ExitCode, InfrastructureError
from ci.images.pull import Pulled, pull_image
from ci.images.pull_process import Outcome
from ci.images.registry import RegistryError
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Event, Note
from support.catalog_files import catalog
from support.containers import DIGEST, image
from support.docker_client import docker_error

LIMITS = catalog().limits.pull
NAME, TAG = "org/engine", "v0.5.12-rocm700-mi30x-20260528"
MANIFEST = "sha256:" + "d" * 64
OK = Outcome(problem="")
GONE = Outcome(problem="connection reset", gone=True)


@dataclass
class Site:
    """An engine, what pulls through it give, and a clock that only passes by being slept."""

    environ: dict[str, str]
    store: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    brings: list[str] = field(default_factory=list)
    pulls: list[str] = field(default_factory=list)
    most_s: list[float] = field(default_factory=list)
    tags: list[tuple[str, str, str]] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pings: list[Exception | None] = field(default_factory=list)
    fail: dict[str, Exception] = field(default_factory=dict)
    retry_after_s: float | None = None
    stop_after_s: float = float("inf")
    now: float = 0.0

    # the engine
    @property
    def api(self) -> "Site":
        return self

    def close(self) -> None:
        """Nothing is open."""

    def inspect_image(self, name: str) -> Mapping[str, Any]:
        if "inspect" in self.fail:
            raise self.fail["inspect"]
        if name not in self.store:
            raise docker_error("no such image", 404)
        return self.store[name]

    def tag(self, identity: str, name: str, *, tag: str, force: bool) -> None:
        assert force
        if "tag" in self.fail:
            raise self.fail["tag"]
        self.tags.append((identity, name, tag))

    def remove_image(self, name: str, **_how: Any) -> None:
        self.untagged.append(name)

    def ping(self) -> None:
        fault = self.pings.pop(0) if self.pings else None
        if fault is not None:
            raise fault

    # the transfer
    def require_wanted(self) -> None:
        if self.now >= self.stop_after_s:
            raise InfrastructureError("the pull was stopped", exit_code=ExitCode.INTERRUPTED)

    def pull(self, name: str, tag: str, *, most_s: float, **_how: Any) -> Outcome:
        full = f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
        self.pulls.append(full)
        self.most_s.append(most_s)
        outcome = self.outcomes.pop(0)
        if not outcome.problem:
            self.store[full] = {"Id": self.brings.pop(0) if self.brings else DIGEST}
        return outcome

    def sleep_s(self, seconds: float) -> None:
        self.now += seconds

    def emit(self, event: Event) -> None:
        assert isinstance(event, Note)
        self.notes.append(event.text)

    def run(self, mirror: str = "", wanted: ImageFact | None = None) -> Pulled:
        return pull_image(
            wanted or image(),
            catalog=catalog(),
            engine_host="unix:///e.sock",
            mirror=mirror,
            environ=self.environ,
            emit=self.emit,
            stopped=lambda: False,
            who="test",
            sleep_s=self.sleep_s,
            monotonic_s=lambda: self.now,
            utc_now=lambda: datetime(2026, 5, 29, tzinfo=UTC),
        )

    def refused(self, mirror: str = "", wanted: ImageFact | None = None) -> str:
        with pytest.raises(InfrastructureError) as caught:
            self.run(mirror, wanted)
        return caught.value.render()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    made = Site(environ={"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    monkeypatch.setattr("ci.images.pull.connect", lambda *_, **__: made)
    monkeypatch.setattr("ci.images.pull.Transfer", lambda **_: made)
    monkeypatch.setattr("ci.images.pull.Registry", lambda *_, **__: FakeRegistry(made))
    return made


class FakeRegistry:
    """A registry that only says how long to wait."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __enter__(self) -> "FakeRegistry":  # noqa: PYI034  # not subclassed
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def exists(self, _path: str, _digest: str) -> bool:
        if self._site.retry_after_s is None:
            return True
        raise RegistryError("too many", status=429, retry_after_s=self._site.retry_after_s)


PUBLIC = f"{NAME}@{MANIFEST}"


class TestTheLocalStore:
    @pytest.mark.parametrize("name", [DIGEST, PUBLIC])
    def test_what_it_has_is_not_pulled(self, site: Site, name: str) -> None:
        site.store[name] = {"Id": DIGEST}
        pulled = site.run("lan:5000")
        assert (pulled.local_id, pulled.hop, site.pulls) == (DIGEST, "local", [])

    def test_a_store_that_names_images_by_manifest_has_it_too(self, site: Site) -> None:
        site.store[PUBLIC] = {"Id": MANIFEST, "RepoDigests": []}
        assert site.run().local_id == MANIFEST

    def test_another_image_under_its_name_is_not_it(self, site: Site) -> None:
        site.store[PUBLIC] = {"Id": "sha256:other"}
        site.outcomes = [OK]
        assert site.run().hop == "public"

    def test_an_image_of_this_machine_alone_cannot_be_pulled(self, site: Site) -> None:
        text = site.refused(wanted=image(manifest_digest=""))
        assert "it was only in the local store, and was removed" in text
        assert site.pulls == []

    def test_an_engine_that_cannot_say_is_an_error(self, site: Site) -> None:
        site.fail["inspect"] = docker_error("database is locked", 500)
        assert "the engine cannot say whether it has" in site.refused()


class TestTheMirror:
    MIRRORED = f"lan:5000/{NAME}:{TAG}"

    def test_it_is_asked_first_by_tag_and_the_image_gets_its_plain_name(self, site: Site) -> None:
        site.outcomes = [OK]
        pulled = site.run("lan:5000")
        assert (pulled.hop, site.pulls) == ("mirror", [self.MIRRORED])
        assert site.tags == [(DIGEST, NAME, TAG)]
        assert site.most_s == [LIMITS.mirror_max_s]

    def test_a_wrong_copy_is_refused_untagged_and_the_public_one_pulled(self, site: Site) -> None:
        site.outcomes, site.brings = [OK, OK], ["sha256:old", DIGEST]
        pulled = site.run("lan:5000")
        assert [hop.name for hop in pulled.hops] == ["local", "mirror", "public"]
        assert "a stale or wrong copy" in pulled.hops[1].what
        assert site.untagged == [self.MIRRORED]

    def test_one_try_is_all_it_gets(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="connection refused"), OK]
        assert site.run("lan:5000").hop == "public"
        assert site.pulls == [self.MIRRORED, PUBLIC]
        assert site.now == 0, "no wait before the public registry"

    @pytest.mark.parametrize(
        ("mirror", "reference", "why"),
        [
            ("", f"{NAME}:{TAG}", "this machine has no mirror"),
            ("lan:5000", f"ghcr.io/{NAME}:{TAG}", "it mirrors docker.io, the image is from ghcr.io"),
            ("lan:5000", f"{NAME}@{MANIFEST}", "a mirror is pulled by tag"),
        ],
    )
    def test_where_it_cannot_help_it_is_skipped_with_the_reason(
        self, site: Site, mirror: str, reference: str, why: str
    ) -> None:
        site.outcomes = [OK]
        pulled = site.run(mirror, image(reference=reference))
        assert why in next(hop.what for hop in pulled.hops if hop.name == "mirror")
        assert len(site.pulls) == 1


class TestThePublicRegistry:
    def test_a_failure_that_may_pass_is_tried_again_after_longer_and_longer_waits(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="unexpected EOF")] * 2 + [OK]
        pulled = site.run()
        assert site.pulls == [PUBLIC] * 3
        waits = [float(note.split()[3]) for note in site.notes if note.startswith("trying again in")]
        assert LIMITS.wait_s <= waits[0] <= LIMITS.wait_s + LIMITS.jitter_s
        assert 2 * LIMITS.wait_s <= waits[1] <= 2 * LIMITS.wait_s + LIMITS.jitter_s
        assert site.now >= sum(waits) - 0.1
        assert pulled.hops[-2].what == "attempt 2: unexpected EOF"

    def test_attempts_are_counted_and_every_one_is_in_the_error(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="unexpected EOF")] * LIMITS.attempts
        text = site.refused()
        assert "unexpected EOF [network]" in text
        for number in range(1, LIMITS.attempts + 1):
            assert f"attempt {number}: unexpected EOF" in text

    def test_what_does_not_come_by_waiting_is_not_tried_again(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="manifest unknown")]
        assert "manifest unknown [missing]" in site.refused()
        assert site.now == 0

    def test_a_failure_that_no_row_knows_is_tried_again_and_said(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="gremlins"), OK]
        assert site.run().hop == "public"
        assert any("no row of images.toml matches this failure" in note for note in site.notes)

    def test_a_stalled_pull_is_tried_again_whatever_the_engine_said_last(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="no progress for 100 s (manifest unknown)", stalled=True), OK]
        assert site.run().hop == "public"

    @pytest.mark.parametrize("asked_s", [300.0, 9_000.0])
    def test_a_limited_pull_waits_as_the_registry_asks_within_the_row(
        self, site: Site, asked_s: float
    ) -> None:
        site.retry_after_s = asked_s
        site.outcomes = [Outcome(problem="toomanyrequests: limit"), OK]
        site.run()
        least = min(asked_s, LIMITS.retry_after_max_s)
        assert least <= site.now <= least + LIMITS.jitter_s + 1
        assert any("as the registry asks" in note for note in site.notes)
        assert any(f"waiting {LIMITS.retry_after_max_s:g} s" in note for note in site.notes) is (
            asked_s > 600
        )

    def test_another_image_than_asked_for_is_no_image(self, site: Site) -> None:
        site.outcomes, site.brings = [OK], ["sha256:other"]
        assert f"came as sha256:other, not {DIGEST}" in site.refused()

    def test_a_name_that_cannot_be_given_is_only_a_note(self, site: Site) -> None:
        site.outcomes = [OK]
        site.fail["tag"] = docker_error("read-only", 500)
        assert site.run().local_id == DIGEST
        assert any("it could not be tagged" in note for note in site.notes)

    def test_a_stop_ends_a_wait(self, site: Site) -> None:
        site.outcomes = [Outcome(problem="unexpected EOF")]
        site.stop_after_s = 5
        with pytest.raises(InfrastructureError) as caught:
            site.run()
        assert caught.value.exit_code is ExitCode.INTERRUPTED
        assert site.now < 6


class TestAnEngineThatIsGone:
    def test_it_is_waited_for_and_then_asked_again(self, site: Site) -> None:
        site.outcomes = [GONE, OK]
        site.pings = [ConnectionRefusedError("refused")] * 3
        assert site.run().hop == "public"
        assert any("the engine answers again" in note for note in site.notes)

    def test_one_that_stays_away_ends_the_pull(self, site: Site) -> None:
        site.outcomes = [GONE]
        site.pings = [ConnectionRefusedError("refused")] * 100_000
        assert "the engine stopped during the pull: refused" in site.refused()
        assert LIMITS.engine_back_s <= site.now < LIMITS.engine_back_s + 1
