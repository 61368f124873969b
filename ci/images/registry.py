"""The one door to registries over HTTP: tag lists, manifests and configs, with bearer tokens.

Pulling is the engine's business. What is asked here is small: which tags there are, what a tag means, how long to wait.
"""

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from ci.catalog.limits import RegistryLimits
from ci.images.credentials import Credentials
from ci.plan.container.image import Reference
from ci.plan.container.image_fact import env_of

__all__ = [
    "BODY_BYTES_MAX",
    "PAGES_MAX",
    "Answer",
    "Challenge",
    "ImageConfig",
    "Registry",
    "RegistryError",
    "base_url",
    "is_loopback",
    "next_page",
    "parse_challenge",
    "retry_after_s",
]

_INDEXES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
# without all of them a registry answers for another form of the manifest, which has another digest
_ACCEPT = ", ".join((*_MANIFESTS, *_INDEXES))
_PLATFORM = ("linux", "amd64")
_PARAMETER = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"|(\w+)=([^\s,"]+)')
_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)
_CHUNK_BYTES = 1 << 16
# Docker Hub answers with 1,000 at most
_PAGE_TAGS = 1000
# a list whose next page always leads on must end
PAGES_MAX = 200
# 10,000 tags take 0.5 MB; a far larger answer is invalid and must not fill the memory
BODY_BYTES_MAX = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A WWW-Authenticate header: `scheme` in lower case, parameters as they were."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A registry's answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a reference means in its registry: the linux/amd64 manifest, its config and what a pull transfers."""

    manifest_digest: str
    config_digest: str
    size_bytes: int
    labels: Mapping[str, str]
    env: Mapping[str, str]


class RegistryError(Exception):
    """A registry refused, could not be reached or answered nonsense.

    `status` is None when there was no answer; `retry_after_s` is what it asked to wait, None when it did not.
    """

    def __init__(
        self, text: str, *, status: int | None = None, retry_after_s: float | None = None, retry: bool = False
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.retry_after_s = retry_after_s
        self.retry = retry


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def base_url(registry: str, *, public: str, api: str, plain: bool = False) -> str:
    """Where a registry's API is: `api` for the public one; plain http for this machine, as the engine does it."""
    if registry == public:
        return api
    return f"{'http' if plain or is_loopback(registry) else 'https'}://{registry}"


def parse_challenge(header: str) -> Challenge:
    """Read `Bearer realm="...",service="..."`; anything else is left out."""
    scheme, _, rest = header.strip().partition(" ")
    parameters = {}
    for quoted, text, name, plain in _PARAMETER.findall(rest):
        parameters[(quoted or name).lower()] = re.sub(r"\\(.)", r"\1", text) if quoted else plain
    return Challenge(scheme=scheme.lower(), parameters=parameters)


def next_page(url: str, link: str) -> str:
    """The address of the list's next page, empty at its end.

    Raises:
        RegistryError: it leads to another server.
    """
    match = _LINK.search(link)
    if match is None:
        return ""
    following: str = urljoin(url, match[1])
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise RegistryError(f"{url} names a next page on another server: {following}")
    return following


def retry_after_s(value: str, now: datetime) -> float | None:
    """The seconds of a Retry-After header, which holds a number or a date; None where it holds neither."""
    text = value.strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


class Registry:
    """One registry. Use as a context manager. Requests are not repeated here: `ci.images.resolve` does that."""

    def __init__(
        self,
        url: str,
        limits: RegistryLimits,
        *,
        credentials: Credentials | None,
        monotonic_s: Callable[[], float],
        utc_now: Callable[[], datetime],
    ) -> None:
        """`url` is the API's address without `/v2`."""
        self._url = url.rstrip("/")
        # an answer that drips byte by byte is never silent
        self._total_s = 2 * limits.read_s
        self._credentials = credentials
        self._monotonic_s = monotonic_s
        self._utc_now = utc_now
        self._authorization: dict[str, str] = {}
        import httpx  # noqa: PLC0415  # a tenth of the time of a plan that asks no registry

        timeout = httpx.Timeout(limits.read_s, connect=limits.connect_s)
        self._client = httpx.Client(timeout=timeout, follow_redirects=True)
        self.requests = 0
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def tags(self, path: str) -> list[str]:
        """Every tag of a repository: one list, in as many pages as the registry cuts it into.

        Raises:
            RegistryError: the list is incomplete.
        """
        url = f"{self._url}/v2/{path}/tags/list?n={_PAGE_TAGS}"
        tags: list[str] = []
        for _ in range(PAGES_MAX):
            answer = self._get(url, path)
            data = _json(answer)
            listed = data.get("tags") if isinstance(data, dict) else None
            # a repository without tags has null
            if not isinstance(data, dict) or not isinstance(listed or [], list):
                raise RegistryError(f"{url} did not answer with a tag list", retry=True)
            tags += [tag for tag in listed or [] if isinstance(tag, str)]
            url = next_page(answer.url, answer.headers.get("link", ""))
            if not url:
                return tags
        raise RegistryError(f"the tag list of {path} does not end after {len(tags)} tags")

    def resolve(self, reference: Reference) -> ImageConfig:
        """What a reference means, for linux/amd64.

        Raises:
            RegistryError: it does not exist, or not for this platform, or its digests are wrong.
        """
        digest, manifest = self._manifest(reference.path, reference.digest or reference.tag)
        if "manifests" in manifest:
            digest, manifest = self._manifest(reference.path, _platform_digest(manifest, reference.text))
        config, layers = manifest.get("config"), manifest.get("layers")
        if not isinstance(config, dict) or not isinstance(layers, list):
            raise RegistryError(
                f"{reference.text} has a manifest without a config: it is too old or not an image"
            )
        config_digest = str(config.get("digest", ""))
        answer = self._get(f"{self._url}/v2/{reference.path}/blobs/{config_digest}", reference.path)
        _require_digest(answer, config_digest)
        content = _json(answer)
        inner = content.get("config") if isinstance(content, dict) else None
        inner = inner if isinstance(inner, dict) else {}
        return ImageConfig(
            manifest_digest=digest,
            config_digest=config_digest,
            size_bytes=sum(int(layer.get("size", 0)) for layer in layers if isinstance(layer, dict)),
            labels={str(key): str(value) for key, value in (inner.get("Labels") or {}).items()},
            env=env_of(inner.get("Env")),
        )

    def exists(self, path: str, tag: str) -> bool:
        """Whether a tag or digest is there; also the way to learn what a registry asks to wait.

        Raises:
            RegistryError: the registry does not say.
        """
        try:
            self._send("HEAD", f"{self._url}/v2/{path}/manifests/{tag}", path, {"Accept": _ACCEPT})
        except RegistryError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def _manifest(self, path: str, tag: str) -> tuple[str, dict[str, Any]]:
        """A manifest's own digest, and the manifest."""
        url = f"{self._url}/v2/{path}/manifests/{tag}"
        answer = self._get(url, path, {"Accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        _require_digest(answer, tag if tag.startswith("sha256:") else digest)
        data = _json(answer)
        if not isinstance(data, dict):
            raise RegistryError(f"{url} did not answer with a manifest", retry=True)
        return digest, data

    def _get(self, url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._send("GET", url, path, headers or {})

    def _send(self, method: str, url: str, path: str, headers: Mapping[str, str]) -> Answer:
        """One request; a 401 is answered with a login, once."""
        answer = self._once(method, url, {**headers, **self._authorization})
        if answer.status == HTTPStatus.UNAUTHORIZED and self._authorize(answer, path):
            answer = self._once(method, url, {**headers, **self._authorization})
        if answer.status < HTTPStatus.BAD_REQUEST:
            return answer
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), self._utc_now())
        raise RegistryError(
            f"{method} {url}: HTTP {answer.status}{_said(answer)}",
            status=answer.status,
            retry_after_s=wait_s,
            retry=answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500,
        )

    def _authorize(self, answer: Answer, path: str) -> bool:
        """Take what the challenge asks for; whether it is worth another request."""
        challenge = parse_challenge(answer.headers.get("www-authenticate", ""))
        if challenge.scheme == "basic" and self._credentials is not None and not self._authorization:
            self._authorization = _basic(self._credentials)
            return True
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            self._authorization = {"Authorization": f"Bearer {self._bearer(challenge, path)}"}
            return True
        return False

    def _bearer(self, challenge: Challenge, path: str) -> str:
        """A token of the realm: with our credentials, and when they are refused, without."""
        realm = challenge.parameters["realm"]
        asked = {"scope": challenge.parameters.get("scope", f"repository:{path}:pull")}
        if "service" in challenge.parameters:
            asked["service"] = challenge.parameters["service"]
        login: dict[str, str] = {}
        if self._credentials is not None and (
            urlsplit(realm).scheme == "https" or is_loopback(urlsplit(realm).netloc)
        ):
            login = _basic(self._credentials)
        url = _asking(realm, asked)
        answer = self._once("GET", url, login)
        if login and answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            source = self._credentials.source if self._credentials is not None else ""
            self._note(f"the login with {source} was refused (HTTP {answer.status}): continuing anonymously")
            self._credentials = None
            answer = self._once("GET", url, {})
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RegistryError(
                f"no token from {realm}: HTTP {answer.status}{_said(answer)}",
                status=answer.status,
                retry_after_s=retry_after_s(answer.headers.get("retry-after", ""), self._utc_now()),
                retry=answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500,
            )
        data = _json(answer)
        token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
        if not isinstance(token, str) or not token.isprintable():
            raise RegistryError(f"{realm} answered without a token")
        return token

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _once(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """One request, bounded in time and size.

        Raises:
            RegistryError: there was no whole answer.
        """
        import httpx  # noqa: PLC0415  # as above

        self.requests += 1
        deadline = self._monotonic_s() + self._total_s
        body = bytearray()
        try:
            with self._client.stream(method, url, headers=dict(headers)) as response:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > BODY_BYTES_MAX:
                        raise RegistryError(f"{url} answers with more than {BODY_BYTES_MAX} bytes")
                    if self._monotonic_s() > deadline:
                        raise RegistryError(
                            f"{url} has not finished answering after {self._total_s:g} s", retry=True
                        )
                return Answer(
                    status=response.status_code,
                    headers={key.lower(): value for key, value in response.headers.items()},
                    body=bytes(body),
                    url=str(response.url),
                )
        except httpx.TimeoutException as error:
            raise RegistryError(f"{url} does not answer ({type(error).__name__})", retry=True) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(f"{url} cannot be reached: {error}", retry=True) from error


def _basic(credentials: Credentials) -> dict[str, str]:
    """The header of a login by name and password."""
    pair = f"{credentials.username}:{credentials.token}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _asking(realm: str, asked: Mapping[str, str]) -> str:
    """The realm's address with these parameters, in the place of its own of those names."""
    parts = urlsplit(realm)
    own = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in asked]
    return parts._replace(query=urlencode([*own, *asked.items()])).geturl()


def _platform_digest(index: Mapping[str, Any], what: str) -> str:
    """The digest of an index's linux/amd64 manifest."""
    offered = []
    for row in index["manifests"] if isinstance(index["manifests"], list) else ():
        platform = row.get("platform") or {} if isinstance(row, dict) else {}
        offered.append(f"{platform.get('os')}/{platform.get('architecture')}")
        if (platform.get("os"), platform.get("architecture")) == _PLATFORM:
            return str(row.get("digest", ""))
    raise RegistryError(
        f"{what} is not made for {'/'.join(_PLATFORM)}, only for {', '.join(offered) or 'nothing'}"
    )


def _require_digest(answer: Answer, digest: str) -> None:
    found = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
    if found != digest:
        raise RegistryError(f"{answer.url} should have digest {digest}, its content has {found}", retry=True)


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise RegistryError(f"{answer.url} did not answer with JSON: {error}", retry=True) from error


def _said(answer: Answer) -> str:
    """What the registry gives as its reason, one line."""
    try:
        data = json.loads(answer.body)
        first = data["errors"][0]
        return f" ({first.get('code', '')}: {first.get('message', '')})"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
