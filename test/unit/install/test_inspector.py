"""The program that looks at an installation from inside: on every Python that an image may have."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ci.install import inspector
from support.measured import measured_environ

pytestmark = [pytest.mark.in_container, pytest.mark.processes]

INSPECTOR = Path(inspector.__file__)


def ask(
    mode: str,
    question: Any,
    *,
    cwd: Path | str = "/",
    path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
) -> tuple[int, list[dict[str, Any]], str]:
    """The answers of a real call; `path` are folders with packages."""
    done = subprocess.run(
        [
            sys.executable,
            str(INSPECTOR),
            mode,
            question if isinstance(question, str) else json.dumps(question),
        ],
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(one) for one in path),
            **measured_environ(),
            **(env or {}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def package(folder: Path, name: str = "pack", version: str = "1.0", body: str = "VALUE = 1\n") -> Path:
    """A package as an installer leaves it."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(
        f"{name}/__init__.py,sha256=abc,9\n{name}/__pycache__/__init__.pyc,,\n"
        f"{info.name}/METADATA,sha256=def,50\n{info.name}/INSTALLER,sha256=xyz,4\n{info.name}/RECORD,,\n"
    )
    return info


def fingerprint(folder: Path, starts: Sequence[Path | str] = ("/",)) -> dict[str, Any]:
    code, (answer,), _ = ask(
        "fingerprint", {"protected": {"pack": "pack"}, "starts": [str(one) for one in starts]}, path=[folder]
    )
    assert code == 0
    return answer


def test_a_distribution_is_known_by_version_files_and_place(tmp_path: Path) -> None:
    package(tmp_path, body="raise SystemExit('fingerprints import nothing')\n")
    answer = fingerprint(tmp_path, starts=("/", "/no/such/folder"))
    (row,) = answer["distributions"]
    assert (row["version"], len(row["record"])) == ("1.0", 16)
    assert row["imported"] == {"/": str(tmp_path / "pack/__init__.py")}
    assert answer["absent"] == ["/no/such/folder"]


def test_another_installer_of_the_same_files_is_not_a_change_and_another_file_is(tmp_path: Path) -> None:
    info = package(tmp_path)
    before = fingerprint(tmp_path)["distributions"][0]["record"]
    record = info / "RECORD"
    record.write_text(record.read_text().replace("xyz", "other"))
    assert fingerprint(tmp_path)["distributions"][0]["record"] == before
    record.write_text(record.read_text().replace("abc", "changed"))
    assert fingerprint(tmp_path)["distributions"][0]["record"] != before


def test_what_is_not_installed_is_empty_and_a_folder_of_its_name_is_not_a_shadow(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (row,) = fingerprint(tmp_path, starts=(tmp_path,))["distributions"]
    assert (row["version"], row["shadowed"]) == ("", {})


@pytest.fixture
def hidden(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A package that only a late finder finds, and a start directory with a folder of its name."""
    site, start = tmp_path / "site", tmp_path / "start"
    info = package(tmp_path / "real")
    site.mkdir()
    info.rename(site / info.name)
    (start / "pack").mkdir(parents=True)
    real = tmp_path / "real/pack/__init__.py"
    (site / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        return importlib.util.spec_from_file_location(name, {str(real)!r}) if name == 'pack' else None\n"
        "sys.meta_path.append(Finder)\n"
    )
    return site, start, real


def test_an_empty_namespace_is_seen_from_the_directory_where_it_hides_the_package(
    hidden: tuple[Path, Path, Path],
) -> None:
    site, start, real = hidden
    (row,) = fingerprint(site, starts=("/", start))["distributions"]
    assert row["imported"] == {"/": str(real)}
    assert row["shadowed"] == {str(start): str(start / "pack")}
    code, answers, _ = ask("import", {"names": ["pack.VALUE"]}, cwd=start, path=[site])
    assert code == 0
    assert answers[1]["shadowed_by"] == str(start / "pack")
    assert answers[1]["real"] == str(real)
    assert "VALUE" in answers[1]["problem"]
    _, answers, _ = ask("import", {"names": ["pack.VALUE"]}, cwd="/", path=[site])
    assert answers[1]["problem"] == ""


def test_imports_tell_what_went_wrong_and_go_on(tmp_path: Path) -> None:
    package(tmp_path, body="print('noise on stdout')\nVALUE = 1\n")
    package(tmp_path, name="leaves", body="raise SystemExit(3)\n")
    names = ["leaves", "pack.VALUE", "pack.NOTHING", "json.decoder.JSONDecoder", "no_such.thing"]
    code, answers, err = ask("import", {"names": names}, path=[tmp_path])
    found = {answer["name"]: answer["problem"] for answer in answers if "name" in answer}
    assert code == 0
    assert "noise on stdout" in err
    assert found["pack.VALUE"] == found["json.decoder.JSONDecoder"] == ""
    assert found["leaves"] == "SystemExit: 3"
    assert "pack.NOTHING" in found["pack.NOTHING"]
    assert found["no_such.thing"] == "ModuleNotFoundError: No module named 'no_such'"


def test_a_crash_leaves_the_name_under_way(tmp_path: Path) -> None:
    package(tmp_path, body="import os\nos.abort()\n")
    code, answers, _ = ask("import", {"names": ["json", "pack"]}, path=[tmp_path])
    assert code != 0
    assert answers[-1] == {"importing": "pack"}


QUESTION = {
    "dirs": ["/proc", "/no/such"],
    "variables": ["GPU_ARCH", "NOT_SET"],
    "programs": ["git", "no-such-program"],
}


def test_facts_need_no_import_of_torch(tmp_path: Path) -> None:
    package(tmp_path, name="torch", version="2.9.1", body="raise SystemExit('facts import nothing')\n")
    (tmp_path / "torch/version.py").write_text("from typing import Optional\nhip: Optional[str] = '7.2.1'\n")
    info = package(tmp_path, name="amd_aiter", version="0.1")
    (info / "direct_url.json").write_text('{"url": "x", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}')
    tree = tmp_path / "aiter"
    for arguments in (["init", "-q", str(tree)], ["-C", str(tree), "-c", "user.name=T", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "x"]):  # fmt: skip
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    question = {
        **QUESTION,
        "distributions": ["amd-aiter", "nothing"],
        "repositories": {"amd-aiter": str(tree), "none": str(tmp_path)},
        "git_timeout_s": 30,
    }
    code, (answer,), _ = ask("facts", question, path=[tmp_path], env={"GPU_ARCH": "gfx942"})
    assert code == 0
    assert answer["torch"] == {"version": "2.9.1", "hip": "7.2.1", "lib": str(tmp_path / "torch/lib")}
    assert answer["variables"] == {"GPU_ARCH": "gfx942"}
    assert list(answer["programs"]) == ["git"]
    assert answer["dirs"] == ["/proc"]
    assert answer["distributions"] == {
        "amd-aiter": {"version": "0.1", "commit": "c0ffee"},
        "nothing": {"version": "", "commit": ""},
    }
    assert len(answer["repositories"]["amd-aiter"]["head"]) == 40
    assert answer["repositories"]["none"] == {"head": "", "modified": False}


def test_kill_ends_everything_that_has_the_token_and_nothing_else(
    tmp_path: Path,
) -> None:
    token = f"amdci-test-{os.getpid()}"
    for name in (token, f"{token}x"):
        (tmp_path / name / "1/test").mkdir(parents=True)
    stubborn = "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    started: list[subprocess.Popen[bytes]] = []
    for value in (token, token + "x"):
        env = {**os.environ, "ANY_NAME": value}
        process = subprocess.Popen(
            [sys.executable, "-c", stubborn], env=env, stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
    try:
        code, (answer,), _ = ask("kill", token, env={"TMPDIR": str(tmp_path)})
        assert code == 0
        assert [row["pid"] for row in answer["killed"]] == [started[0].pid]
        assert started[0].wait(timeout=10) == -9
        assert started[1].poll() is None
        assert [path.name for path in tmp_path.iterdir()] == [f"{token}x"]
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.mark.parametrize(
    "arguments", [[], ["facts"], ["dance", "{}"], ["facts", "not json"], ["facts", "{}", "x"]]
)
def test_an_invalid_call_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert inspector.main(arguments) == 2
    assert capsys.readouterr().err
