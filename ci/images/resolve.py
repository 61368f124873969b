"""Resolving the requested image: at its registry, or in the local store if it was built here."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from ci.catalog.catalog import Catalog
from ci.catalog.limits import RegistryLimits
from ci.docker.client import IMAGE_ANSWER_S, Client, EngineError, connect, faults
from ci.errors import InfrastructureError, UsageError
from ci.images.credentials import credentials_for
from ci.images.registry import ImageConfig, Registry, RegistryError, base_url
from ci.plan.container.image import (
    Candidate,
    Choice,
    ImageRequest,
    Reference,
    choose,
    parse_reference,
    tag_date,
    tag_part,
)
from ci.plan.container.image_fact import ImageFact, image_fact, local_image
from ci.system import clock

__all__ = ["open_registry", "patiently", "resolve_image"]

_T = TypeVar("_T")
# a person waits for the plan: short waits, the first one before the second try, doubled after that
_WAIT_S = 1.0
_WAIT_MAX_S = 10.0
# a registry that asks for more patience is reported as failed
_RETRY_AFTER_MAX_S = 60.0


def resolve_image(
    catalog: Catalog,
    request: ImageRequest,
    environ: Mapping[str, str],
    *,
    engine_host: str,
    sleep_s: Callable[[float], None] = clock.sleep_s,
) -> ImageFact:
    """The requested image, pinned by digest; one tag list, one manifest and one config are fetched.

    What cannot be resolved comes back with an empty `config_digest` and its `problem`: a plan may still be shown.
    `ci.plan.container.image_fact.require_image` refuses it for a run.

    Raises:
        UsageError: the override is not a reference, or is an image of another family; the registry variable is not a registry.
    """
    look = _Look(catalog=catalog, request=request, environ=environ, engine_host=engine_host, sleep_s=sleep_s)
    return look.override() if request.override else look.newest()


def open_registry(
    catalog: Catalog,
    name: str,
    environ: Mapping[str, str],
    *,
    monotonic_s: Callable[[], float] = clock.monotonic_s,
    utc_now: Callable[[], datetime] = clock.utc_now,
    plain: bool = False,
) -> Registry:
    """A registry by its name in references, with the credentials that the environment has for it."""
    credentials, note = credentials_for(catalog.images, name, environ)
    url = base_url(name, public=catalog.images.registry, api=catalog.images.api, plain=plain)
    registry = Registry(
        url, catalog.limits.registry, credentials=credentials, monotonic_s=monotonic_s, utc_now=utc_now
    )
    if note:
        registry.notes.append(note)
    return registry


def patiently(
    action: Callable[[], _T],
    limits: RegistryLimits,
    *,
    sleep_s: Callable[[float], None],
    note: Callable[[str], None],
) -> _T:
    """Ask a registry `limits.attempts` times; each failed try is noted.

    Raises:
        RegistryError: of the last try, or of one that another try cannot fix.
    """

    def wait_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_s if isinstance(error, RegistryError) else None
        backoff = wait_exponential(_WAIT_S, _WAIT_MAX_S)(state)
        return asked if asked is not None else backoff

    def worth_it(error: BaseException) -> bool:
        if not isinstance(error, RegistryError) or not error.retry:
            return False
        return (error.retry_after_s or 0) <= _RETRY_AFTER_MAX_S

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = isinstance(error, RegistryError) and error.retry_after_s is not None
        seconds = state.next_action.sleep if state.next_action is not None else 0
        note(f"{error}; asked again after {seconds:g} s{', as the registry asks' if asked else ''}")

    retrying = Retrying(
        stop=stop_after_attempt(limits.attempts),
        wait=wait_s,
        retry=retry_if_exception(worth_it),
        sleep=sleep_s,
        before_sleep=say,
        reraise=True,
    )
    return retrying(action)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look for one image."""

    catalog: Catalog
    request: ImageRequest
    environ: Mapping[str, str]
    engine_host: str
    sleep_s: Callable[[float], None]
    notes: list[str] = field(default_factory=list)

    def newest(self) -> ImageFact:
        """The newest official tag of the flavour and family, at the public registry or what replaces it."""
        name = self.request.registry or self.catalog.images.registry
        public = parse_reference(f"{name}/{self.catalog.images.repository}")
        if public.registry != name:
            raise UsageError(
                f"{self.catalog.images.registry_variable} is {name!r}, not a registry",
                cause="it must be HOST:PORT or a host name with a dot",
                then=f"{self.catalog.images.registry_variable}=127.0.0.1:5000 ./inv image.resolve",
            )
        source = f"newest of {self.request.flavour} ({self.request.flavour_source}) for {self.request.family}, in {public.name}"
        if self.request.registry:
            source += f", {self.catalog.images.registry_variable}"
        none = Choice(tag="", day=None, candidates=())
        public = replace(public, tag="")
        with open_registry(self.catalog, public.registry, self.environ) as registry:
            try:
                tags = self._patiently(lambda: registry.tags(public.path))
                choice = choose(tags, self.catalog.images, self.request)
                if not choice.tag:
                    days = self.catalog.images.flavours[self.request.flavour].look_back_days
                    what = f"{public.name} has no {self.request.flavour} image for {self.request.family} of the last {days} days"
                    return self._unresolved(public, choice, source, f"{what} ({len(tags)} tags)", registry)
                reference = Reference(registry=public.registry, path=public.path, tag=choice.tag, digest="")
                found = self._patiently(lambda: registry.resolve(reference))
            except RegistryError as error:
                return self._unresolved(public, none, source, str(error), registry)
            self.notes.extend(registry.notes)
        return self._fact(reference, found, source, choice.candidates)

    def override(self) -> ImageFact:
        """What was named: an image id of the local store, one that was made here, or one of its registry."""
        reference = parse_reference(self.request.override)
        source = self.request.override_source
        self._require_family(reference)
        here, problem = self._local(reference)
        if reference.image_id or (here and not here.get("RepoDigests")):
            if not here:
                what = f"the local store has no {reference.text}{problem}"
                return self._unresolved(
                    reference, Choice(tag="", day=None, candidates=()), source, what, None
                )
            if not reference.image_id:
                self.notes.append(f"{reference.text} was built on this machine: no registry was asked")
            return local_image(
                self.catalog.images,
                reference.text,
                here,
                source=f"{source}, in the local store",
                today=self.request.today,
                notes=tuple(self.notes),
            )
        with open_registry(self.catalog, reference.registry, self.environ) as registry:
            try:
                found = self._patiently(lambda: registry.resolve(reference))
            except RegistryError as error:
                none = Choice(tag="", day=None, candidates=())
                return self._unresolved(reference, none, source, str(error), registry, here)
            self.notes.extend(registry.notes)
        return self._fact(reference, found, source, ())

    def _require_family(self, reference: Reference) -> None:
        """Refuse an official image of another family: on the wrong GPUs it fails late and strangely.

        Raises:
            UsageError: the tag says so.
        """
        family = tag_part(self.catalog.images, reference.tag, "family")
        if family and self.request.family and family != self.request.family:
            raise UsageError(
                f"{self.request.override_source}: {reference.text} is made for {family}, this machine is {self.request.family}",
                cause="one variable for both families has the wrong image for one of them",
                then=f"name an image for {self.request.family}: --image REF, or AMD_CI_IMAGE_MI35X for mi35x alone",
            )

    def _patiently(self, action: Callable[[], _T]) -> _T:
        return patiently(action, self.catalog.limits.registry, sleep_s=self.sleep_s, note=self.notes.append)

    def _fact(
        self, reference: Reference, found: ImageConfig, source: str, candidates: tuple[Candidate, ...]
    ) -> ImageFact:
        return image_fact(
            self.catalog.images,
            reference.text,
            source=source,
            config_digest=found.config_digest,
            manifest_digest=found.manifest_digest,
            labels=found.labels,
            env=found.env,
            size_bytes=found.size_bytes,
            today=self.request.today,
            candidates=candidates,
            notes=tuple(self.notes),
        )

    def _unresolved(
        self,
        reference: Reference,
        choice: Choice,
        source: str,
        problem: str,
        registry: Registry | None,
        here: Mapping[str, Any] | None = None,
    ) -> ImageFact:
        return image_fact(
            self.catalog.images,
            reference.text,
            source=source,
            flavour=self.request.flavour,
            candidates=choice.candidates,
            problem=problem,
            notes=(*self.notes, *(registry.notes if registry is not None else ())),
            local=self._local_lines(here),
        )

    def _client(self) -> Client:
        return connect(self.engine_host, timeout_s=IMAGE_ANSWER_S)

    def _local(self, reference: Reference) -> tuple[Mapping[str, Any], str]:
        """What the local store knows of it (empty: nothing), and why it could not be asked."""
        try:
            with closing(self._client()) as client, faults():
                found: Mapping[str, Any] = client.api.inspect_image(reference.text)
                return found, ""
        except EngineError as error:
            return {}, "" if error.status == 404 else f": {error.text}"
        except InfrastructureError as error:
            self.notes.append(f"local store not available: {error.what}")
            return {}, f": {error.what}"

    def _local_lines(self, here: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Images of the local store that could be named instead, each with the option that names it."""
        if here:
            return (f"has {self.request.override} as it was when it was pulled: --image {here['Id']}",)
        if self.request.override:
            return ()
        try:
            with closing(self._client()) as client, faults():
                listed = client.api.images()
        except (EngineError, InfrastructureError):
            return ()
        found = set()
        for row in listed:
            for text in row.get("RepoTags") or ():
                name, _, tag = text.rpartition(":")
                fits = (
                    tag_part(self.catalog.images, tag, "flavour") == self.request.flavour
                    and tag_part(self.catalog.images, tag, "family") == self.request.family
                )
                if f"/{name}".endswith(f"/{self.catalog.images.repository}") and fits:
                    found.add((str(tag_date(self.catalog.images, tag)), f"has {tag}: --image {row['Id']}"))
        return tuple(line for _, line in sorted(found, reverse=True))
