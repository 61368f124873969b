"""The one door to GitHub's REST API: jobs, their runs, logs and artifacts, read only."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ci.errors import CiError, InfrastructureError, UsageError
from ci.system.clock import sleep_s

__all__ = ["ApiBase", "GitHub", "Link", "api_base", "parse_link"]

# silence after which a request has failed
_TIMEOUT_S = 30.0
# a lost connection or a 5xx is tried again, after waits that double
_ATTEMPTS = 3
_RETRY_WAIT_S = 1.0
_RETRY_WAIT_MAX_S = 10.0
# a log is one redirect away, a renamed repository another
_REDIRECTS_MAX = 5
# the API gives 100 at most; SGLang's largest workflow has some 130 jobs, a run with more than 1,000 is read in part
_PAGE_ITEMS = 100
_PAGES_MAX = 10
# the failure and the second capsule are at a log's end
_LOG_BYTES = 1 << 28
_PUBLIC = "github.com"
_PUBLIC_API = "https://api.github.com"
_LOCAL = ("127.0.0.1", "::1", "localhost")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_FORMS = (
    "https://HOST/OWNER/REPO/actions/runs/RUN/job/JOB",
    "https://HOST/OWNER/REPO/actions/runs/RUN",
    "https://api.HOST/repos/OWNER/REPO/actions/jobs/JOB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A job or a run of a repository; `job` is 0 for a whole run, `run` 0 when only the job is known.

    `artifact` is 0 unless the address is that of one artifact of the run.
    """

    host: str
    repository: str
    run: int
    job: int
    attempt: int
    artifact: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBase:
    """Where the API is and which token goes there; `why` says where both come from. The token is never shown."""

    url: str
    token: str
    why: str

    def __repr__(self) -> str:
        return f"ApiBase(url={self.url!r}, token={'***' if self.token else ''!r}, why={self.why!r})"


def parse_link(url: str) -> Link:
    """A job's or a run's address, as a page or as the API names it, of github.com or of a server of one's own.

    Raises:
        UsageError: it is neither.
    """
    try:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
        host += f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from error
    words = [word for word in path.split("/") if word]
    if words[:2] == ["api", "v3"]:
        words = words[2:]
    if words[:1] == ["repos"]:
        words = words[1:]
    owner_repo, rest = "/".join(words[:2]), words[2:]
    rest = rest[1:] if rest[:1] == ["actions"] else rest
    numbers = {"runs": 0, "job": 0, "jobs": 0, "attempts": 0, "artifacts": 0}
    for name, value in pairwise(rest):
        if name in numbers and value.isdecimal():
            numbers[name] = int(value)
    run, job = numbers["runs"], numbers["job"] or numbers["jobs"]
    if "actions" not in words and run and not job:
        run, job = 0, run  # the older address of a job, /OWNER/REPO/runs/JOB
    if parts.scheme not in ("http", "https") or not host or len(words) < 4 or not (run or job):
        raise UsageError(
            f"{url} is not the address of a job or a run",
            cause="understood so far: "
            + (f"repository {owner_repo} on {host}" if len(words) >= 2 else "nothing"),
            then="open the job in the browser and copy its address: " + " or ".join(_FORMS),
        )
    return Link(
        host=host,
        repository=owner_repo,
        run=run,
        job=job,
        attempt=numbers["attempts"],
        artifact=numbers["artifacts"],
    )


def api_base(link: Link, environ: Mapping[str, str], given: str) -> ApiBase:
    """Which API answers for a link, and the token that may go there.

    `--api` first, then Actions' own `GITHUB_API_URL` when the link is of that server, then github.com's, then the address
    that GitHub Enterprise has. A token goes to the server that the environment names and to none that only a link names.
    """
    name = next((name for name in _TOKENS if environ.get(name)), "")
    token = environ.get(name, "")
    ours = environ.get("GITHUB_API_URL", "").rstrip("/")
    server = urlsplit(environ.get("GITHUB_SERVER_URL", "")).netloc
    host = link.host.removeprefix("api.") if link.host == f"api.{_PUBLIC}" else link.host
    if given:
        url, why, trusted = given.rstrip("/"), "--api", True
    elif ours and link.host in (server, urlsplit(ours).netloc):
        url, why, trusted = ours, "GITHUB_API_URL", True
    elif host == _PUBLIC:
        url, why, trusted = _PUBLIC_API, "the link", True
    else:
        url, why, trusted = f"https://{host}/api/v3", "the link", environ.get("GH_HOST") == host
    split = urlsplit(url)
    plain = split.scheme != "https" and split.hostname not in _LOCAL
    if token and (plain or not trusted):
        because = "it is not https" if plain else f"only the link names it; --api {url} or GH_HOST would"
        return ApiBase(url=url, token="", why=f"{why}; {name} is not sent there: {because}")
    return ApiBase(url=url, token=token, why=f"{why}, with {name}" if token else f"{why}, without a token")


class GitHub:
    """Reads jobs and logs. A failure is a CiError that says what to do; no message holds the token."""

    def __init__(
        self,
        base: ApiBase,
        say: Callable[[str], None],
        *,
        timeout_s: float = _TIMEOUT_S,
        retry_wait_s: float = _RETRY_WAIT_S,
    ) -> None:
        """`say` gets a line for each attempt that is made again, `retry_wait_s` after the first one, then doubled."""
        self._base = base
        self._retry_wait_s = retry_wait_s
        self._say = say
        # a redirect to another origin loses the Authorization header: httpx sees to it
        self._client = httpx.Client(
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=_REDIRECTS_MAX,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def job(self, link: Link) -> Mapping[str, Any]:
        """The job as the API describes it.

        Raises:
            UsageError: it does not exist, or the token has no access.
            InfrastructureError: GitHub cannot be reached or does not answer.
        """
        return self._json(f"/repos/{link.repository}/actions/jobs/{link.job}", f"job {link.job}")

    def jobs(self, link: Link) -> list[Mapping[str, Any]]:
        """Every job of the link's run, of its newest attempt unless the link names another.

        Raises:
            UsageError: it does not exist, or the token has no access.
            InfrastructureError: GitHub cannot be reached or does not answer.
        """
        attempt = f"/attempts/{link.attempt}" if link.attempt else ""
        path = f"/repos/{link.repository}/actions/runs/{link.run}{attempt}/jobs"
        return list(self._paged(path, "jobs", f"run {link.run}"))

    def artifacts(self, link: Link) -> list[Mapping[str, Any]]:
        """Every artifact that the link's run has kept; of all its attempts.

        Raises:
            UsageError: the run does not exist, or the token has no access.
            InfrastructureError: GitHub cannot be reached or does not answer.
        """
        path = f"/repos/{link.repository}/actions/runs/{link.run}/artifacts"
        return list(self._paged(path, "artifacts", f"the artifacts of run {link.run}"))

    def artifact(self, link: Link, number: int) -> bytes:
        """An artifact as a zip archive.

        Raises:
            UsageError: it has expired, or the token has no access.
            InfrastructureError: GitHub or its storage cannot be reached.
        """
        path = f"/repos/{link.repository}/actions/artifacts/{number}/zip"
        return self._get(path, f"artifact {number}").content

    def log(self, link: Link) -> bytes:
        """A job's log, at most 256 MiB of its end.

        Raises:
            UsageError: it has expired, does not exist yet, or the token has no access.
            InfrastructureError: GitHub or its storage cannot be reached.
        """
        path = f"/repos/{link.repository}/actions/jobs/{link.job}/logs"
        return self._get(path, f"the log of job {link.job}").content[-_LOG_BYTES:]

    def _paged(self, path: str, items: str, what: str) -> Iterator[Mapping[str, Any]]:
        for page in range(1, _PAGES_MAX + 1):
            answer = self._json(path, what, {"per_page": str(_PAGE_ITEMS), "page": str(page)})
            found = answer.get(items)
            if not isinstance(found, list):
                raise InfrastructureError(f"GitHub's answer about {what} has no {items}", cause=self._where())
            yield from (item for item in found if isinstance(item, dict))
            if len(found) < _PAGE_ITEMS:
                return
        self._say(f"{what} has more {items} than {page * _PAGE_ITEMS}: the others were not read")

    def _json(self, path: str, what: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        answer = self._get(path, what, query)
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise InfrastructureError(
                f"the answer about {what} is not GitHub's",
                cause=f"{self._where()}; a proxy may have answered instead",
                then="name the API's address: --api https://HOST/api/v3",
            )
        return value

    def _get(self, path: str, what: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if self._base.token:
            headers["Authorization"] = f"Bearer {self._base.token}"
        url = self._base.url + path
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type((httpx.TransportError, _BusyError)),
                stop=stop_after_attempt(_ATTEMPTS),
                wait=wait_exponential(
                    multiplier=self._retry_wait_s,
                    max=_RETRY_WAIT_MAX_S,
                ),
                sleep=sleep_s,
                reraise=True,
            ):
                number = attempt.retry_state.attempt_number
                if number > 1:
                    self._say(f"GitHub did not answer, attempt {number} of {_ATTEMPTS}")
                with attempt:
                    answer = self._once(url, headers, query)
        except _BusyError as error:
            raise InfrastructureError(
                f"cannot read {what}: GitHub answers {error.status}",
                cause=f"{self._where()}, {_ATTEMPTS} attempts",
                then="see https://www.githubstatus.com, then try again",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InfrastructureError(
                f"cannot read {what}: {_words(error)}",
                cause=f"{self._where()} cannot be reached from here, or a proxy is needed",
                then="check the network, HTTPS_PROXY and SSL_CERT_FILE; or save the log and name the file",
            ) from error
        if not answer.is_success:
            raise self._refused(answer, what)
        return answer

    def _once(self, url: str, headers: Mapping[str, str], query: Mapping[str, str] | None) -> httpx.Response:
        answer = self._client.get(url, headers=headers, params=query)
        if answer.status_code >= 500:
            raise _BusyError(answer.status_code)
        return answer

    def _where(self) -> str:
        return f"{self._base.url} ({self._base.why})"

    def _refused(self, answer: httpx.Response, what: str) -> CiError:
        """What an answer of 3xx or 4xx means for the one who asked."""
        host = answer.request.url.netloc.decode("ascii", "replace")
        status, given = answer.status_code, bool(self._base.token)
        if host != urlsplit(self._base.url).netloc:
            return UsageError(
                f"cannot read {what}: its storage {host} answers {status}",
                cause="the address that GitHub gave has expired, or the log was removed",
                then="try again; or open the job in the browser, save its log and name the file",
            )
        limited = _rate_limit(answer)
        if limited:
            return UsageError(
                f"cannot read {what}: GitHub's rate limit is used up, {limited}",
                cause="sixty requests an hour without a token"
                if not given
                else "the token's requests of this hour",
                then="wait until then" if given else f"export {_TOKENS[0]}=... and try again",
            )
        if status == 410:
            return UsageError(
                f"{what} has expired (410)",
                cause="GitHub keeps logs for 90 days, or fewer where the repository says so",
                then="name the job by its name instead: ./inv repro 'SUITE (LABEL, I/N)'",
            )
        if status == 404:
            cause = "it does not exist, has not ended yet, or the token has no access to the repository"
            return UsageError(
                f"{what} was not found (404)",
                cause=cause if given else f"{cause}; no token was sent ({self._base.why})",
                then="check the address" if given else f"check the address, or export {_TOKENS[0]}=...",
            )
        if status in (401, 403):
            cause = (
                "the token is wrong, has expired or lacks actions:read"
                if given
                else "logs and artifacts need a token"
            )
            return UsageError(
                f"{what} may not be read ({status}): {_message(answer)}",
                cause=f"{cause}; {self._where()}",
                then=f"export {_TOKENS[0]}=... with actions:read (`gh auth token` prints one)",
            )
        return UsageError(
            f"cannot read {what}: GitHub answers {status}: {_message(answer)}", cause=self._where()
        )


class _BusyError(Exception):
    """An answer of 5xx, which is worth another attempt."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def _words(error: Exception) -> str:
    """An exception without an address that could hold more than a host's name."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _message(answer: httpx.Response) -> str:
    try:
        value = answer.json()
    except ValueError:
        return "no message"
    return str(value.get("message", "no message")) if isinstance(value, dict) else "no message"


def _rate_limit(answer: httpx.Response) -> str:
    """When the rate limit ends; empty when the answer is not about it."""
    if answer.status_code not in (403, 429):
        return ""
    wait = answer.headers.get("retry-after", "")
    if wait.isdecimal():
        return f"again in {wait} s"
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") != "0" and answer.status_code != 429:
        return ""
    if reset.isdecimal() and len(reset) <= 10:
        return f"it is filled again at {datetime.fromtimestamp(int(reset), tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    return "GitHub does not say until when"
