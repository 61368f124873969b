"""Headers of registries: challenges, links, waits and addresses."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.images.registry import RegistryError, base_url, next_page, parse_challenge, retry_after_s
from support.catalog_files import catalog

IMAGES = catalog().images


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
