"""The rehearsal's image: which base fits, and what is refused before anything is built."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ci.errors import InfrastructureError, UsageError
from ci.images import build_rehearsal as build
from ci.system.process import Completed


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


def test_packages_that_are_not_available_are_infrastructure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Completed(argv=(), code=2, stdout=b"", stderr=b"error: no solution found")
    monkeypatch.setattr(build, "find_uv", lambda _environ: "uv")
    monkeypatch.setattr(build, "capture", lambda _argv, **_keywords: failed)
    base = build._Base(python="python3", version="3.11.2", site="/x")
    with pytest.raises(InfrastructureError, match="no solution found"):
        build._install(tmp_path / "packages", ("model",), base, {})
