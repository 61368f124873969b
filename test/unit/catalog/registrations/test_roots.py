"""Discovery over whole trees: SGLang's 781 files as stubs, and trees with something wrong in them."""

import gc
import os
from collections import Counter
from pathlib import Path

import pytest

from ci.catalog.decode import Reader
from ci.catalog.discovery import DiscoveryRules, load_discovery
from ci.catalog.registrations.parse import Discovery, discover
from ci.catalog.registrations.roots import is_sglang_tree, require_sglang_tree
from ci.catalog.toml_reader import CATALOG_DIR
from ci.errors import Problem, UsageError
from support.trees import registrations, write_sglang_tree, write_stub_tree

GOOD = 'register_amd_ci(60, "s")\nif __name__ == "__main__":\n    main()\n'


def load(folder: Path | None = None) -> tuple[DiscoveryRules, list[Problem]]:
    reader = Reader(folder or CATALOG_DIR)
    return load_discovery(reader), reader.problems


RULES, RULE_PROBLEMS = load()


def sglang(tree: Path, *backends: str) -> Discovery:
    return discover(tree, RULES, layout="sglang", backends=backends)


def places(found: Discovery) -> list[str]:
    return [problem.where for problem in found.problems]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stub_tree(tmp_path_factory.mktemp("sglang"))


# --- SGLang's tree


def test_every_registration_of_sglang_is_found_as_it_is(stubs: Path) -> None:
    found = sglang(stubs)
    assert found.problems == ()
    assert (found.files_seen, len(found.kinds)) == (781, 781)
    keys = ("file", "backend", "suite", "est_time_s", "nightly", "disabled")
    expected = Counter(tuple(row[key] for key in keys) for row in registrations())
    assert Counter(tuple(getattr(one, key) for key in keys) for one in found.registrations) == expected
    assert expected.total() == 1053
    assert Counter(one.backend for one in found.registrations) == {
        "cuda": 413,
        "cpu": 262,
        "amd": 243,
        "npu": 130,
        "xpu": 5,
    }


def test_the_order_is_by_file_and_line(stubs: Path) -> None:
    found = sglang(stubs)
    order = [(one.file, one.line) for one in found.registrations]
    assert order == sorted(order)
    assert sglang(stubs) == found


def test_one_backend_costs_only_its_own_files(stubs: Path) -> None:
    found = sglang(stubs, "amd")
    files = {row["file"] for row in registrations() if row["backend"] == "amd"}
    assert found.registrations == tuple(one for one in sglang(stubs).registrations if one.backend == "amd")
    assert set(found.kinds) == files
    assert (found.files_seen, len(found.kinds), found.problems) == (781, len(files), ())


def test_files_beside_the_jit_kernels_are_found_by_their_names(tmp_path: Path) -> None:
    kernels = "python/sglang/jit_kernel"
    tree = write_sglang_tree(
        tmp_path,
        {
            "test/registered/a/test_a.py": GOOD,
            f"{kernels}/tests/deep/test_b.py": GOOD,
            f"{kernels}/tests/helper.py": "no python (",
            f"{kernels}/benchmark/bench_c.py": GOOD,
            f"{kernels}/benchmark/test_d.py": "no python (",
            f"{kernels}/benchmark/bench_e.py": "x = 1",
        },
    )
    found = sglang(tree)
    assert [one.file for one in found.registrations] == [
        f"{kernels}/benchmark/bench_c.py",
        f"{kernels}/tests/deep/test_b.py",
        "test/registered/a/test_a.py",
    ]
    assert places(found) == [f"{kernels}/benchmark/bench_e.py:1"]


def test_our_own_tree_has_one_root(tmp_path: Path) -> None:
    write_sglang_tree(
        tmp_path, {"test/registered/test_a.py": GOOD, "python/sglang/jit_kernel/tests/test_b.py": GOOD}
    )
    assert [one.file for one in discover(tmp_path, RULES).registrations] == ["test/registered/test_a.py"]


def test_a_missing_folder_matters_only_where_it_is_required(tmp_path: Path) -> None:
    found = sglang(tmp_path)
    assert places(found) == ["test/registered"]
    assert "missing" in found.problems[0].what


# --- files that must register


def test_files_without_a_registration_are_named_and_exempt_ones_are_not(tmp_path: Path) -> None:
    base = "test/registered"
    tree = write_sglang_tree(
        tmp_path,
        {
            f"{base}/test_none.py": "def test_x(): ...",
            f"{base}/test_comment.py": "# register_amd_ci(60, 's')",
            f"{base}/test_empty.py": "",
            f"{base}/conftest.py": "",
            f"{base}/deep/__init__.py": "",
            f"{base}/cpu/utils.py": "",
            f"{base}/gpu/utils.py": "",
            f"{base}/notes.txt": "",
            f"{base}/not_conftest.py": "",
        },
    )
    found = sglang(tree)
    assert places(found) == [
        f"{base}/{name}:1"
        for name in ("gpu/utils.py", "not_conftest.py", "test_comment.py", "test_empty.py", "test_none.py")
    ]
    assert {problem.what for problem in found.problems} == {"has no registration"}
    assert len(found.kinds) == 1


def test_a_registration_elsewhere_is_enough_for_one_backend(tmp_path: Path) -> None:
    tree = write_sglang_tree(
        tmp_path,
        {
            "test/registered/test_cuda.py": 'register_cuda_ci(1, "s"',
            "test/registered/test_none.py": "",
            "test/registered/test_both.py": 'register_cuda_ci("bad", "s")\n' + GOOD,
        },
    )
    found = sglang(tree, "amd")
    assert [one.file for one in found.registrations] == ["test/registered/test_both.py"]
    assert places(found) == ["test/registered/test_both.py:1", "test/registered/test_none.py:1"]


# --- what is broken hides nothing


def test_every_broken_file_is_named_and_every_good_one_is_found(tmp_path: Path) -> None:
    base = "test/registered"
    broken: dict[str, str | bytes] = {
        "bad_argument.py": 'register_amd_ci("60", "s")',
        "bytes.py": b"# register_amd_ci\nx = '\xff'",
        "deep.py": "register_amd_ci(" + "-" * 100_000 + "1, 's')",
        "nested.py": "if True:\n    register_amd_ci(60, 's')",
        "nul.py": b"register_amd_ci(60, 's')\x00",
        "syntax.py": "register_amd_ci(60, 's')\ndef f(:",
        "text.py": "register_amd_ci is mentioned",
    }
    tree = write_sglang_tree(
        tmp_path,
        {f"{base}/{name}": text for name, text in broken.items()}
        | {f"{base}/good_{n}.py": GOOD for n in range(3)},
    )
    (tree / base / "link.py").symlink_to("nowhere.py")
    (tree / base / "loop.py").symlink_to("loop.py")
    os.mkfifo(tree / base / "pipe.py")
    found = sglang(tree)
    assert [one.file for one in found.registrations] == [f"{base}/good_{n}.py" for n in range(3)]
    named = {place.partition(":")[0] for place in places(found)}
    assert named == {f"{base}/{name}" for name in [*broken, "link.py", "loop.py", "pipe.py"]}
    assert len(found.problems) == len(named)
    assert f"{base}/syntax.py:2" in places(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_the_user_may_not_read_is_named(tmp_path: Path) -> None:
    tree = write_sglang_tree(tmp_path, {"test/registered/a.py": GOOD, "test/registered/shut/b.py": GOOD})
    (tree / "test/registered/a.py").chmod(0)
    (tree / "test/registered/shut").chmod(0)
    try:
        found = sglang(tree)
    finally:
        (tree / "test/registered/shut").chmod(0o700)
    assert places(found) == ["test/registered/a.py", "test/registered/shut"]


def test_a_file_that_vanishes_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = write_sglang_tree(tmp_path, {"test/registered/a.py": GOOD, "test/registered/b.py": GOOD})
    read_bytes = Path.read_bytes

    def vanish(path: Path) -> bytes:
        if path.name == "a.py":
            path.unlink()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", vanish)
    found = sglang(tree)
    assert places(found) == ["test/registered/a.py"]
    assert [one.file for one in found.registrations] == ["test/registered/b.py"]


# --- the walk


def test_hidden_and_cached_files_are_left_out(tmp_path: Path) -> None:
    base = "test/registered"
    names = [".git/a.py", "__pycache__/b.py", ".#c.py", "deep/.venv/d.py", "deep/e.py", "folder.py/f.py"]
    tree = write_sglang_tree(tmp_path, {f"{base}/{name}": GOOD for name in names})
    found = sglang(tree)
    assert [one.file for one in found.registrations] == [f"{base}/deep/e.py", f"{base}/folder.py/f.py"]
    assert found.problems == ()


def test_links_cannot_loop_or_hide_files(tmp_path: Path) -> None:
    base = "test/registered"
    tree = write_sglang_tree(tmp_path / "tree", {f"{base}/a/b/test_x.py": GOOD})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / base / "a/b/up").symlink_to("../..")
    (tree / base / "again").symlink_to("a")
    (tree / base / "out").symlink_to(outside)
    (tree / base / "test_y.py").symlink_to("a/b/test_x.py")
    found = sglang(tree)
    assert [one.file for one in found.registrations] == [f"{base}/a/b/test_x.py", f"{base}/test_y.py"]
    assert places(found) == [f"{base}/out"]


def test_a_linked_tree_is_walked(tmp_path: Path) -> None:
    write_sglang_tree(tmp_path / "real", {"test/registered/a.py": GOOD})
    (tmp_path / "link").symlink_to("real")
    assert [one.file for one in sglang(tmp_path / "link").registrations] == ["test/registered/a.py"]


def test_a_name_that_is_not_text_is_a_problem_that_can_be_printed(tmp_path: Path) -> None:
    tree = write_sglang_tree(tmp_path, {"test/registered/a.py": GOOD})
    (tree / "test/registered" / os.fsdecode(b"b\xff.py")).write_text(GOOD)
    found = sglang(tree)
    assert len(found.registrations) == 1
    assert len(found.problems) == 1
    assert str(found.problems[0]).encode("ascii")


def test_the_collector_is_on_again_afterwards(stubs: Path) -> None:
    assert gc.isenabled()
    sglang(stubs)
    assert gc.isenabled()


# --- is it SGLang's tree?


def test_an_sglang_checkout_is_known(stubs: Path, tmp_path: Path) -> None:
    assert is_sglang_tree(stubs, RULES)
    assert not is_sglang_tree(tmp_path, RULES)
    require_sglang_tree(stubs, RULES)


@pytest.mark.parametrize(
    ("made", "asked", "says"),
    [
        ([], ".", "another project"),
        ([], "nowhere", "no such folder"),
        (["file"], "file", "not a folder"),
        (["python/sglang/__init__.py", "test/srt/run_suite.py"], ".", "test/srt era"),
        (["python/sglang/__init__.py"], "python", "another project"),
    ],
)
def test_a_wrong_checkout_is_refused_with_what_was_looked_for(
    tmp_path: Path, made: list[str], asked: str, says: str
) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError) as caught:
        require_sglang_tree(tmp_path / asked, RULES)
    text = caught.value.render()
    assert "error (exit 2)" in text
    assert says in text
    assert "test/registered: does not exist" in text


# --- the rules themselves


def test_our_rules_have_no_problems() -> None:
    assert RULE_PROBLEMS == []
    assert set(RULES.registrars.values()) == {"amd", "cpu", "cuda", "npu", "xpu", "musa", "mlx"}


def test_every_problem_of_the_rules_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "discovery.toml").write_text(
        """
        [[registrar]]
        id = "register_AMD"
        backend = 5
        source = "x"

        [[tree]]
        id = "own"
        title = "ours"
        markers = "ci"

        [[root]]
        id = "a"
        tree = "sglong"
        path = "/absolute"
        glob = "*.py"
        why = "x"
        must_registr = true

        [[root]]
        id = "a"
        tree = "own"
        path = "ok"
        glob = "*.py"
        required = "yes"
        why = "x"
        source = "x"

        [[exempt]]
        id = "../x"
        why = "x"

        [[exmpt]]
        id = "x"
        """
    )
    _, problems = load(tmp_path)
    assert {problem.where.partition(": ")[2] for problem in problems} == {
        "exempt[../x].id",
        "exempt[../x].source",
        "exmpt",
        "registrar[register_AMD].backend",
        "registrar[register_AMD].id",
        "root[a].id",
        "root[a].must_registr",
        "root[a].path",
        "root[a].required",
        "root[a].source",
        "root[a].tree",
        "tree[own].markers",
    }


def test_exempt_names_are_whole_names() -> None:
    assert RULES.is_exempt("conftest.py")
    assert RULES.is_exempt("a/conftest.py")
    assert not RULES.is_exempt("a/my_conftest.py")
    assert RULES.is_exempt("test/registered/cpu/utils.py")
    assert not RULES.is_exempt("test/registered/gpu/utils.py")
