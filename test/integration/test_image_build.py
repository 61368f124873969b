"""Images that are built here, through the real `inv` and on a real engine; no build reaches a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import Engine
from support.files import REPOSITORY, child_env, git

# What SGLang's has: a stage for each target, of which only the one that is meant may be built.
DOCKERFILE = """
ARG GPU_ARCH=gfx950
FROM registry.invalid/never:fetched AS gfx950
FROM scratch AS gfx942
FROM ${GPU_ARCH}
ARG GPU_ARCH
ARG SGL_BRANCH
COPY README.md /
ENV SGL_BRANCH=${SGL_BRANCH} GPU_ARCH=${GPU_ARCH}
"""


def inv(*arguments: str, engine: Engine, home: Path) -> subprocess.CompletedProcess[str]:
    # the caller's own environment: uv's cache and settings are in it, and how this machine reaches packages
    env = {
        **os.environ,
        **child_env(home / "runs"),
        "HOME": str(Path.home()),
        "DOCKER_HOST": engine.host,
        "PATH": f"/usr/bin:{os.environ['PATH']}",
    }
    argv = [sys.executable, "tasks.py", *arguments]
    return subprocess.run(
        argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tree = tmp_path / "SGLang's tree"
    (tree / "docker").mkdir(parents=True)
    (tree / "docker/rocm.Dockerfile").write_text(DOCKERFILE)
    (tree / "README.md").write_text("here\n")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "tree")
    return tree


def test_a_rehearsal_image_says_what_is_in_it(
    engine: Engine, base_image: str, rehearsal_image: str, tmp_path: Path
) -> None:
    """`rehearsal_image` was made the same way, so that all layers are there already."""
    tag = f"sglang-amd-ci-test/built:{os.getpid()}"
    arguments = ("image.build", "--rehearsal", "--base", base_image, "--tag", tag, "--json")
    try:
        done = inv(*arguments, engine=engine, home=tmp_path)
        assert done.returncode == 0, done.stderr
        built = json.loads(done.stdout)
        assert built["reference"] == tag
        assert built["config_digest"] == engine.client.api.inspect_image(tag)["Id"]
        assert built["labels"]["ci.flavour"] == "rehearsal"
        assert built["labels"]["ci.python"] == "/usr/bin/python3"
        assert built["labels"]["ci.engine.xllamacpp"]
        output = engine.client.containers.run(
            rehearsal_image,
            ["python3", "-c", "import pytest, hypothesis, xllamacpp; print('works')"],
            network_mode="none",
            remove=True,
        )
        assert output == b"works\n"
    finally:
        engine.client.api.remove_image(tag, noprune=True)


def test_a_base_that_does_not_fit_is_refused_with_the_reason(engine: Engine, tmp_path: Path) -> None:
    from support.engines import make_tiny_image  # noqa: PLC0415

    make_tiny_image(engine, "sglang-amd-ci-test/no-python:1", b"x")
    done = inv(
        "image.build", "--rehearsal", "--base", "sglang-amd-ci-test/no-python:1", engine=engine, home=tmp_path
    )
    assert done.returncode == 2
    assert "it has no python3" in done.stderr


def test_a_base_that_is_not_available_is_infrastructure(engine: Engine, tmp_path: Path) -> None:
    base = "127.0.0.1:1/no/such:1"
    done = inv("image.build", "--rehearsal", "--base", base, engine=engine, home=tmp_path)
    assert done.returncode == 4
    assert f"the base {base} is not in the local store and cannot be pulled" in done.stderr
    assert "--base REF" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commit_under_test_is_in_the_image_and_other_stages_are_not_fetched(
    engine: Engine, checkout: Path, tmp_path: Path
) -> None:
    arguments = ("image.build", "--checkout", str(checkout), "--rocm", "700", "--family", "mi30x", "--json")
    done = inv(*arguments, engine=engine, home=tmp_path)
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    commit = git(checkout, "rev-parse", "HEAD")
    try:
        config = engine.client.api.inspect_image(built["reference"])["Config"]
        assert {"GPU_ARCH=gfx942", f"SGL_BRANCH={commit}"} <= set(config["Env"])
        assert built["flavour"] == "rocm700"
        assert built["labels"]["ci.commit"] == commit
        again = inv(*arguments[:-1], engine=engine, home=tmp_path)
        assert "was built before" in again.stderr
    finally:
        engine.client.api.remove_image(built["reference"], noprune=True)


def test_a_build_that_fails_is_infrastructure_with_its_last_lines(
    engine: Engine, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "docker/rocm.Dockerfile").write_text(DOCKERFILE.replace("README.md", "absent.md"))
    done = inv("image.build", "--checkout", str(checkout), "--family", "mi30x", engine=engine, home=tmp_path)
    assert done.returncode == 4
    assert "absent.md" in done.stderr.partition("cause:")[2]
    assert "changes that are not committed are not in the image" in done.stderr
