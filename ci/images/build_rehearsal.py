"""Images that are built here: a rehearsal image from any base, and SGLang's own from a checkout's Dockerfile.

Neither is pushed. A build's progress goes out as phase events (docs/agent.md), all that it prints to `log`.
"""

import json
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO

from ci.catalog.catalog import Catalog
from ci.catalog.images import ImageCatalog
from ci.docker.client import Client, EngineError, connect, docker_host, faults
from ci.errors import InfrastructureError, Problem, UsageError
from ci.images.pull import pull_image
from ci.images.resolve import resolve_image
from ci.nox.environments import find_uv, pin_files
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import (
    ENGINE_LABEL,
    FLAVOUR_LABEL,
    PYTHON_LABEL,
    PYTHON_VERSION_LABEL,
    ImageFact,
    local_image,
)
from ci.record.events import PhaseProgress
from ci.record.phases import Emit
from ci.system.process import capture

__all__ = [
    "IN_IMAGE",
    "REHEARSAL_TAG",
    "Log",
    "build_progress",
    "build_rehearsal",
    "have_base",
]

_PHASE = "build"
REHEARSAL_TAG = "sglang-amd-ci/rehearsal:latest"
DOCKERFILE = Path(__file__).parent / "rehearsal.Dockerfile"
REQUIREMENTS = Path(__file__).parents[2] / "requirements"

# dependency groups of what runs tests in an image without SGLang
IN_IMAGE = ("container", "rehearsal", "model")

# asks a base's Python, 3.10 or not, where packages go and what they have to fit
_PROBE = (
    "import ctypes.util,json,platform,sys,sysconfig;"
    "print(json.dumps([sys.executable,list(sys.version_info[:3]),sysconfig.get_path('purelib'),"
    "platform.libc_ver()[1],platform.machine(),bool(ctypes.util.find_library('gomp'))]))"
)
# starting a base once takes 0.4 s; a cold disk is slower
_PROBE_S = 30.0
# 100 MB of wheels on a slow line
_PACKAGES_S = 600.0
_OLDEST_PYTHON = (3, 10)
# what the rehearsal engine's wheels are built for
_OLDEST_GLIBC = (2, 28)
_PLATFORM = "x86_64-manylinux_2_28"

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What a base image has: its Python's path and version, and the folder where that looks for packages."""

    python: str
    version: str
    site: str


def build_rehearsal(
    *,
    base: str,
    tag: str,
    engine_host: str,
    environ: Mapping[str, str],
    images: ImageCatalog,
    emit: Emit,
    log: Log,
    groups: Sequence[str] = IN_IMAGE,
) -> ImageFact:
    """Build an image in which a stage can be rehearsed, from any base with Python 3.10 or later.

    The packages of `groups` are resolved for the base's Python from the hashed pins and copied in: the build reaches no
    network. `emit` takes `phase-progress` events, `log` every line of the build.

    Raises:
        UsageError: the base has no Python that fits, or is not in the local store.
        InfrastructureError: the engine, uv or the build failed.
    """
    client = connect(engine_host)
    try:
        emit(build_progress(f"asking {base} for its Python"))
        found = _probe(client, base)
        with tempfile.TemporaryDirectory(prefix="amd-ci-build-") as scratch:
            packages = Path(scratch) / "packages"
            emit(build_progress(f"packages of {', '.join(groups)} for Python {found.version}"))
            _install(packages, groups, found, environ)
            versions = _versions(packages)
            labels = {
                FLAVOUR_LABEL: "rehearsal",
                PYTHON_LABEL: found.python,
                PYTHON_VERSION_LABEL: found.version,
                "ci.base": base,
            }
            if "xllamacpp" in versions:
                labels[f"{ENGINE_LABEL}xllamacpp"] = versions["xllamacpp"]
            with (Path(scratch) / "context.tar").open("w+b") as context:
                _pack(context, packages)
                context.seek(0)
                build_args = {"BASE": base, "SITE": found.site}
                _build(client, context, tag, build_args, labels, emit=emit, log=log)
        return inspect_built(client, images, tag, source=f"built here from {base}")
    finally:
        client.close()


def have_base(
    base: str,
    *,
    catalog: Catalog,
    environ: Mapping[str, str],
    today: date,
    emit: Emit,
    stopped: Callable[[], bool],
) -> None:
    """Pull a base that is not in the local store.

    Raises:
        InfrastructureError: the engine does not answer, or the base cannot be pulled.
    """
    host = docker_host(environ)[0]
    try:
        with closing(connect(host)) as client:
            if _is_local(client, base):
                return
    except EngineError as error:
        raise InfrastructureError(
            f"the engine at {host} cannot say whether it has {base}: {error.text}", then="docker info"
        ) from error
    request = image_request(catalog.images, family="", today=today, environ=environ, image=base)
    image = resolve_image(catalog, request, environ, engine_host=host)
    if not image.config_digest:
        raise InfrastructureError(
            f"the base {base} is not in the local store and cannot be pulled: {image.problem}",
            cause="its registry cannot be reached from here, or has no such image",
            then="docker load it, or name a local image: ./inv image.build --rehearsal --base REF",
        )
    pull_image(
        image,
        catalog=catalog,
        engine_host=host,
        mirror="",
        environ=environ,
        emit=emit,
        stopped=stopped,
        who="./inv image.build",
    )


def _is_local(client: Client, reference: str) -> bool:
    """Whether the local store has an image.

    Raises:
        EngineError: the engine does not answer.
    """
    try:
        with faults():
            client.api.inspect_image(reference)
    except EngineError as error:
        if error.status != 404:
            raise
        return False
    return True


def inspect_built(client: Client, images: ImageCatalog, reference: str, *, source: str) -> ImageFact:
    """An image of the local store that was built here.

    Raises:
        InfrastructureError: it does not exist, or the engine failed.
    """
    try:
        with faults():
            image = client.api.inspect_image(reference)
    except EngineError as error:
        raise InfrastructureError(
            f"{reference} cannot be inspected: {error.text}", cause="it was removed", then="./inv image.build"
        ) from error
    return local_image(images, reference, image, source=source)


def _probe(client: Client, base: str) -> _Base:
    """Run the base once and ask its `python3`.

    Raises:
        UsageError: it is not in the local store, or has no Python that fits.
        InfrastructureError: the engine failed.
    """
    try:
        with faults():
            container = client.containers.create(
                base, entrypoint=["python3"], command=["-c", _PROBE], network_mode="none", init=True
            )
            try:
                container.start()
                code = container.wait(timeout=_PROBE_S)["StatusCode"]
                printed = container.logs(stdout=True, stderr=True).decode(errors="replace").strip()
            finally:
                container.remove(force=True)
    except EngineError as error:
        if error.gone:
            raise InfrastructureError(
                f"cannot determine the Python version of {base}: {error.text}", then="docker info"
            ) from error
        raise UsageError(
            f"{base} cannot be a base: {error.text}",
            cause="it is not in the local store, or has no python3 on its PATH",
            then=f"docker pull {base}, or name another: --base REF",
        ) from error
    try:
        python, version, site, libc, machine, gomp = json.loads(printed)
    except ValueError:
        # 126 and 127 are what the engine's init says of a program that it cannot start
        missing = "it has no python3 on its PATH" if code in (126, 127) else f"its python3 ended with {code}"
        what = f"{base} cannot be a base: {missing} ({printed[-200:]!r})"
        raise UsageError(what, then="name another: --base REF") from None
    wrong = _misfits(tuple(version), libc, machine, gomp=gomp)
    if wrong:
        raise UsageError(
            f"{base} cannot be a base of a rehearsal image",
            problems=[Problem(where=base, what=each) for each in wrong],
            then="name another: --base REF",
        )
    return _Base(python=python, version=".".join(map(str, version)), site=site)


def _misfits(version: tuple[int, ...], libc: str, machine: str, *, gomp: bool) -> list[str]:
    """Why packages for this Python are not available."""
    wrong = []
    if version[:2] < _OLDEST_PYTHON:
        wrong.append(f"its Python is {'.'.join(map(str, version))}; our tests need 3.10 or later")
    if machine != "x86_64":
        wrong.append(f"it is made for {machine}; the rehearsal's engine is made for x86_64")
    numbers = tuple(int(part) for part in libc.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST_GLIBC:
        wrong.append(
            f"its C library is {'glibc ' + libc if libc else 'not glibc'}; the engine needs glibc 2.28 or later"
        )
    if not gomp:
        wrong.append(
            "it has no libgomp.so.1, which the engine needs: Debian's and Ubuntu's package is libgomp1"
        )
    return wrong


def _install(packages: Path, groups: Sequence[str], base: _Base, environ: Mapping[str, str]) -> None:
    """Lay the wheels of the groups' pins, unpacked, into a folder.

    Raises:
        InfrastructureError: uv failed.
    """
    files = [part for file in pin_files(REQUIREMENTS, groups) for part in ("-r", str(file))]
    argv = [
        *(find_uv(environ), "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
        *("--only-binary", ":all:", "--python-platform", _PLATFORM, "--python-version", base.version),
        *("--target", str(packages), *files),
    ]
    done = capture(argv, timeout_s=_PACKAGES_S, env=environ)
    if done.code != 0:
        reason = done.why or done.stderr.decode(errors="replace").strip()[-1000:]
        raise InfrastructureError(
            f"packages for Python {base.version} are not available: {reason}",
            cause="no network and an empty cache, or a pin that has no wheel for this Python",
            then="fix that, then: ./inv image.build --rehearsal",
        )


def _versions(packages: Path) -> dict[str, str]:
    """Version by distribution name."""
    parts = (folder.name.removesuffix(".dist-info").partition("-") for folder in packages.glob("*.dist-info"))
    return {name: version for name, _, version in parts}


def _pack(context: IO[bytes], packages: Path) -> None:
    """The build's context. Owners and times are left out, so that the same packages are the same layer."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = 0
        return entry

    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(DOCKERFILE, arcname="Dockerfile", filter=plain)
        archive.add(packages, arcname="packages", filter=plain)


def _build(
    client: Client,
    context: IO[bytes],
    tag: str,
    build_args: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    emit: Emit,
    log: Log,
) -> None:
    """Build a context with the engine's own builder.

    Raises:
        InfrastructureError: the engine or the build failed.
    """
    lines: list[str] = []
    failed = ""
    try:
        with faults():
            for event in client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=dict(build_args),
                labels=dict(labels),
                network_mode="none",
                rm=True,
                forcerm=True,
                decode=True,
            ):
                for line in str(event.get("stream") or event.get("error") or "").splitlines():
                    if line.strip():
                        lines.append(line)
                        log(line)
                if event.get("stream", "").startswith("Step "):
                    emit(_step(event["stream"].strip()))
                if "error" in event:
                    failed = str(event["error"])
    except EngineError as error:
        failed = error.text
    if failed:
        raise InfrastructureError(
            f"cannot build {tag}: {failed}",
            cause="its last lines: " + " | ".join(lines[-3:]) if lines else "the engine refused the build",
            then="docker info; docker system df",
        )


def _step(text: str) -> PhaseProgress:
    """`Step 3/5 : COPY ...` as progress."""
    done, _, total = text.removeprefix("Step ").partition(" ")[0].partition("/")
    known = done.isdecimal() and total.isdecimal()
    return build_progress(text, done=int(done) if known else None, total=int(total) if known else None)


def build_progress(text: str, *, done: int | None = None, total: int | None = None) -> PhaseProgress:
    """A step of a build as an event."""
    return PhaseProgress(phase=_PHASE, text=text, done=done, total=total)
