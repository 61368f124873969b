"""The stand-in image: small local packages named triton, torch and amd-aiter in the base image, installed as SGLang's are.

AITER's folder is a git repository in /sgl-workspace; the bare repository beside it has a newer commit for a rebuild.
"""

import io
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.engine_images import key_of
from support.engines import Engine
from support.files import REPOSITORY

__all__ = ["AITER_REPOSITORY", "STAMP", "StandIn", "build_standin_image", "standin"]

SOURCES = REPOSITORY / "test/data/standins"
# not a plain path: git would link files out of the image's layer, which some storage drivers refuse
AITER_REPOSITORY = "file:///opt/standins/aiter.git"
STAMP = "gfx942-rocm720"
# the same commits on every machine and day
WHEN = "2026-05-29T00:00:00+00:00"

DOCKERFILE = f"""\
ARG BASE
FROM ${{BASE}}
COPY standins /opt/standins
ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip's own words: 0 means that nothing is built in isolation, for which an index would be needed
ENV PIP_NO_BUILD_ISOLATION=0
ENV GPU_ARCH={STAMP}
WORKDIR /sgl-workspace
RUN git clone -q {AITER_REPOSITORY} aiter && git -C aiter checkout -q image \\
 && python3 -m pip install --quiet --no-build-isolation /opt/standins/triton /opt/standins/torch \\
 && AITER_USE_SYSTEM_TRITON=1 python3 -m pip install --quiet --no-build-isolation \\
    --config-settings editable_mode=compat -e ./aiter
"""


@dataclass(frozen=True)
class StandIn:
    """An image, and the commits of its AITER: the one that it has and a newer one."""

    reference: str
    old: str
    new: str


@pytest.fixture(scope="session")
def standin(engine: Engine, base_image: str) -> StandIn:
    """The image in the session's engine."""
    return build_standin_image(engine, base_image)


def build_standin_image(engine: Engine, base: str) -> StandIn:
    """Build it in an engine that does not have it yet; takes 6 s on two cores."""
    with tempfile.TemporaryDirectory(prefix="amdci-standins-") as scratch:
        old, new = aiter_repository(Path(scratch))
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(DOCKERFILE)
            archive.addfile(entry, io.BytesIO(DOCKERFILE.encode()))
            for name in ("triton", "torch"):
                archive.add(SOURCES / name, f"standins/{name}")
            archive.add(Path(scratch) / "aiter.git", "standins/aiter.git")
    sources = [path.read_bytes() for path in sorted(SOURCES.rglob("*")) if path.suffix in (".py", ".toml")]
    reference = f"sglang-amd-ci-test/standins:{key_of(base, DOCKERFILE, *sources)}"
    if not engine.has(reference):
        context.seek(0)
        events = engine.client.api.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            buildargs={"BASE": base},
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
        )
        output = ""
        for event in events:
            output += event.get("stream", "")
            assert "error" not in event, f"{event['error']}\n{output[-2000:]}"
    return StandIn(reference=reference, old=old, new=new)


def aiter_repository(scratch: Path) -> tuple[str, str]:
    """A bare repository of the stand-in AITER: the commit of tag `image` and a newer one on main."""
    tree = scratch / "tree"
    env = {
        **os.environ,
        **{f"GIT_{who}_DATE": WHEN for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_NAME": "Test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main", str(tree))
    for path in sorted((SOURCES / "aiter").rglob("*")):
        target = tree / path.relative_to(SOURCES / "aiter")
        if path.is_file() and "__pycache__" not in path.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    git("-C", str(tree), "add", "-A")
    git("-C", str(tree), "commit", "-q", "-m", "the image's")
    git("-C", str(tree), "tag", "image")
    with (tree / "aiter/__init__.py").open("a") as file:
        file.write('\n\nNEWER = "yes"\n')
    git("-C", str(tree), "commit", "-q", "-a", "-m", "newer")
    git("clone", "-q", "--bare", str(tree), str(scratch / "aiter.git"))
    return git("-C", str(tree), "rev-parse", "image"), git("-C", str(tree), "rev-parse", "main")
