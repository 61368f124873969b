"""SGLang's own image out of a checkout's Dockerfile, with the commit under test in it."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.images import ImageCatalog
from ci.docker.client import connect
from ci.errors import InfrastructureError, UsageError
from ci.images.build_rehearsal import Log, build_progress, inspect_built
from ci.plan.container.image_fact import FLAVOUR_LABEL, ImageFact, image_fact
from ci.plan.facts import Facts, Known
from ci.record.events import Note
from ci.record.phases import Emit
from ci.system import clock
from ci.system.process import Process, capture, kill_group, start

__all__ = ["Wanted", "build_from_dockerfile", "dockerfile_image", "wanted_image"]

_READ_BYTES = 1 << 16
# the release workflow's own builds take two to three hours; after this one hangs
_BUILD_S = 21600.0
# how often the output is read, and whether it was stopped is looked at
_POLL_S = 0.2
_REPOSITORY = "sglang-amd-ci/sglang"
# BuildKit's plain progress: `#12 [gfx942 3/9] RUN ...`
_STEP = re.compile(r"#\d+ (\[.+?\] .*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be built. The tag names all of it, so that the same is never built twice."""

    checkout: Path
    dockerfile: Path
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    tag: str
    notes: tuple[str, ...]


def wanted_image(catalog: Catalog, checkout: Path, commit: Known, *, flavour: str, family: str) -> Wanted:
    """The build of a checkout for a flavour and family.

    Raises:
        UsageError: the target or the Dockerfile does not exist, or the commit is unknown.
    """
    row = catalog.builds.dockerfile
    arch = next(
        (
            each.gpu_arch
            for each in catalog.images.targets
            if (each.flavour, each.family) == (flavour, family)
        ),
        "",
    )
    if not arch:
        what = f"no stage of {row.path} makes {flavour} for {family or 'a machine without an AMD GPU'}"
        raise UsageError(
            what, cause="images.toml has no such target", then="--rocm 700|720|724 on a GPU machine"
        )
    dockerfile = checkout / row.path
    try:
        content = dockerfile.read_bytes()
    except OSError as error:
        what = f"cannot read {dockerfile}: {error.strerror}"
        raise UsageError(what, cause="not an SGLang tree", then="--checkout PATH") from error
    if not commit.value:
        what = f"--from-dockerfile: the commit of {checkout} is {commit.source}"
        raise UsageError(what, cause="the Dockerfile fetches SGLang by its commit", then="git -C PATH status")
    sha, _, dirty = commit.value.partition("+")
    uncommitted = f"changes that are not committed are not in the image, which is built from {sha}"
    digest = hashlib.sha256(content).hexdigest()
    return Wanted(
        checkout=checkout,
        dockerfile=dockerfile,
        arguments={row.arch_argument: arch, row.commit_argument: sha},
        labels={FLAVOUR_LABEL: flavour, "ci.commit": sha, "ci.gpu_arch": arch, "ci.dockerfile": digest},
        tag=f"{_REPOSITORY}:{arch}-{sha[:12]}-{digest[:8]}",
        notes=(uncommitted,) if dirty else (),
    )


def _find_built(images: ImageCatalog, wanted: Wanted, *, engine_host: str) -> ImageFact:
    """The image when it was built before, else an unresolved one that says why it is not known."""
    source = f"built here from {wanted.dockerfile}"
    try:
        with closing(connect(engine_host)) as client:
            found = inspect_built(client, images, wanted.tag, source=source)
            return replace(found, notes=wanted.notes)
    except InfrastructureError as error:
        return image_fact(
            images,
            wanted.tag,
            source=source,
            labels=wanted.labels,
            problem=f"not built yet: {error.what}",
            notes=wanted.notes,
        )


def dockerfile_image(
    catalog: Catalog, facts: Facts, *, flavour: str, family: str, engine_host: str, build: bool, tell: Emit
) -> ImageFact:
    """The image of a run with `--from-dockerfile`; without `build` only one that was built before.

    Raises:
        UsageError: the checkout cannot be built for this hardware.
        InfrastructureError: the build failed.
    """
    commit = facts.checkout or Known(value="", source="unknown, because --checkout is not given")
    wanted = wanted_image(catalog, Path(facts.root), commit, flavour=flavour, family=family)
    if not build:
        return _find_built(catalog.images, wanted, engine_host=engine_host)
    return build_from_dockerfile(
        catalog.images,
        wanted,
        engine_host=engine_host,
        environ=facts.environ,
        emit=tell,
        log=lambda line: tell(Note(text=line)),
        stopped=lambda: False,
    )


def build_from_dockerfile(
    images: ImageCatalog,
    wanted: Wanted,
    *,
    engine_host: str,
    environ: Mapping[str, str],
    emit: Emit,
    log: Log,
    stopped: Callable[[], bool],
) -> ImageFact:
    """Build it with BuildKit, unless it is there. Nothing is pushed.

    `emit` takes `phase-progress` events, `log` every line of the build.

    Raises:
        InfrastructureError: BuildKit is missing, or the build failed, was stopped or took too long.
    """
    found = _find_built(images, wanted, engine_host=engine_host)
    if found.config_digest:
        log(f"{wanted.tag} was built before")
        return found
    env = {**environ, "DOCKER_HOST": engine_host, "DOCKER_BUILDKIT": "1"}
    argv = [
        *_buildkit(env),
        *("--progress", "plain", "--file", str(wanted.dockerfile), "--tag", wanted.tag),
        *(part for name, value in wanted.arguments.items() for part in ("--build-arg", f"{name}={value}")),
        *(part for name, value in wanted.labels.items() for part in ("--label", f"{name}={value}")),
        str(wanted.checkout),
    ]
    with tempfile.TemporaryFile() as printed:
        try:
            process = start(argv, cwd=wanted.checkout, env=env, stderr=printed, ends_with_us=True)
        except OSError as error:
            raise InfrastructureError(
                f"cannot start docker: {error.strerror}",
                cause="it is not installed",
                then="docker version",
            ) from error
        last = _follow(process, printed.fileno(), emit=emit, log=log, stopped=stopped)
    if process.returncode != 0:
        why = "it was stopped" if stopped() else f"docker build ended with {process.returncode}"
        raise InfrastructureError(
            f"cannot build {wanted.tag}: {why}",
            cause=" | ".join(last) or "it printed nothing",
            then="the whole output is above; docker system df",
        )
    return _find_built(images, wanted, engine_host=engine_host)


def _buildkit(env: Mapping[str, str]) -> list[str]:
    """How this machine's `docker` reaches BuildKit: by its plugin, or, up to version 20.10, by a variable.

    Raises:
        InfrastructureError: it does not.
    """
    if capture(["docker", "buildx", "version"], env=env).code == 0:
        return ["docker", "buildx", "build", "--load"]
    done = capture(["docker", "--version"], env=env)
    version = re.search(r"version (\d+)\.", done.text)
    if version is not None and int(version[1]) <= 20:
        return ["docker", "build"]
    raise InfrastructureError(
        "BuildKit is missing",
        cause=done.why or "this docker needs its buildx plugin",
        then="install docker-buildx-plugin (Docker's packages) or docker-buildx (Debian's)",
    )


def _follow(
    process: Process,
    printed: int,
    *,
    emit: Emit,
    log: Log,
    stopped: Callable[[], bool],
) -> list[str]:
    """Pass on the output of a build until it ends; returns its last lines."""
    deadline_s = clock.monotonic_s() + _BUILD_S
    output = _Output(printed)
    try:
        while process.poll() is None:
            if stopped() or clock.monotonic_s() > deadline_s:
                process.terminate()
            output.hand_on(emit=emit, log=log)
            clock.sleep_s(_POLL_S)
        output.hand_on(emit=emit, log=log)
    finally:
        # also what a plugin of docker's has left
        kill_group(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    return output.last


class _Output:
    """A file that a process writes and we read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._rest = b""
        self.last: list[str] = []

    def hand_on(self, *, emit: Emit, log: Log) -> None:
        """The whole lines that are new."""
        while chunk := os.pread(self._fd, _READ_BYTES, self._at):
            self._at += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if not text:
                    continue
                log(text)
                self.last = [*self.last[-2:], text]
                if step := _STEP.match(text):
                    emit(build_progress(step[1]))
