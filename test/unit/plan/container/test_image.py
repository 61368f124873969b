"""Which image is meant: tags, overrides, references, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from ci.errors import InfrastructureError, UsageError
from ci.plan.container.image import Candidate, ImageRequest, choose, image_request, parse_reference
from ci.plan.container.image_fact import ImageFact, require_image
from support.catalog_files import catalog

TODAY = date(2026, 5, 29)
IMAGES = catalog().images
ASK = ImageRequest(family="mi30x", flavour="rocm700", flavour_source="test", today=TODAY)


def tag(
    version: str = "v0.5.12", flavour: str = "rocm700", family: str = "mi30x", day: str = "20260528"
) -> str:
    return f"{version}-{flavour}-{family}-{day}"


def fact(**changes: object) -> ImageFact:
    whole = ImageFact(
        reference=f"org/engine:{tag()}",
        manifest_digest="sha256:" + "a" * 64,
        config_digest="sha256:" + "b" * 64,
        flavour="rocm700",
        labels={},
        env={},
        size_bytes=1,
        age_days=1,
        stale_after_days=3,
        candidates=(),
        source="test",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # the keywords are ImageFact's own


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ([tag(day="20260527"), tag(day="20260528")], tag(day="20260528")),
        ([tag("v0.9.0", day="20260527"), tag("v0.5.0", day="20260528")], tag("v0.5.0", day="20260528")),
        ([tag("v0.5.12rc1"), tag("v0.5.12"), tag("v0.5.12.post1")], tag("v0.5.12.post1")),
        ([tag("v0.5.12rc1"), tag("v0.5.11.post2")], tag("v0.5.12rc1")),
        ([tag("v0.5.9"), tag("v0.5.10")], tag("v0.5.10")),
        ([tag(day="20260529"), tag(day="20260530")], tag(day="20260529")),
        ([tag(day="20260523")], tag(day="20260523")),
        ([tag(day="20260522")], ""),
        ([tag(family="mi35x"), tag(flavour="rocm720")], ""),
        ([tag() + "-preview", "miles-" + tag(), "rocm720-mi30x-abc1234-20260528-DSv4", "latest"], ""),
        ([tag(day="20260231"), tag(day="00000000")], ""),
        ([], ""),
    ],
)
def test_the_newest_day_wins_then_the_highest_version(tags: list[str], taken: str) -> None:
    for order in (tags, tags[::-1]):
        assert choose(order, IMAGES, ASK).tag == taken


def test_every_refused_tag_has_its_reason_and_the_others_are_counted() -> None:
    tags = [
        tag(),
        tag("v0.5.11"),
        tag(day="20260527"),
        tag(day="20260101"),
        tag(day="20260601"),
        tag(day="20261301"),
        *(tag(family="mi35x", day=f"202605{day:02}") for day in range(1, 21)),
        "latest",
    ]
    reasons = {row.tag: (row.refused, row.count) for row in choose(tags, IMAGES, ASK).candidates}
    assert reasons[tag()] == ("", 1)
    assert reasons[tag("v0.5.11")] == ("of the same day, and 0.5.11 is not above 0.5.12", 1)
    assert reasons[tag(day="20260527")] == (f"older than {tag()}", 1)
    assert reasons[tag(day="20260101")] == ("148 days old, the look-back is 7 days", 1)
    assert reasons[tag(day="20260601")] == ("its day, 2026-06-01, is after 2026-05-29", 1)
    assert reasons[tag(day="20261301")] == ("20261301 is not a date", 1)
    assert reasons[tag(family="mi35x", day="20260520")] == ("made for rocm700 on mi35x", 20)
    assert reasons["latest"] == ("not an official version tag", 1)


def test_flavours_of_any_form_are_official_and_builds_of_other_kinds_are_named() -> None:
    other = (tag(flavour="rocm7.15"), tag(flavour="rocm10"), tag() + "-preview", "test-" + tag(), "latest")
    reasons = {row.tag: row.refused for row in choose([tag(), *other], IMAGES, ASK).candidates}
    for one, flavour in zip(other, ("rocm7.15", "rocm10"), strict=False):
        assert reasons[one].startswith(f'of {flavour}, which has no row: add [[flavour]] id = "{flavour}"')
    assert [reasons[one] for one in other[2:]] == [
        "a preview build",
        "a test build",
        "not an official version tag",
    ]
    rows = {**IMAGES.flavours, "rocm7.15": replace(IMAGES.flavours["rocm720"], id="rocm7.15", rocm="7.15")}
    dotted = replace(IMAGES, flavours=rows)
    assert choose(other, dotted, replace(ASK, flavour="rocm7.15")).tag == other[0]
    ask = image_request(dotted, family="mi30x", today=TODAY, environ={}, rocm="7.15")
    assert ask.flavour == "rocm7.15"


versions = st.builds(
    lambda numbers, rc, post: f"v{'.'.join(map(str, numbers))}{rc}{post}",
    st.lists(st.integers(0, 30), min_size=2, max_size=3),
    st.sampled_from(["", "rc1", "rc12"]),
    st.sampled_from(["", ".post1", ".post2"]),
)
days = st.integers(-3, 12).map(lambda back: (TODAY - timedelta(days=back)).strftime("%Y%m%d"))
tags_of_all_kinds = st.one_of(
    st.builds(
        tag, versions, st.sampled_from(["rocm700", "rocm720"]), st.sampled_from(["mi30x", "mi35x"]), days
    ),
    st.text(max_size=40),
)


@given(st.lists(tags_of_all_kinds, max_size=30))
def test_the_choice_is_the_maximum_of_what_fits_and_no_tag_is_lost(tags: list[str]) -> None:
    choice = choose(tags, IMAGES, ASK)
    assert sum(row.count for row in choice.candidates) == len(set(tags))
    assert [row.tag for row in choice.candidates if not row.refused] == ([choice.tag] if choice.tag else [])
    prefix = "-rocm700-mi30x-"
    fitting = []
    for one in tags:
        version, cut, day = one.partition(prefix)
        if cut and version.startswith("v") and len(day) == 8:
            age = (TODAY - datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()).days
            if 0 <= age < 7:
                fitting.append((day, Version(version)))
    if fitting:
        version, _, day = choice.tag.partition(prefix)
        assert (day, Version(version)) == max(fitting)
    else:
        assert choice.tag == ""


def test_ten_thousand_tags_leave_a_plan_that_can_be_read() -> None:
    tags = [
        tag(f"v0.{n % 9}.{n % 40}", day=f"2026{n % 12 + 1:02}{n % 28 + 1:02}", family=f"mi{n % 90}x")
        for n in range(10_000)
    ]
    choice = choose([*tags, tag("v9.0")], IMAGES, ASK)
    assert choice.tag == tag("v9.0")
    assert len(choice.candidates) < 500


@pytest.mark.parametrize(
    ("given_", "environ", "family", "override", "source"),
    [
        ("a:1", {"AMD_CI_IMAGE": "b:1"}, "mi30x", "a:1", "--image"),
        ("", {"AMD_CI_IMAGE": "b:1"}, "mi30x", "b:1", "AMD_CI_IMAGE"),
        ("", {"AMD_CI_IMAGE": "b:1", "AMD_CI_IMAGE_MI35X": "c:1"}, "mi35x", "c:1", "AMD_CI_IMAGE_MI35X"),
        ("", {"AMD_CI_IMAGE": "b:1", "AMD_CI_IMAGE_MI35X": "c:1"}, "mi30x", "b:1", "AMD_CI_IMAGE"),
        ("", {"AMD_CI_IMAGE_MI35X": "c:1"}, "mi30x", "", ""),
        ("", {"AMD_CI_IMAGE": ""}, "mi35x", "", ""),
    ],
)
def test_overrides_have_an_order(
    given_: str, environ: Mapping[str, str], family: str, override: str, source: str
) -> None:
    ask = image_request(IMAGES, family=family, today=TODAY, environ=environ, image=given_)
    assert (ask.override, ask.override_source) == (override, source)


def test_the_flavour_comes_from_the_option_its_variable_the_suite_or_the_catalog() -> None:
    environ: dict[str, str] = {}

    def flavour(**options: str) -> tuple[str, str]:
        ask = image_request(IMAGES, family="mi30x", today=TODAY, environ=environ, **options)
        return ask.flavour, ask.flavour_source.partition(":")[0]

    assert flavour() == ("rocm700", "default")
    assert flavour(suite_rocm="720") == ("rocm720", "the suite's row")
    assert flavour(suite_rocm="720", rocm="724") == ("rocm724", "--rocm")
    environ = {"AMD_CI_ROCM": "720"}
    assert flavour(suite_rocm="724") == ("rocm720", "AMD_CI_ROCM")
    assert flavour(rocm="724") == ("rocm724", "--rocm")
    environ = {"AMD_CI_ROCM": ""}
    assert flavour(suite_rocm="724") == ("rocm724", "the suite's row")
    assert flavour(rocm="rocm724") == ("rocm724", "--rocm")
    with pytest.raises(UsageError, match=r"ROCm 7\.15") as caught:
        flavour(rocm="7.15")
    assert '[[flavour]] id = "rocm7.15", rocm = "7.15"' in caught.value.render()
    with pytest.raises(UsageError, match="unknown flavour 'x'") as caught:
        flavour(flavour="x")
    assert "[[flavour]]" not in caught.value.render()


def test_a_machine_without_a_gpu_needs_an_image_to_be_named() -> None:
    with pytest.raises(UsageError, match="without an AMD GPU"):
        image_request(IMAGES, family="", today=TODAY, environ={})
    assert image_request(IMAGES, family="", today=TODAY, environ={}, image="x").override == "x"


DIGEST = "sha256:" + "c" * 64


@pytest.mark.parametrize(
    ("text", "parts", "written"),
    [
        ("org/engine:t", ("docker.io", "org/engine", "t", ""), "org/engine:t"),
        ("debian", ("docker.io", "library/debian", "latest", ""), "debian:latest"),
        ("docker.io/rocm/x:t", ("docker.io", "rocm/x", "t", ""), "rocm/x:t"),
        ("10.0.0.1:5000/a/b:t", ("10.0.0.1:5000", "a/b", "t", ""), "10.0.0.1:5000/a/b:t"),
        ("localhost/a", ("localhost", "a", "latest", ""), "localhost/a:latest"),
        (f"a/b@{DIGEST}", ("docker.io", "a/b", "", DIGEST), f"a/b@{DIGEST}"),
        (f"a/b:t@{DIGEST}", ("docker.io", "a/b", "t", DIGEST), f"a/b:t@{DIGEST}"),
    ],
)
def test_references_are_read_as_the_engine_reads_them(
    text: str, parts: tuple[str, str, str, str], written: str
) -> None:
    found = parse_reference(text)
    assert (found.registry, found.path, found.tag, found.digest) == parts
    assert found.text == written


def test_an_image_id_is_of_the_local_store() -> None:
    assert parse_reference(DIGEST).image_id == DIGEST


@pytest.mark.parametrize(
    "text", ["", "A/B", "a b", "a:", "a@sha256:12", "a:t:u", "-x", "a/../b", "a:$(id)", "héh"]
)
def test_an_invalid_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an image reference"):
        parse_reference(text)


@given(st.text(max_size=60))
def test_a_reference_that_is_taken_is_written_as_one_that_means_the_same(text: str) -> None:
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(found.text) == found


def test_a_stale_image_warns_and_ends_a_strict_run() -> None:
    stale = fact(age_days=4)
    require_image(stale, strict=False)
    assert "4 days old, the catalog allows 3" in stale.stale_note
    with pytest.raises(InfrastructureError, match="4 days old"):
        require_image(stale, strict=True)
    assert fact(age_days=3).stale_note == fact(age_days=None).stale_note == ""


def test_an_unresolved_image_is_refused_with_all_that_is_known() -> None:
    unresolved = fact(
        config_digest="",
        problem="the registry is down",
        candidates=(
            Candidate(tag="x", refused="too old"),
            Candidate(tag="y", refused="not official", count=900),
        ),
        local=("has x: --image sha256:1",),
    )
    with pytest.raises(InfrastructureError) as caught:
        require_image(unresolved, strict=False)
    text = caught.value.render()
    for part in (
        "exit 4",
        "the registry is down",
        "--image sha256:1",
        "x: too old",
        "900 others, e.g. y: not official",
    ):
        assert part in text


def test_an_image_is_pinned_by_its_manifest_and_an_unpublished_one_by_its_name() -> None:
    assert fact(reference="10.0.0.1:5000/a/b:t").pinned == "10.0.0.1:5000/a/b@sha256:" + "a" * 64
    assert fact(reference="10.0.0.1:5000/a/b:t", manifest_digest="").pinned == "10.0.0.1:5000/a/b:t"
