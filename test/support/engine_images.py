"""The images that tests run in and move about: made here, from a Debian root and this repository's pins; nothing is pulled."""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog
from ci.images.build_rehearsal import IN_IMAGE, build_rehearsal
from support.docker_engines import Engine, need
from support.files import REPOSITORY

__all__ = ["CACHE", "fixture_images", "make_base_image", "make_python_image", "make_tiny_image"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sglang-amd-ci" / "test"

DEBIAN = "bookworm"
PACKAGES = ("git", "libgomp1", "python3", "python3-pip", "python3-venv")
# what no test reads and every import and build would carry
NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists")

DEBIAN_KEY = hashlib.sha256(repr((DEBIAN, PACKAGES, NOT_NEEDED)).encode()).hexdigest()[:12]

# image by name: the dependency groups over the base
PYTHON_IMAGES = {"small": ("container",), "rehearsal": IN_IMAGE}

# seconds; a catalog of a test's own is not asked how the images are built


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One at a time over all sessions of this user."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def debian_tar() -> Path:
    """A Debian root with Python, pip and git as a tar; made once by debootstrap and kept in the user's cache."""
    tar = CACHE / f"debian-{DEBIAN}-{DEBIAN_KEY}.tar"
    with locked("debian"):
        if tar.is_file():
            return tar
        need("debootstrap")
        with tempfile.TemporaryDirectory(prefix="amdci-debian-", dir="/tmp") as scratch:
            root = Path(scratch) / "root"
            argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, str(root)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                lines = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
                pytest.fail(
                    f"cannot create the images' Debian root: debootstrap ended with {done.returncode}\n{lines}"
                )
            for path in NOT_NEEDED:
                shutil.rmtree(root / path, ignore_errors=True)
            draft = tar.with_suffix(".new")
            with tarfile.open(draft, "w") as archive:
                archive.add(root, arcname=".", filter=without_devices)
            draft.replace(tar)
    return tar


def without_devices(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The engine gives each container devices of its own."""
    return None if entry.isdev() else entry


def key_of(*parts: str | bytes) -> str:
    """Names an image by what it is made from, so that an engine that has it need not make it again."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return digest.hexdigest()[:12]


def make_tiny_image(engine: Engine, reference: str, *layers: bytes) -> str:
    """An image of some files and nothing else, a layer for each: for what pulls and pushes and never starts it.

    Its config digest is returned. Layers that must not be shared with another test's are random bytes.
    """
    repository, _, tag = reference.rpartition(":")
    for number, content in enumerate(layers):
        lines = [f"FROM {reference}" if number else "FROM scratch", f"COPY content /content-{number}"]
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, data in (("Dockerfile", "\n".join(lines).encode()), ("content", content)):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        context.seek(0)
        events = engine.client.api.build(
            fileobj=context, custom_context=True, tag=f"{repository}:{tag}", rm=True, decode=True
        )
        for event in events:
            assert "error" not in event, event
    return str(engine.client.api.inspect_image(reference)["Id"])


def base_name() -> str:
    """The base image's name."""
    return f"sglang-amd-ci-test/base:{DEBIAN_KEY}"


def python_name(name: str, base: str, groups: tuple[str, ...]) -> str:
    """The name of an image of these dependency groups."""
    pins = [(REPOSITORY / "requirements" / f"{group}.txt").read_bytes() for group in groups]
    how = [
        (REPOSITORY / "ci/images" / file).read_bytes()
        for file in ("build_rehearsal.py", "rehearsal.Dockerfile")
    ]
    return f"sglang-amd-ci-test/{name}:{key_of(base, *pins, *how)}"


def fixture_images() -> set[str]:
    """The names of the fixtures' images as they are today."""
    return {base_name(), *(python_name(name, base_name(), groups) for name, groups in PYTHON_IMAGES.items())}


def make_base_image(engine: Engine) -> str:
    """Debian's root as an image: Python 3.11 with pip, setuptools and venv, and git."""
    name = base_name()
    if not engine.has(name):
        tar = debian_tar()
        repository, _, tag = name.rpartition(":")
        changes = ["CMD python3", "ENV LANG=C.UTF-8"]
        engine.client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=changes)
    return name


def make_python_image(engine: Engine, base: str, name: str) -> str:
    """The base with the packages of some dependency groups, made as `./inv image.build --rehearsal` makes one."""
    groups = PYTHON_IMAGES[name]
    tag = python_name(name, base, groups)
    if not engine.has(tag):
        build_rehearsal(
            base=base,
            tag=tag,
            engine_host=engine.host,
            environ=dict(os.environ),
            images=load_catalog().images,
            emit=lambda _event: None,
            log=lambda _line: None,
            groups=groups,
        )
    return tag
