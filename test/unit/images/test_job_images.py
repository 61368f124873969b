"""The images of a run's jobs: each is looked up once."""

from dataclasses import replace
from datetime import date

import pytest

from ci.errors import ExitCode, InfrastructureError
from ci.images.job_images import PlannedImages
from ci.plan.container.image import ImageRequest, parse_reference
from ci.plan.container.image_fact import ImageFact
from support.planning import catalog


class Registry:
    """Answers for one newest tag of each family, which is another one each time that it is asked."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[ImageRequest] = []
        self.changes = changes

    def __call__(self, ask: ImageRequest) -> ImageFact:
        self.asked.append(ask)
        fact = ImageFact(
            reference=f"org/engine:v0.5.12-{ask.flavour}-{ask.family}-2026052{len(self.asked)}",
            manifest_digest=f"sha256:{len(self.asked):064x}",
            config_digest=f"sha256:{len(self.asked) + 10:064x}",
            flavour=ask.flavour,
            labels={},
            env={},
            size_bytes=1,
            age_days=2,
            stale_after_days=3,
            candidates=(),
            source="newest",
        )
        return replace(fact, **self.changes)  # type: ignore[arg-type]  # the keywords are ImageFact's own


def images(registry: Registry, *, look: bool = True, **environ: str) -> PlannedImages:
    return PlannedImages(
        catalog=catalog(), environ=environ, today=date(2026, 5, 29), look=look, resolve=registry
    )


def test_all_shards_of_a_run_get_one_image_although_the_registry_moves_on() -> None:
    registry = Registry()
    found = images(registry)
    got = {found.of("mi30x", "700") for _ in range(5)}
    assert got == {f"org/engine:v0.5.12-rocm700-mi30x-20260521@sha256:{1:064x}"}
    assert found.of("mi35x", "720") not in got
    assert [(ask.family, ask.flavour) for ask in registry.asked] == [
        ("mi30x", "rocm700"),
        ("mi35x", "rocm720"),
    ]
    found.require()
    assert "2 days old" in found.notes[0]


def test_what_is_handed_out_means_the_same_image_to_a_job() -> None:
    reference = parse_reference(images(Registry()).of("mi30x", "700"))
    assert (reference.tag, reference.digest) == ("v0.5.12-rocm700-mi30x-20260521", f"sha256:{1:064x}")


def test_jobs_without_an_image_are_refused_with_every_family() -> None:
    found = images(Registry(config_digest="", problem="registry.invalid: no answer"))
    assert {found.of("mi30x", "700"), found.of("mi35x", "720")} == {""}
    with pytest.raises(InfrastructureError) as caught:
        found.require()
    text = caught.value.render()
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    for words in ("mi30x, rocm700", "mi35x, rocm720", "no answer", "./inv image.resolve --family mi30x"):
        assert words in text


def test_a_person_who_asks_why_waits_for_no_registry_and_gets_a_note() -> None:
    registry = Registry()
    found = images(registry, look=False)
    assert found.of("mi30x", "700") == ""
    assert registry.asked == []
    assert "--images" in found.notes[0]
    found.require()


def test_an_image_that_is_pinned_already_is_handed_out_as_it_is() -> None:
    registry = Registry()
    pinned = f"org/engine@sha256:{'a' * 64}"
    found = images(registry, AMD_CI_IMAGE=pinned)
    assert (found.of("mi30x", "700"), registry.asked) == (pinned, [])
    tag = images(registry, AMD_CI_IMAGE="org/engine:v1")
    assert "@sha256:" in tag.of("mi30x", "700")
    assert registry.asked[0].override == "org/engine:v1"


def test_a_stale_image_is_the_first_thing_reported() -> None:
    found = images(Registry(age_days=9))
    found.of("mi30x", "700")
    assert found.notes[0].startswith("STALE IMAGE: ")
    assert "9 days old" in found.notes[1]


def test_what_every_look_notes_is_reported_once() -> None:
    found = images(Registry(notes=("no login for the registry", "asked again after 1 s")))
    for family in ("mi30x", "mi35x"):
        found.of(family, "700")
    assert [note for note in found.notes if not note.startswith("image of ")] == [
        "no login for the registry",
        "asked again after 1 s",
    ]
