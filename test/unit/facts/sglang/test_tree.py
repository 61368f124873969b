"""Which SGLang is examined, and what happens when it is not to be had."""

import sys
from pathlib import Path

import pytest

from ci.catalog.versions import release_of
from ci.errors import InfrastructureError, UsageError
from ci.facts.sglang.tree import find_checkout, find_installed, find_release
from support.catalog_files import catalog
from support.files import git
from support.trees import write_sglang_tree

# a double of uv: it has releases 1.0 and 1.2
UV = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
  *"sglang==1.2") for word; do case "$last" in --target) mkdir -p "$word/sglang"; esac; last="$word"; done
    exit 0;;
  *"sglang=="*) echo "error: Because there is no version of sglang==9.9 and you require sglang==9.9" >&2; exit 1;;
  *lowest*) exit 1;;
  *compile*) echo "sglang==1.2"; exit 0;;
esac
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(UV.format(log=tmp_path / "log"))
    uv.chmod(0o755)
    return {"AMD_CI_CACHE": str(tmp_path / "cache"), "UV": str(uv), "PATH": "/usr/bin:/bin"}


@pytest.mark.processes
def test_a_release_is_fetched_once(tmp_path: Path, environ: dict[str, str]) -> None:
    tree = find_release("1.2", environ)
    assert tree.folder == tmp_path / "cache/sglang/1.2"
    assert tree.roots == (tree.folder / "sglang",)
    assert find_release("1.2", environ) == tree
    assert (tmp_path / "log").read_text().count("sglang==1.2") == 1


@pytest.mark.processes
def test_a_version_that_does_not_exist_is_exit_2_with_the_nearest(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(UsageError) as caught:
        find_release("9.9", environ)
    assert "SGLang has no such release" in caught.value.what
    assert caught.value.cause == "the nearest are 1.2"
    assert caught.value.then == "nox -s contract -- --sglang 1.2"
    assert [path.name for path in (tmp_path / "cache/sglang").iterdir()] == ["9.9.lock"]


@pytest.mark.processes
def test_no_network_is_exit_4_with_uv_s_words_and_leaves_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    Path(environ["UV"]).write_text('#!/bin/sh\nmkdir -p "$8"\necho "error: tcp connect error" >&2\nexit 2\n')
    with pytest.raises(InfrastructureError) as caught:
        find_release("1.2", environ)
    assert "tcp connect error" in caught.value.cause
    assert [path.name for path in (tmp_path / "cache/sglang").iterdir()] == ["1.2.lock"]


def test_what_is_no_version_is_exit_2(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="invalid version"):
        find_release("main", environ)


def test_what_is_no_tree_is_exit_2(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not"):
        find_checkout(str(tmp_path), catalog().discovery)


@pytest.mark.processes
def test_an_interpreter_without_sglang_is_exit_4_and_what_is_no_python_exit_2() -> None:
    with pytest.raises(InfrastructureError, match="has no package 'sglang'"):
        find_installed(sys.executable, {"PATH": "/usr/bin:/bin"})
    with pytest.raises(UsageError, match="not a Python"):
        find_installed("/bin/true", {})


@pytest.mark.processes
def test_a_checkout_is_at_a_release_only_when_its_commit_is_tagged(tmp_path: Path) -> None:
    tree = tmp_path / "sglang"
    write_sglang_tree(tree, {})
    assert release_of(find_checkout(str(tree), catalog().discovery).version) is None
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    git(tree, "tag", "v1.2.3")
    assert str(release_of(find_checkout(str(tree), catalog().discovery).version)) == "1.2.3"
    git(tree, "commit", "-qm", "two", "--allow-empty")
    after = find_checkout(str(tree), catalog().discovery)
    assert release_of(after.version) is None
    assert after.version.startswith("1.2.3.dev+1-g")


@pytest.mark.parametrize(
    ("content", "version"),
    [
        ('__version__ = version = "1.2.3"\n', "1.2.3"),
        ("TYPE = 1\nversion = '1.3.dev2+g12'\n", "1.3.dev2+g12"),
        ("x = 1\n", ""),
        ("x = (\n", ""),
    ],
)
def test_the_file_of_a_build_has_the_version(tmp_path: Path, content: str, version: str) -> None:
    tree = tmp_path / "sglang"
    write_sglang_tree(tree, {"python/sglang/_version.py": content})
    assert find_checkout(str(tree), catalog().discovery).version == version
