"""Getting a resolved image onto this host: local store, mirror, public registry; checked by digest after each."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from ci.catalog.catalog import Catalog
from ci.catalog.images import ImageCatalog, PullFault
from ci.catalog.limits import Limits
from ci.docker.client import IMAGE_ANSWER_S, Client, EngineError, connect, faults
from ci.errors import ExitCode, InfrastructureError, Problem
from ci.images.credentials import Credentials, credentials_for
from ci.images.pull_process import POLL_S, Outcome, Transfer
from ci.images.registry import Registry, RegistryError, base_url
from ci.plan.container.image import Reference, parse_reference
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Note
from ci.record.phases import Emit
from ci.system import clock
from ci.system.file_lock import cache_dir, held

__all__ = ["Hop", "Pulled", "fault_of", "pull_image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One try: `name` is `local`, `mirror` or `public`, `what` how it ended."""

    name: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The image in the local store. `local_id` is what to start, `hop` where it came from, `hops` all tries in order."""

    local_id: str
    hop: str
    hops: tuple[Hop, ...]


class _FailedPullError(Exception):
    """A try at the public registry failed; `retry_after_s` is what the registry asked to wait."""

    def __init__(self, text: str, *, retry: bool, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry = retry
        self.retry_after_s = retry_after_s


def fault_of(faults_: tuple[PullFault, ...], text: str) -> PullFault | None:
    """The row that knows what the engine says, None when none does."""
    return next((row for row in faults_ if re.search(row.pattern, text)), None)


def pull_image(
    image: ImageFact,
    *,
    catalog: Catalog,
    engine_host: str,
    mirror: str,
    environ: Mapping[str, str],
    emit: Emit,
    stopped: Callable[[], bool],
    who: str,
    phase: str = "pull",
    sleep_s: Callable[[float], None] = clock.sleep_s,
    monotonic_s: Callable[[], float] = clock.monotonic_s,
    utc_now: Callable[[], datetime] = clock.utc_now,
) -> Pulled:
    """Have the image in the local store, whatever it takes within the rows `pull.*`.

    `mirror` is `host:port`, empty for none. `who` is shown to another process that waits for this pull. `emit` gets
    `phase-progress` and `note` events.

    Raises:
        InfrastructureError: no hop gave the image, with each try's own cause; or we were stopped (exit 130).
    """
    reference = parse_reference(image.reference)
    credentials, note = credentials_for(catalog.images, reference.registry, environ)
    if note:
        emit(Note(text=note))
    transfer = Transfer(
        engine_host=engine_host,
        environ=environ,
        stall_s=catalog.limits.pull.stall_s,
        emit=emit,
        phase=phase,
        stopped=stopped,
        monotonic_s=monotonic_s,
    )
    with closing(connect(engine_host, timeout_s=IMAGE_ANSWER_S)) as client:
        chain = _Chain(
            image=image,
            reference=reference,
            images=catalog.images,
            limits=catalog.limits,
            credentials=credentials,
            client=client,
            transfer=transfer,
            environ=environ,
            emit=emit,
            sleep_s=sleep_s,
            monotonic_s=monotonic_s,
            utc_now=utc_now,
        )
        return chain.run(mirror, who)


@dataclass(slots=True, kw_only=True)
class _Chain:
    """One image's way through the hops."""

    image: ImageFact
    reference: Reference
    images: ImageCatalog
    limits: Limits
    credentials: Credentials | None
    client: Client
    transfer: Transfer
    environ: Mapping[str, str]
    emit: Emit
    sleep_s: Callable[[float], None]
    monotonic_s: Callable[[], float]
    utc_now: Callable[[], datetime]
    hops: list[Hop] = field(default_factory=list)
    tries: int = 0

    def run(self, mirror: str, who: str) -> Pulled:
        found = self._local()
        if found:
            return self._pulled(found, "local", f"the local store has it as {found}")
        self._failed("local", f"the local store has no image {self.image.config_digest}")
        if not self.image.manifest_digest:
            raise self._error("it was only in the local store, and was removed")
        lock = cache_dir(self.environ) / "locks" / f"{self.image.config_digest.removeprefix('sha256:')}.lock"
        owner = {"run": who, "since": clock.iso(self.utc_now())}
        with held(lock, owner, on_wait=self._say_waiting, pause=self._pause) as waited:
            found = self._local() if waited else ""
            if found:
                return self._pulled(found, "local", "another process of this host has pulled it")
            return self._mirror(mirror) or self._public()

    def _local(self) -> str:
        """The local store's id of the image, empty when it has none."""
        for name in (self.image.config_digest, self.image.pinned):
            found = self._inspect(name)
            if self._is_it(found):
                return str(found["Id"])
        return ""

    def _inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of an image, empty when it has none of that name.

        Raises:
            InfrastructureError: the engine does not answer, or cannot say.
        """
        try:
            with faults():
                data: dict[str, Any] = self.client.api.inspect_image(name)
                return data
        except EngineError as error:
            if error.status == 404:
                return {}
            raise self._error(f"the engine cannot say whether it has {name}: {error.text}") from error

    def _is_it(self, found: Mapping[str, Any]) -> bool:
        """By config digest, which is the id in the classic store, or by manifest digest, which it is in containerd's."""
        digests = {str(text).rpartition("@")[2] for text in found.get("RepoDigests") or ()}
        digests.add(str(found.get("Id")))
        return bool(digests & {self.image.config_digest, self.image.manifest_digest} - {""})

    def _mirror(self, mirror: str) -> Pulled | None:
        """One try at the mirror, by tag: a copy has another manifest digest. Another image under that tag is refused."""
        reason = self._no_mirror(mirror)
        if reason:
            self._failed("mirror", f"skipped: {reason}")
            return None
        name, tag = f"{mirror}/{self.reference.path}", self.reference.tag
        outcome = self._try(f"mirror {mirror}", name, tag, None, self.limits.pull.mirror_max_s)
        if outcome.problem:
            self._failed("mirror", f"{name}:{tag}: {outcome.problem}")
            self._await_engine(outcome)
            return None
        found = self._inspect(f"{name}:{tag}")
        if not self._is_it(found):
            what = f"{name}:{tag} is {found.get('Id', 'gone')}, not {self.image.config_digest}: a stale or wrong copy"
            self._failed("mirror", what)
            self._untag(f"{name}:{tag}")
            return None
        self._tag(str(found["Id"]))
        return self._pulled(str(found["Id"]), "mirror", f"pulled from {name}:{tag}")

    def _no_mirror(self, mirror: str) -> str:
        public = (self.images.registry, self.environ.get(self.images.registry_variable, ""))
        if not mirror:
            return "this machine has no mirror"
        if self.reference.registry not in public:
            return f"it mirrors {public[0]}, the image is from {self.reference.registry}"
        if not self.reference.tag:
            return "a mirror is pulled by tag, and the reference has none"
        return ""

    def _public(self) -> Pulled:
        """The image's own registry, by digest, up to `pull.attempts` times."""
        retrying = Retrying(
            stop=stop_after_attempt(self.limits.pull.attempts),
            retry=retry_if_exception(lambda error: isinstance(error, _FailedPullError) and error.retry),
            wait=self._wait_s,
            sleep=self._sleep,
            before_sleep=self._say_retry,
            reraise=True,
        )
        try:
            return retrying(self._public_once)
        except _FailedPullError as error:
            raise self._error(str(error)) from error

    def _public_once(self) -> Pulled:
        name, digest = self.reference.name, self.image.manifest_digest
        self.tries += 1
        where = f"{self.reference.registry}, attempt {self.tries} of {self.limits.pull.attempts}"
        outcome = self._try(where, name, digest, self.credentials, self.limits.pull.public_max_s)
        if outcome.problem:
            self._failed("public", f"attempt {self.tries}: {outcome.problem}")
            self._await_engine(outcome)
            raise self._failure(outcome)
        found = self._inspect(f"{name}@{digest}")
        if not self._is_it(found):
            what = f"{name}@{digest} came as {found.get('Id', 'nothing')}, not {self.image.config_digest}"
            self._failed("public", what)
            raise _FailedPullError(what, retry=not found)
        self._tag(str(found["Id"]))
        return self._pulled(str(found["Id"]), "public", f"pulled {name}@{digest}")

    def _failure(self, outcome: Outcome) -> _FailedPullError:
        """Whether to try again, and after how long if the registry says so."""
        if outcome.stalled or outcome.gone:
            return _FailedPullError(outcome.problem, retry=True)
        row = fault_of(self.images.faults, outcome.problem)
        if row is None:
            self._note("no row of images.toml matches this failure: it is retried")
            return _FailedPullError(outcome.problem, retry=True)
        asked = self._asked_to_wait_s() if row.limited else None
        return _FailedPullError(f"{outcome.problem} [{row.id}]", retry=row.retry, retry_after_s=asked)

    def _asked_to_wait_s(self) -> float | None:
        """What the registry itself says: the engine keeps its Retry-After to itself."""
        url = base_url(self.reference.registry, public=self.images.registry, api=self.images.api)
        try:
            with Registry(
                url,
                self.limits.registry,
                credentials=self.credentials,
                monotonic_s=self.monotonic_s,
                utc_now=self.utc_now,
            ) as registry:
                registry.exists(self.reference.path, self.image.manifest_digest)
        except RegistryError as error:
            return error.retry_after_s
        return None

    def _wait_s(self, state: RetryCallState) -> float:
        limits = self.limits.pull
        error = state.outcome.exception() if state.outcome is not None else None
        jitter_s = wait_random(0, limits.jitter_s)(state)
        if isinstance(error, _FailedPullError) and error.retry_after_s is not None:
            most_s = limits.retry_after_max_s
            if error.retry_after_s > most_s:
                self._note(f"the registry asks to wait {error.retry_after_s:g} s; waiting {most_s:g} s")
            return min(error.retry_after_s, most_s) + jitter_s
        return wait_exponential(limits.wait_s, limits.wait_max_s)(state) + jitter_s

    def _say_retry(self, state: RetryCallState) -> None:
        wait_s = state.next_action.sleep if state.next_action is not None else 0
        error = state.outcome.exception() if state.outcome is not None else None
        asked = isinstance(error, _FailedPullError) and error.retry_after_s is not None
        self._note(f"trying again in {wait_s:.1f} s{', as the registry asks' if asked else ''}: {error}")

    def _sleep(self, seconds: float) -> None:
        """Wait, but not after a stop request."""
        until = self.monotonic_s() + seconds
        while self.monotonic_s() < until:
            self._pause()

    def _pause(self) -> None:
        self.transfer.require_wanted()
        self.sleep_s(POLL_S)

    def _try(
        self, where: str, name: str, tag: str, credentials: Credentials | None, most_s: float
    ) -> Outcome:
        self._note(f"pulling {name}{'@' if ':' in tag else ':'}{tag} from {where}")
        outcome = self.transfer.pull(
            name,
            tag,
            registry=self.reference.registry,
            credentials=credentials,
            expected_bytes=self.image.size_bytes,
            most_s=most_s,
            where=where,
        )
        if outcome.login and credentials is not None:
            self._note(f"the login with {credentials.source} was {outcome.login}: continuing anonymously")
        return outcome

    def _await_engine(self, outcome: Outcome) -> None:
        """A restarted engine is waited for; one that stays away ends the chain.

        Raises:
            InfrastructureError: it does not answer within the row's time.
        """
        if not outcome.gone:
            return
        until = self.monotonic_s() + self.limits.pull.engine_back_s
        self._note(f"the engine does not answer: waiting {self.limits.pull.engine_back_s:g} s for it")
        while True:
            try:
                with faults():
                    self.client.ping()
            except EngineError as error:
                if self.monotonic_s() >= until:
                    raise self._error(f"the engine stopped during the pull: {error.text}") from error
                self._pause()
            else:
                self._note("the engine answers again")
                return

    def _tag(self, local_id: str) -> None:
        """Give it its plain name, so that people and the next run find it by that."""
        if not self.reference.tag:
            return
        try:
            with faults():
                self.client.api.tag(local_id, self.reference.name, tag=self.reference.tag, force=True)
        except EngineError as error:
            self._note(f"it could not be tagged as {self.reference.text}: {error.text}")

    def _untag(self, name: str) -> None:
        """Remove the wrong image's name, so that it is not taken for the right one."""
        try:
            with faults():
                self.client.api.remove_image(name, noprune=False)
            self._note(f"{name} was removed from the local store")
        except EngineError as error:
            if error.status != 404:
                self._note(f"{name} could not be removed from the local store: {error.text}")

    def _pulled(self, local_id: str, hop: str, what: str) -> Pulled:
        self.hops.append(Hop(name=hop, what=what))
        self._note(f"{self.image.reference}: {what}")
        return Pulled(local_id=local_id, hop=hop, hops=tuple(self.hops))

    def _failed(self, hop: str, what: str) -> None:
        self.hops.append(Hop(name=hop, what=what))
        if hop != "local":
            self._note(f"{hop}: {what}")

    def _say_waiting(self, other: str) -> None:
        self._note(f"{self.image.reference} is being pulled by another process ({other}): waiting for it")

    def _note(self, text: str) -> None:
        self.emit(Note(text=text))

    def _error(self, cause: str) -> InfrastructureError:
        return InfrastructureError(
            f"{self.image.reference} could not be pulled",
            cause=cause,
            then="docker info; ./inv image.pull; another image: --image REF",
            problems=[Problem(where=hop.name, what=hop.what) for hop in self.hops],
            exit_code=ExitCode.INFRASTRUCTURE,
        )
