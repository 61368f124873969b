"""The registry's client against a server on the loopback address with the unusual parts of the protocol."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ci.catalog.limits import RegistryLimits
from ci.images.credentials import Credentials
from ci.images.registry import Registry, RegistryError
from ci.images.resolve import patiently
from ci.plan.container.image import parse_reference
from ci.system import clock
from support.http_server import Answer, Server, serve_http

CANARY = "canary-token-91"
LIMITS = RegistryLimits(connect_s=10, read_s=2, attempts=3)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve_http() as one:
        yield one


def client(server: Server, *, login: bool = False) -> Registry:
    credentials = Credentials(username="ci", token=CANARY, source="U and T") if login else None
    return Registry(
        server.url,
        LIMITS,
        credentials=credentials,
        monotonic_s=clock.monotonic_s,
        utc_now=lambda: datetime(2026, 5, 29, tzinfo=UTC),
    )


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CONFIG = json.dumps({"config": {"Labels": {"a": "b"}, "Env": ["GPU_ARCH=gfx942", "X=a=b"]}}).encode()
MANIFEST = json.dumps({"config": {"digest": digest(CONFIG)}, "layers": [{"size": 30}, {"size": 12}]}).encode()


def registry_of(contents: Mapping[str, bytes]) -> Callable[[str, Mapping[str, str]], Answer]:
    return lambda path, _headers: (200, {}, contents[path]) if path in contents else (404, {}, b"{}")


def test_a_list_is_read_over_all_its_pages(server: Server) -> None:
    def answer(path: str, _headers: Mapping[str, str]) -> Answer:
        last = parse_qs(urlsplit(path).query).get("last", ["0"])[0]
        link = {} if last == "2" else {"Link": f'</v2/a/b/tags/list?n=1000&last={int(last) + 1}>; rel="next"'}
        return 200, link, json.dumps({"tags": [f"t{last}"]}).encode()

    server.answer = answer
    with client(server) as registry:
        assert registry.tags("a/b") == ["t0", "t1", "t2"]
        assert registry.requests == 3


def test_a_list_that_never_ends_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.images.registry.PAGES_MAX", 5)
    server.answer = lambda path, _headers: (200, {"Link": f"<{path}>; rel=next"}, b'{"tags": ["t"]}')
    with client(server) as registry, pytest.raises(RegistryError, match="does not end after 5 tags"):
        registry.tags("a/b")


def test_a_repository_without_tags_has_none(server: Server) -> None:
    server.answer = lambda _path, _headers: (200, {}, b'{"name": "a/b", "tags": null}')
    with client(server) as registry:
        assert registry.tags("a/b") == []


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False)])
def test_whether_a_tag_is_there(server: Server, status: int, *, there: bool) -> None:
    server.answer = lambda _path, _headers: (status, {}, b"")
    with client(server) as registry:
        assert registry.exists("a/b", "t") is there
    assert server.asked[0][0] == "/v2/a/b/manifests/t"


def test_a_registry_that_does_not_say_whether_a_tag_is_there(server: Server) -> None:
    server.answer = lambda _path, _headers: (403, {}, b"")
    with client(server) as registry, pytest.raises(RegistryError) as caught:
        registry.exists("a/b", "t")
    assert caught.value.status == 403


def test_an_index_leads_to_the_linux_amd64_manifest(server: Server) -> None:
    index = json.dumps(
        {
            "manifests": [
                {"digest": "sha256:0", "platform": {"os": "linux", "architecture": "arm64"}},
                {"digest": digest(MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}},
                {"digest": "sha256:1", "platform": {"os": "unknown", "architecture": "unknown"}},
            ]
        }
    ).encode()
    server.answer = registry_of(
        {
            "/v2/a/b/manifests/t": index,
            f"/v2/a/b/manifests/{digest(MANIFEST)}": MANIFEST,
            f"/v2/a/b/blobs/{digest(CONFIG)}": CONFIG,
        }
    )
    with client(server) as registry:
        found = registry.resolve(parse_reference("127.0.0.1/a/b:t"))
    assert (found.manifest_digest, found.config_digest) == (digest(MANIFEST), digest(CONFIG))
    assert found.size_bytes == 42
    assert (found.labels, found.env) == ({"a": "b"}, {"GPU_ARCH": "gfx942", "X": "a=b"})


def test_an_image_for_other_machines_is_refused_with_what_it_is_for(server: Server) -> None:
    index = {"manifests": [{"digest": "sha256:0", "platform": {"os": "linux", "architecture": "arm64"}}]}
    server.answer = registry_of({"/v2/a/b/manifests/t": json.dumps(index).encode()})
    with client(server) as registry, pytest.raises(RegistryError, match="only for linux/arm64"):
        registry.resolve(parse_reference("127.0.0.1/a/b:t"))


@pytest.mark.parametrize("bad", ["manifest", "config"])
def test_content_with_another_digest_is_refused(server: Server, bad: str) -> None:
    server.answer = registry_of(
        {
            f"/v2/a/b/manifests/{digest(MANIFEST)}": MANIFEST + (b" " if bad == "manifest" else b""),
            f"/v2/a/b/blobs/{digest(CONFIG)}": CONFIG + (b" " if bad == "config" else b""),
        }
    )
    with client(server) as registry, pytest.raises(RegistryError, match="should have digest"):
        registry.resolve(parse_reference(f"127.0.0.1/a/b@{digest(MANIFEST)}"))


def test_an_endless_answer_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ci.images.registry.BODY_BYTES_MAX", 100_000)
    server.answer = lambda _path, _headers: (200, {}, b" " * 200_000)
    with client(server) as registry, pytest.raises(RegistryError, match="more than 100000 bytes"):
        registry.tags("a/b")


def bearer(server: Server, *, takes_login: bool) -> Callable[[str, Mapping[str, str]], Answer]:
    """A registry with a token server: the token says whether it was given for a login."""
    basic = "Basic " + b64encode(f"ci:{CANARY}".encode()).decode()

    def answer(path: str, headers: Mapping[str, str]) -> Answer:
        printed = headers.get("Authorization", "")
        if path.startswith("/token"):
            asked = parse_qs(urlsplit(path).query)
            assert asked["service"] == ["s"]
            assert asked["scope"] == ["repository:a/b:pull"]
            if printed and not takes_login:
                return 401, {}, b"{}"
            return 200, {}, json.dumps({"token": "named" if printed == basic else "anonymous"}).encode()
        if printed == f"Bearer {'named' if takes_login else 'anonymous'}":
            return 200, {}, b'{"tags": ["t"]}'
        challenge = f'Bearer realm="{server.url}/token",service="s",scope="repository:a/b:pull"'
        return 401, {"WWW-Authenticate": challenge}, b""

    return answer


def test_a_bearer_token_is_fetched_once_with_our_login(server: Server) -> None:
    server.answer = bearer(server, takes_login=True)
    with client(server, login=True) as registry:
        assert registry.tags("a/b") == registry.tags("a/b") == ["t"]
        assert registry.notes == []
    assert len([path for path, _ in server.asked if path.startswith("/token")]) == 1


def test_a_refused_login_is_noted_without_its_token_and_goes_on_anonymously(server: Server) -> None:
    server.answer = bearer(server, takes_login=False)
    with client(server, login=True) as registry:
        assert registry.tags("a/b") == ["t"]
        assert registry.notes == ["the login with U and T was refused (HTTP 401): continuing anonymously"]
        assert CANARY not in repr(registry.notes)


def test_our_login_is_not_sent_in_the_clear_to_another_machine(server: Server) -> None:
    server.answer = lambda _path, _headers: (
        401,
        {"WWW-Authenticate": 'Bearer realm="http://registry.invalid/token"'},
        b"",
    )
    sent: list[Any] = []
    with client(server, login=True) as registry:
        whole = registry._once

        def once(method: str, url: str, headers: Mapping[str, str]) -> Any:
            if "invalid" in url:
                sent.append(headers)
                raise RegistryError("not asked in this test")
            return whole(method, url, headers)

        registry._once = once  # type: ignore[method-assign]  # nothing outside is reached
        with pytest.raises(RegistryError, match="not asked"):
            registry.tags("a/b")
    assert sent == [{}]


def test_a_realm_keeps_its_own_parameters_beside_ours(server: Server) -> None:
    answer = bearer(server, takes_login=False)

    def at_a_realm(path: str, headers: Mapping[str, str]) -> Answer:
        code, said, body = answer(path, headers)
        said = {key: value.replace("/token", "/token?a=1&scope=mine&a=2") for key, value in said.items()}
        return code, said, body

    server.answer = at_a_realm
    with client(server) as registry:
        assert registry.tags("a/b") == ["t"]
    (path,) = {path for path, _ in server.asked if path.startswith("/token")}
    asked = parse_qs(urlsplit(path).query)
    assert asked == {"a": ["1", "2"], "scope": ["repository:a/b:pull"], "service": ["s"]}


@pytest.mark.parametrize(
    ("status", "headers", "tries", "waits"),
    [
        (503, {}, 3, [1, 2]),
        (429, {"Retry-After": "7"}, 3, [7, 7]),
        (429, {"Retry-After": "7200"}, 1, []),
        (404, {}, 1, []),
        (403, {}, 1, []),
    ],
)
def test_requests_are_repeated_where_it_can_help(
    server: Server, status: int, headers: dict[str, str], tries: int, waits: list[float]
) -> None:
    server.answer = lambda _path, _headers: (status, headers, b"{}")
    waited: list[float] = []
    notes: list[str] = []
    with client(server) as registry, pytest.raises(RegistryError, match=f"HTTP {status}"):
        patiently(lambda: registry.tags("a/b"), LIMITS, sleep_s=waited.append, note=notes.append)
    assert (len(server.asked), waited) == (tries, waits)
    assert len(notes) == len(waits)
