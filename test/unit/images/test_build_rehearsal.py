"""What can be built from here, and what is refused before anything is built."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.decode import Reader
from ci.catalog.image_builds import load_builds
from ci.errors import InfrastructureError, UsageError
from ci.images import build_rehearsal as build
from ci.images.build_sglang import wanted_image
from ci.plan.facts import Known
from ci.system.process import Completed

SHA = "6e9bd8271a3f" + "0" * 28


class Double:
    """An engine's client as far as a base is asked for its Python; what it prints is given."""

    def __init__(self, printed: str, code: int = 0) -> None:
        self.printed, self.code = printed, code
        self.removed = False
        self.containers = self

    def create(self, *_arguments: Any, **_keywords: Any) -> "Double":
        return self

    def start(self) -> None:
        pass

    def wait(self, **_keywords: Any) -> dict[str, int]:
        return {"StatusCode": self.code}

    def logs(self, **_keywords: Any) -> bytes:
        return self.printed.encode()

    def remove(self, *, force: bool) -> None:
        self.removed = force


@pytest.fixture(autouse=True)
def no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def faults() -> Iterator[None]:
        yield

    monkeypatch.setattr(build, "faults", faults)


def probed(
    *, version: tuple[int, ...] = (3, 11, 2), libc: str = "2.36", machine: str = "x86_64", gomp: bool = True
) -> str:
    return json.dumps(["/usr/bin/python3", list(version), "/usr/lib/site", libc, machine, gomp])


def refused(printed: str, code: int = 0) -> str:
    double = Double(printed, code)
    with pytest.raises(UsageError) as caught:
        build._probe(double, "a-base")
    assert double.removed
    return caught.value.render()


class TestBase:
    def test_a_base_that_fits(self) -> None:
        double = Double(probed())
        assert build._probe(double, "a-base") == build._Base(
            python="/usr/bin/python3", version="3.11.2", site="/usr/lib/site"
        )
        assert double.removed

    def test_every_problem_is_reported_at_once(self) -> None:
        text = refused(probed(version=(3, 9, 1), libc="", machine="aarch64", gomp=False))
        for words in ("its Python is 3.9.1", "made for aarch64", "not glibc", "libgomp1"):
            assert words in text

    @pytest.mark.parametrize(
        ("libc", "fits"), [("2.27", False), ("2.28", True), ("2.4", False), ("3.0", True)]
    )
    def test_versions_of_glibc_are_compared_as_numbers(self, libc: str, *, fits: bool) -> None:
        assert bool(build._misfits((3, 11), libc, "x86_64", gomp=True)) != fits

    def test_a_base_without_python(self) -> None:
        assert "it has no python3 on its PATH" in refused("exec python3 failed", code=127)

    def test_a_python_that_fails(self) -> None:
        assert "its python3 ended with 1" in refused("Traceback", code=1)


@pytest.mark.parametrize(
    ("text", "done", "total"),
    [("Step 3/5 : COPY a b", 3, 5), ("Step x : COPY", None, None), ("Step ", None, None)],
)
def test_a_step_of_a_build_is_progress(text: str, done: int | None, total: int | None) -> None:
    event = build._step(text)
    assert (event.phase, event.done, event.total) == (
        "build",
        done,
        total,
    )


class TestFromDockerfile:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker/rocm.Dockerfile").write_text("FROM scratch\n")
        return tmp_path

    def test_the_stage_and_the_commit_under_test_are_its_arguments(
        self, catalog: Catalog, checkout: Path
    ) -> None:
        commit = Known(value=SHA, source="git")
        wanted = wanted_image(catalog, checkout, commit, flavour="rocm720", family="mi35x")
        assert dict(wanted.arguments) == {"ARCH": "gfx950-rocm720", "COMMIT": SHA}
        assert wanted.tag.startswith("sglang-amd-ci/sglang:gfx950-rocm720-6e9bd8271a3f-")
        assert wanted.notes == ()

    def test_another_dockerfile_is_another_image(self, catalog: Catalog, checkout: Path) -> None:
        commit = Known(value=SHA, source="git")
        before = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        (checkout / "docker/rocm.Dockerfile").write_text("FROM scratch\n# changed\n")
        after = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        assert before.tag != after.tag

    def test_what_is_not_committed_is_not_in_it_and_that_is_reported(
        self, catalog: Catalog, checkout: Path
    ) -> None:
        commit = Known(value=f"{SHA}+dirty.0123456789ab", source="git")
        wanted = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        assert wanted.arguments["COMMIT"] == SHA
        assert "changes that are not committed" in wanted.notes[0]

    @pytest.mark.parametrize(
        ("commit", "family", "words"),
        [
            ("", "mi30x", "unknown, because"),
            (SHA, "", "a machine without an AMD GPU"),
            (SHA, "mi99x", "no stage of"),
        ],
    )
    def test_what_cannot_be_built(
        self, catalog: Catalog, checkout: Path, commit: str, family: str, words: str
    ) -> None:
        known = Known(value=commit, source="unknown, because git says no")
        with pytest.raises(UsageError, match=words):
            wanted_image(catalog, checkout, known, flavour="rocm700", family=family)

    def test_a_tree_without_a_dockerfile(self, catalog: Catalog, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot read .*rocm\.Dockerfile"):
            wanted_image(catalog, tmp_path, Known(value=SHA, source=""), flavour="rocm700", family="mi30x")


def test_packages_that_are_not_available_are_infrastructure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Completed(argv=(), code=2, stdout=b"", stderr=b"error: no solution found")
    monkeypatch.setattr(build, "find_uv", lambda _environ: "uv")
    monkeypatch.setattr(build, "capture", lambda _argv, **_keywords: failed)
    base = build._Base(python="python3", version="3.11.2", site="/x")
    with pytest.raises(InfrastructureError, match="no solution found"):
        build._install(tmp_path / "packages", ("model",), base, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "0 rows"), ('[[base]]\nreference = "a"\nwhy = "b"\nsource = "c"\ntag = "d"\n', "tag")],
)
def test_rows_of_builds_are_checked(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "builds.toml").write_text(text)
    reader = Reader(tmp_path)
    load_builds(reader)
    assert any(words in str(problem) for problem in reader.problems)
