"""The agent's archive: the same bytes from every Python, and nothing in it that hides what tests import."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ci.execute.agent_file import agent_file

pytestmark = pytest.mark.in_container

REPOSITORY = Path(__file__).resolve().parents[3]
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
BUILD = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from ci.execute.agent_file import agent_file
print(agent_file().sha256)
"""


def interpreter(version: str) -> str:
    """The path of this Python; the test is skipped where it is not installed."""
    name = f"python{version}"
    candidates = [*map(str, PYENV.glob(f"versions/{version}.*/bin/{name}"))]
    # the shims of pyenv are found for every version and run only those that are chosen
    for path in [shutil.which(name) or name, *candidates]:
        try:
            subprocess.run([path, "-c", ""], stderr=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    pytest.skip(f"no Python {version} on this machine")


@pytest.mark.processes
@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_python_builds_the_same_bytes(version: str) -> None:
    argv = [interpreter(version), "-I", "-B", "-c", BUILD]
    built = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert built.stdout.strip() == agent_file().sha256


def test_its_root_contains_one_package_and_no_name_of_the_standard_library() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_file().data)) as archive:
        roots = {name.split("/")[0] for name in archive.namelist()}
        assert archive.testzip() is None
    assert roots == {"__main__.py", "amd_ci_agent"}
    assert "amd_ci_agent" not in sys.stdlib_module_names


@pytest.mark.processes
@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_python_runs_it(tmp_path: Path, version: str) -> None:
    program, spec = tmp_path / "agent.pyz", tmp_path / "spec.json"
    program.write_bytes(agent_file().data)
    spec.write_text("{}")
    ended = subprocess.run([interpreter(version), program, spec], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"invalid spec {spec}: suites is missing" in ended.stderr
