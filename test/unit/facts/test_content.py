"""The files of a tree and of installed packages."""

import sys
from pathlib import Path

import pytest

from ci.facts.content import package_digests, packages_of, tree_content
from ci.system.file_digests import FileDigests
from support.planning import catalog


def written(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def digests(tmp_path: Path) -> FileDigests:
    return FileDigests(tmp_path / "cache")


@pytest.mark.parametrize(
    ("file", "seen"),
    [
        ("test/registered/conftest.py", True),
        ("test/data.json", True),
        ("python/sglang/srt/layers/x.py", True),
        ("python/sitecustomize.py", True),
        ("conftest.py", True),
        ("torch/__init__.py", True),
        ("torch/nn.py", True),
        ("sgl-kernel/tests/helper.py", True),
        ("docs/x.md", False),
        ("README.md", False),
        ("rust/target/debug/x.so", False),
    ],
)
def test_what_can_decide_a_verdict_of_a_checkout_counts(
    tmp_path: Path, digests: FileDigests, file: str, *, seen: bool
) -> None:
    tree, ours = tmp_path / "tree", tmp_path / "ours"
    written(tree / "torch/__init__.py", "a package")
    fixed = ("sgl-kernel/tests/test_x.py",)
    written(tree / fixed[0])
    before = tree_content(tree, ours, fixed=fixed, digests=digests)
    written(tree / file)
    after = tree_content(tree, ours, fixed=fixed, digests=digests)
    assert (after != before) is seen
    assert after.tools == before.tools


@pytest.mark.processes
@pytest.mark.parametrize("file", ["engine/lib.so", "engine.libs/libgomp.so", "weights/model.gguf"])
def test_a_swapped_file_of_an_installed_package_changes_its_digest(
    tmp_path: Path, digests: FileDigests, file: str
) -> None:
    site = tmp_path / "site"
    for name in ("engine/__init__.py", "engine/lib.so", "engine.libs/libgomp.so", "weights/__init__.py"):
        written(site / name)
    written(site / "weights/model.gguf")

    def found() -> dict[str, str]:
        names, environ = ("engine", "weights", "missing"), {"PYTHONPATH": str(site)}
        return dict(package_digests(Path(sys.executable), names, environ=environ, digests=digests))

    before = found()
    assert before.keys() == {"engine", "weights"}
    written(site / file, "y")
    changed = {name for name, digest in found().items() if digest != before[name]}
    assert changed == {file.partition("/")[0].partition(".")[0]}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("file", "seen"),
    [("kernels/op.so", True), ("kernels/jit/op.so", False), ("kernels/jit/build/x.o", False)],
)
def test_what_a_package_builds_while_it_runs_does_not_count(
    tmp_path: Path, digests: FileDigests, file: str, *, seen: bool
) -> None:
    site = tmp_path / "site"
    written(site / "kernels/__init__.py")

    def found() -> dict[str, str]:
        environ, built_in = {"PYTHONPATH": str(site)}, ("kernels/jit", "kernels_of_another/jit")
        names, python = ("kernels",), Path(sys.executable)
        return dict(package_digests(python, names, environ=environ, digests=digests, built_in=built_in))

    before = found()
    written(site / file, "y")
    assert (found() != before) is seen


def test_what_the_kernels_of_a_gpu_come_from_counts_there_alone() -> None:
    rows, engine = catalog(), catalog().engines["sglang"]
    on_gpu, rehearsed = (set(packages_of(rows, engine, rehearsal=each)) for each in (False, True))
    assert {"torch", "aiter"} <= on_gpu
    assert not {"torch", "aiter"} & rehearsed
    assert {"sglang", "sgl_kernel", "pytest"} <= on_gpu & rehearsed
