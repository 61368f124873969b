"""Which image is used: tags, references, overrides, mirrors, and a registry's answers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from ci.catalog.images import mirror_for
from ci.errors import InfrastructureError, UsageError
from ci.images.credentials import credentials_for
from ci.images.progress import Progress
from ci.images.pull import fault_of
from ci.images.registry import RegistryError, base_url, next_page, parse_challenge, retry_after_s
from ci.images.resolve import resolve_image
from ci.images.store import choose_old
from ci.plan.container.image import Candidate, ImageAsk, choose, image_ask, parse_reference
from ci.plan.container.image_fact import ImageFact, require_image
from support.catalog_files import CatalogCopy, catalog, repository_catalog

TODAY = date(2026, 5, 29)
IMAGES = catalog().images
ASK = ImageAsk(family="mi30x", flavour="rocm700", flavour_source="test", today=TODAY)


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


# --- choosing -----------------------------------------------------------------------------------------------


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


# --- asking -------------------------------------------------------------------------------------------------


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
    ask = image_ask(IMAGES, family=family, today=TODAY, environ=environ, image=given_)
    assert (ask.override, ask.override_source) == (override, source)


def test_the_flavour_comes_from_the_option_its_variable_the_suite_or_the_catalog() -> None:
    environ: dict[str, str] = {}

    def flavour(**said: str) -> tuple[str, str]:
        ask = image_ask(IMAGES, family="mi30x", today=TODAY, environ=environ, **said)
        return ask.flavour, ask.flavour_source.partition(":")[0]

    assert flavour() == ("rocm700", "default")
    assert flavour(suite_rocm="720") == ("rocm720", "the suite's row")
    assert flavour(suite_rocm="720", rocm="724") == ("rocm724", "--rocm")
    environ = {"AMD_CI_ROCM": "720"}
    assert flavour(suite_rocm="724") == ("rocm720", "AMD_CI_ROCM")
    assert flavour(rocm="724") == ("rocm724", "--rocm")
    environ = {"AMD_CI_ROCM": ""}
    assert flavour(suite_rocm="724") == ("rocm724", "the suite's row")
    with pytest.raises(UsageError, match="ROCm 730"):
        flavour(rocm="730")


def test_a_machine_without_a_gpu_needs_an_image_to_be_named() -> None:
    with pytest.raises(UsageError, match="without an AMD GPU"):
        image_ask(IMAGES, family="", today=TODAY, environ={})
    assert image_ask(IMAGES, family="", today=TODAY, environ={}, image="x").override == "x"


@pytest.mark.parametrize("registry", ["myhost", "http://10.0.0.1:5000", "a b"])
def test_what_replaces_the_registry_has_to_be_one(registry: str) -> None:
    ask = image_ask(IMAGES, family="mi30x", today=TODAY, environ={"AMD_CI_REGISTRY": registry})
    with pytest.raises(UsageError):
        resolve_image(catalog(), ask, {}, engine_host="unix:///nowhere")


# --- references ---------------------------------------------------------------------------------------------

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


# --- judging ------------------------------------------------------------------------------------------------


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


# --- mirrors and logins -------------------------------------------------------------------------------------


def test_a_mirror_is_of_a_pool_unless_the_variable_says_otherwise() -> None:
    address, source = mirror_for(IMAGES, "north", {})
    assert address == "192.0.2.2:5000"
    assert "new" in source
    assert mirror_for(IMAGES, "", {})[0] == ""
    assert mirror_for(IMAGES, "", {"LOCAL_DOCKER_REGISTRY": "h:1"}) == ("h:1", "LOCAL_DOCKER_REGISTRY")
    assert mirror_for(IMAGES, "north", {"LOCAL_DOCKER_REGISTRY": ""})[0] == ""


def test_credentials_go_only_where_their_row_says() -> None:
    hub = {"HUB_USERNAME": "u", "HUB_TOKEN": "canary"}
    own = {"AMD_CI_IMAGE_USERNAME": "v", "AMD_CI_IMAGE_TOKEN": "canary2"}
    found, _ = credentials_for(IMAGES, "docker.io", hub | own)
    assert found is not None
    assert (found.username, "canary" in repr(found)) == ("u", False)
    assert credentials_for(IMAGES, "ghcr.io", hub) == (None, "")
    other, _ = credentials_for(IMAGES, "ghcr.io", hub | own)
    assert other is not None
    assert other.username == "v"
    nobody, note = credentials_for(IMAGES, "docker.io", {"HUB_TOKEN": "canary"})
    assert nobody is None
    assert note == "HUB_TOKEN is set and HUB_USERNAME is not: no login"


# --- what registries and engines say ------------------------------------------------------------------------


def test_a_challenge_is_read_with_quotes_commas_and_any_case() -> None:
    challenge = parse_challenge('BEARER Realm="https://a/token",service="x, y",scope=pull, odd="a\\"b"')
    assert challenge.scheme == "bearer"
    assert challenge.parameters == {
        "realm": "https://a/token",
        "service": "x, y",
        "scope": "pull",
        "odd": 'a"b',
    }


@given(st.text(max_size=80))
def test_no_header_breaks_the_readers(text: str) -> None:
    parse_challenge(text)
    assert (retry_after_s(text, datetime(2026, 5, 29, tzinfo=UTC)) or 0) >= 0


def test_pages_follow_the_link_and_never_to_another_server() -> None:
    url = "https://r/v2/a/tags/list?n=2"
    assert next_page(url, '</v2/a/tags/list?n=2&last=b>; rel="next"') == "https://r/v2/a/tags/list?n=2&last=b"
    assert (
        next_page(url, '</p>; rel="prev", <?n=2&last=c>; rel=next') == "https://r/v2/a/tags/list?n=2&last=c"
    )
    assert next_page(url, "") == ""
    for elsewhere in ("<https://evil/v2/>; rel=next", "<http://r/v2/>; rel=next", "<//evil/x>; rel=next"):
        with pytest.raises(RegistryError, match="another server"):
            next_page(url, elsewhere)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 5, 29, 12, 0, tzinfo=UTC)
    assert retry_after_s("7", now) == 7
    assert retry_after_s("Fri, 29 May 2026 12:01:30 GMT", now) == 90
    assert retry_after_s("Fri, 29 May 2026 11:00:00 GMT", now) == 0
    assert retry_after_s("soon", now) is None


def test_plain_http_is_for_this_machine_alone() -> None:
    def url(registry: str, **more: bool) -> str:
        return base_url(registry, public=IMAGES.registry, api=IMAGES.api, **more)

    assert url("docker.io") == "https://registry.invalid"
    assert url("127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert url("localhost:5000") == "http://localhost:5000"
    assert url("10.0.0.1:5000") == "https://10.0.0.1:5000"
    assert url("127.0.0.1.evil.example") == "https://127.0.0.1.evil.example"
    assert url("10.0.0.1:5000", plain=True) == "http://10.0.0.1:5000"


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("toomanyrequests: You have reached your pull rate limit", True),
        ("received unexpected HTTP status: 503 Service Unavailable", True),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", True),
        ("dial tcp: lookup r: no such host", True),
        ("net/http: TLS handshake timeout", True),
        ("unexpected EOF", True),
        ("filesystem layer verification failed for digest sha256:1", True),
        ("manifest for x:1 not found: manifest unknown: manifest unknown", False),
        ("repository x not found: name unknown: y", False),
        ("no basic auth credentials", False),
        ("unauthorized: authentication required", False),
        ("pull access denied for x, repository does not exist or may require 'docker login': denied: no", False),
        ("error parsing HTTP 403 response body: invalid character", False),
        ("write /var/lib/docker/x: no space left on device", False),
    ],
)  # fmt: skip
@pytest.mark.live_rows
def test_our_rows_know_which_messages_of_an_engine_are_worth_another_try(text: str, *, retry: bool) -> None:
    found = fault_of(repository_catalog().images.faults, text)
    assert found is not None
    assert found.retry is retry


# --- progress -----------------------------------------------------------------------------------------------


def downloading(layer: str, current: int, total: int) -> dict[str, object]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_progress_adds_layers_up_and_knows_a_standstill() -> None:
    progress = Progress(300)
    assert progress.feed({"id": "a", "status": "Pulling fs layer"}, 0)
    assert progress.feed(downloading("a", 50, 100), 1)
    assert not progress.feed(downloading("a", 50, 100), 2)
    assert not progress.feed({"id": "a", "status": "Retrying in 5 seconds"}, 3)
    assert progress.feed(downloading("b", 100, 200), 5)
    assert (progress.done_bytes, progress.total_bytes) == (150, 300)
    assert progress.rate_bytes_s == pytest.approx(150 / 5)
    assert progress.feed({"id": "a", "status": "Download complete"}, 6)
    assert progress.done_bytes == 200


def test_a_total_is_not_claimed_while_layers_wait_and_others_are_there_already() -> None:
    progress = Progress(300)
    progress.feed({"id": "a", "status": "Already exists"}, 0)
    progress.feed({"id": "b", "status": "Waiting"}, 0)
    assert progress.total_bytes is None
    progress.feed(downloading("b", 1, 90), 1)
    assert progress.total_bytes == 90


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=40))
def test_progress_never_exceeds_its_total(steps: list[tuple[str, int]]) -> None:
    progress = Progress(0)
    for number, (layer, current) in enumerate(steps):
        progress.feed(downloading(layer, current, 100), number)
        total = progress.total_bytes
        assert total is not None
        assert 0 <= progress.done_bytes <= total
        assert (progress.rate_bytes_s or 0) >= 0


# --- pruning ------------------------------------------------------------------------------------------------


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


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("(?P<date>", "(?P<day>", "has no group date"),
        ("default = true\n", "", "0 rows are the default"),
        ('rocm = "720"', 'rocm = "7.2"', "rocm: invalid value '7.2'"),
        ('gpu_arch = "gfx950-rocm724"', 'gpu_arch = "gfx950-rocm724x"', "gpu_arch: invalid value"),
        ('families = ["mi35x"]', 'families = ["mi36x"]', "unknown hardware family 'mi36x'"),
        (
            'since = "2026-01-10"',
            'in_force = true\nsince = "2026-01-10"',
            "2 rows of pool north are in force",
        ),
        ('scope = "public"', 'scope = "all"', "scope: unknown value 'all'"),
        ("retry = false\n", "", "retry: is missing"),
        ("look_back_days = 7", "look_back_days = 0", "must be at least 1"),
        ('api = "https://', 'api = "http://', "api: invalid value"),
        ('address = "192.0.2.1:5000"', 'address = "http://192.0.2.1:5000"', "address: invalid value"),
    ],
)
def test_bad_rows_are_found(catalog_copy: CatalogCopy, old: str, new: str, found: str) -> None:
    catalog_copy.replace("catalog/images.toml", old, new)
    assert any(found in problem for problem in catalog_copy.problems())
