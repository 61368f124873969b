"""Image facts: made in one module, flavour and age by one rule whoever found the image."""

import ast
from datetime import date
from pathlib import Path

import pytest

from ci.plan.container.image import Candidate
from ci.plan.container.image_fact import image_fact, local_image, planned_image
from ci.plan.container.needs import ContainerPlace
from support.catalog_files import catalog

REPOSITORY = Path(__file__).parents[4]
IMAGES = catalog().images
DIGEST = "sha256:" + "c" * 64
OFFICIAL = "rocm/sgl-dev:v0.5.12-rocm700-mi30x-20260528"


def test_one_module_makes_them() -> None:
    makers = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "ci").rglob("*.py")
        if "ImageFact" in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "ImageFact"
    }
    assert makers == {"ci/plan/container/image_fact.py"}


@pytest.mark.parametrize(
    ("reference", "labels", "env", "flavour"),
    [
        (OFFICIAL, {"ci.flavour": "rocm720"}, {}, "rocm700"),
        ("mine:latest", {"ci.flavour": "rehearsal"}, {"GPU_ARCH": "gfx942-rocm720"}, "rehearsal"),
        ("mine:latest", {}, {"GPU_ARCH": "gfx942-rocm720"}, "rocm720"),
        (DIGEST, {}, {}, ""),
    ],
)
def test_the_flavour_is_the_tags_then_the_labels_then_the_stamps(
    reference: str, labels: dict[str, str], env: dict[str, str], flavour: str
) -> None:
    assert image_fact(IMAGES, reference, source="test", labels=labels, env=env).flavour == flavour


@pytest.mark.parametrize(
    ("reference", "config_digest", "today", "age_days"),
    [
        (OFFICIAL, DIGEST, date(2026, 6, 2), 5),
        (OFFICIAL, "", date(2026, 6, 2), None),
        (OFFICIAL, DIGEST, None, None),
        ("mine:latest", DIGEST, date(2026, 6, 2), None),
    ],
)
def test_only_an_image_that_was_found_and_bears_a_date_has_an_age(
    reference: str, config_digest: str, today: date | None, age_days: int | None
) -> None:
    fact = image_fact(IMAGES, reference, source="test", config_digest=config_digest, today=today)
    assert fact.age_days == age_days


def test_the_engine_lists_and_inspects_an_image_in_two_shapes() -> None:
    listed = {"Id": DIGEST, "Size": 7, "Labels": {"ci.flavour": "rehearsal"}}
    inspected = {"Id": DIGEST, "Size": 7, "Config": {"Labels": {"ci.flavour": "rehearsal"}, "Env": ["A=b=c"]}}
    one, two = (local_image(IMAGES, "mine:latest", row, source="test") for row in (listed, inspected))
    assert (one.config_digest, one.size_bytes, one.flavour) == (DIGEST, 7, "rehearsal")
    assert (two.config_digest, two.size_bytes, two.flavour) == (DIGEST, 7, "rehearsal")
    assert (one.env, two.env) == ({}, {"A": "b=c"})


def test_the_image_of_a_plan_keeps_what_the_plan_says_of_it_and_is_not_stale() -> None:
    place = ContainerPlace(
        docker="unix:///run/docker.sock", image=OFFICIAL, image_pinned=f"rocm/sgl-dev@{DIGEST}", image_bytes=9,
        image_age_days=99, image_candidates=(Candidate(tag="t", refused="old"),), mirror="", devices=(), groups=(),
        mounts=(), absent=(), cache="", cache_free_bytes=None, nofile=None, keep=False, strict=False,
        exclusive_host=False,
    )  # fmt: skip
    fact = planned_image(IMAGES, place, config_digest="sha256:d", flavour="rocm720")
    assert (fact.pinned, fact.config_digest, fact.flavour) == (place.image_pinned, "sha256:d", "rocm720")
    assert (fact.size_bytes, fact.age_days, fact.stale) == (9, 99, False)
    assert fact.candidates == place.image_candidates


def test_a_flavour_without_a_row_is_named_with_the_row() -> None:
    (note,) = image_fact(IMAGES, OFFICIAL.replace("rocm700", "rocm10"), source="test").notes
    assert note.startswith('rocm10 has no row: add [[flavour]] id = "rocm10", rocm = "10"')
    assert image_fact(IMAGES, OFFICIAL, source="test").notes == ()
    assert image_fact(IMAGES, "mine:latest", source="test", labels={"ci.flavour": "rehearsal"}).notes == ()
