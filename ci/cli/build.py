"""`./inv image.build`: a rehearsal image, or SGLang's own from a checkout."""

from collections.abc import Mapping
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.verb_options import BuildOptions
from ci.docker.client import docker_host
from ci.errors import UsageError
from ci.facts.gather import find_hardware, find_today
from ci.facts.git import commit_of
from ci.images.build_rehearsal import REHEARSAL_TAG, build_rehearsal, have_base
from ci.images.build_sglang import build_from_dockerfile, wanted_image
from ci.plan.container.image import flavour_of
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Note
from ci.report.views.build import BuildView, show_built
from ci.system.signals import stop_requested

__all__ = ["build_verb"]


def build_verb(environ: Mapping[str, str], options: BuildOptions) -> None:
    """Build one image, and say how to run on it.

    Raises:
        UsageError: neither --rehearsal nor --checkout is given, or both are.
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
    have_base(
        base,
        catalog=catalog,
        environ=environ,
        today=find_today(environ)[0],
        emit=view.show,
        stopped=stop_requested(),
    )
    return build_rehearsal(
        base=base,
        tag=options.tag or REHEARSAL_TAG,
        engine_host=docker_host(environ)[0],
        environ=environ,
        images=catalog.images,
        emit=view.show,
        log=view.log,
    )


def _sglang(
    catalog: Catalog, environ: Mapping[str, str], options: BuildOptions, view: BuildView
) -> ImageFact:
    if options.base or options.tag:
        given = "--base" if options.base else "--tag"
        raise UsageError(
            f"{given} cannot be combined with --checkout",
            cause="the Dockerfile names its bases, and the tag names the commit",
            then="./inv image.build --checkout PATH --rocm 700",
        )
    flavour, _ = flavour_of(catalog.images, [(options.rocm, "--rocm")])
    checkout = Path(options.checkout).expanduser().absolute()
    if not checkout.is_dir():
        raise UsageError(
            f"--checkout {checkout}: no such folder",
            cause="the top folder of an SGLang tree is needed",
            then="git clone https://github.com/sgl-project/sglang",
        )
    commit = commit_of(checkout)
    family = options.family or catalog.family_of(find_hardware(catalog, environ).cls)
    wanted = wanted_image(catalog, checkout, commit, flavour=flavour.id, family=family)
    for text in wanted.notes:
        view.show(Note(text=text))
    return build_from_dockerfile(
        catalog.images,
        wanted,
        engine_host=docker_host(environ)[0],
        environ=environ,
        emit=view.show,
        log=view.log,
        stopped=stop_requested(),
    )
