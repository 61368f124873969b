"""`./inv image.build`: a rehearsal image, or SGLang's own from a checkout."""

import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import FrameType

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.toml_reader import closest
from ci.cli.images import pull_locks
from ci.cli.verb_options import BuildOptions
from ci.docker.client import EngineError, connect, docker_host
from ci.errors import InfrastructureError, UsageError
from ci.facts.gather import find_hardware, find_today
from ci.facts.git import commit_of
from ci.images.build_rehearsal import REHEARSAL_TAG, build_rehearsal, is_local
from ci.images.build_sglang import build_from_dockerfile, wanted_image
from ci.images.pull import pull_image
from ci.images.resolve import resolve_image
from ci.plan.container.image import image_ask
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Note
from ci.report.views.build import BuildView, show_built

__all__ = ["build_verb"]


def build_verb(environ: Mapping[str, str], options: BuildOptions) -> None:
    """Build one image, and say how to run on it.

    Raises:
        UsageError: it is not said what to build, or both are.
        InfrastructureError: the build failed.
    """
    if options.rehearsal == bool(options.checkout):
        raise UsageError(
            "image.build needs either --rehearsal or --checkout PATH",
            cause="--rehearsal builds an image to rehearse in, --checkout SGLang's own",
            then="./inv image.build --rehearsal",
        )
    catalog = load_catalog()
    view = BuildView(json=options.json)
    try:
        image = (
            _rehearsal(catalog, environ, options, view)
            if options.rehearsal
            else _sglang(catalog, environ, options, view)
        )
    finally:
        view.close()
    show_built(environ, image, as_json=options.json)


def _rehearsal(
    catalog: Catalog, environ: Mapping[str, str], options: BuildOptions, view: BuildView
) -> ImageFact:
    base = options.base or catalog.builds.base.reference
    _have(catalog, environ, base, view)
    return build_rehearsal(
        base=base,
        tag=options.tag or REHEARSAL_TAG,
        engine_host=docker_host(environ)[0],
        environ=environ,
        images=catalog.images,
        emit=view.show,
        log=view.log,
    )


def _have(catalog: Catalog, environ: Mapping[str, str], base: str, view: BuildView) -> None:
    """Pull a base that is not in the local store.

    Raises:
        InfrastructureError: the engine does not answer, or the base cannot be had.
    """
    host = docker_host(environ)[0]
    try:
        with closing(connect(host)) as client:
            if is_local(client, base):
                return
    except EngineError as error:
        raise InfrastructureError(
            f"the engine at {host} cannot be asked for {base}: {error.text}", then="docker info"
        ) from error
    ask = image_ask(catalog.images, family="", today=find_today(environ)[0], environ=environ, image=base)
    image = resolve_image(catalog, ask, environ, engine_host=host)
    if not image.config_digest:
        raise InfrastructureError(
            f"the base {base} is not in the local store and cannot be pulled: {image.problem}",
            cause="its registry cannot be reached from here, or has no such image",
            then="docker load it, or name one that is there: ./inv image.build --rehearsal --base REF",
        )
    pull_image(
        image,
        catalog=catalog,
        engine_host=host,
        mirror="",
        environ=environ,
        emit=view.show,
        stopped=_told_to_stop(),
        lock_dir=pull_locks(environ),
        who="./inv image.build",
    )


def _told_to_stop() -> Callable[[], bool]:
    """Whether a signal came since now."""
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)
    return lambda: bool(told)


def _sglang(
    catalog: Catalog, environ: Mapping[str, str], options: BuildOptions, view: BuildView
) -> ImageFact:
    if options.base or options.tag:
        given = "--base" if options.base else "--tag"
        raise UsageError(
            f"{given} means nothing with --checkout",
            cause="the Dockerfile names its bases, and the tag names the commit",
            then="./inv image.build --checkout PATH --rocm 700",
        )
    rocm = options.rocm or catalog.images.default_flavour.rocm
    flavour = next((row.id for row in catalog.images.flavours.values() if row.rocm == rocm), "")
    if not flavour:
        known = [row.rocm for row in catalog.images.flavours.values()]
        raise UsageError(
            f"unknown ROCm {rocm!r}", cause=closest(rocm, known), then="see ci/catalog/images.toml"
        )
    checkout = Path(options.checkout).expanduser().absolute()
    commit = commit_of(checkout)
    family = options.family or catalog.family_of(find_hardware(catalog, environ).cls)
    wanted = wanted_image(catalog, checkout, commit, flavour=flavour, family=family)
    for text in wanted.notes:
        view.show(Note(text=text))
    return build_from_dockerfile(
        catalog.images,
        wanted,
        engine_host=docker_host(environ)[0],
        environ=environ,
        emit=view.show,
        log=view.log,
        stopped=_told_to_stop(),
    )
