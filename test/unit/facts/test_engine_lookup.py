"""An engine's environment looked up for a plan: nothing is made, and what cannot be had is said with the next command."""

from pathlib import Path

import pytest

from ci.errors import CiError, ExitCode, InfrastructureError, UsageError
from ci.facts.engine_build import find_engine_build
from ci.plan.engine_build import EngineBuild, EngineSource
from ci.plan.facts import EngineFact
from support.catalog_files import repository_catalog
from support.engine_programs import engine_python, uv_that_fails

pytestmark = [pytest.mark.live_rows, pytest.mark.processes]

NO_NETWORK = "error: Failed to fetch\n  cause: dns error"


def find(
    tmp_path: Path,
    *,
    uv: str = NO_NETWORK,
    nearest: tuple[str, ...] = (),
    checkout: Path | None = None,
    version: str = "",
    python: str = "",
    planning_only: bool = False,
) -> tuple[EngineBuild, EngineFact]:
    catalog = repository_catalog()
    program = uv_that_fails(tmp_path / "programs", uv, nearest=nearest)
    return find_engine_build(
        catalog,
        catalog.engines["sglang"],
        checkout=checkout,
        version=version,
        python=python,
        planning_only=planning_only,
        environ={"UV": str(program), "PATH": "/usr/bin:/bin", "AMD_CI_CACHE": str(tmp_path / "cache")},
    )


def tree(folder: Path, requirement: str) -> Path:
    (folder / "python").mkdir(parents=True)
    (folder / "python" / "pyproject.toml").write_text(
        f'[project]\nname = "sglang"\ndependencies = ["{requirement}"]\n'
        '[project.scripts]\nsglang = "sglang.cli.main:main"\n'
    )
    return folder


def test_a_release_with_a_row_is_planned_without_a_network_and_not_made(tmp_path: Path) -> None:
    build, fact = find(tmp_path)
    assert (build.work.source, build.work.requirements) == (EngineSource.RELEASE, ())
    assert (build.ready, build.partial) == (False, ())
    assert any("is made first" in note and "GiB on disk" in note for note in build.notes)
    assert fact.engine_version == repository_catalog().sglang.newest
    assert Path(fact.python).is_relative_to(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_checkout_with_known_requirements_brings_its_own_sglang(tmp_path: Path) -> None:
    transformers = next(iter(repository_catalog().sglang.trees))
    build, fact = find(tmp_path, checkout=tree(tmp_path / "tree", f"transformers=={transformers}"))
    assert (build.work.source, fact.engine_version) == (EngineSource.CHECKOUT, "")
    assert find(tmp_path)[0].work.environment != build.work.environment


def test_a_checkout_that_is_not_sglang_is_a_mistake_in_the_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an SGLang checkout") as raised:
        find(tmp_path, checkout=tmp_path)
    assert raised.value.exit_code == ExitCode.USAGE


def test_without_a_network_another_release_can_be_planned_but_not_run(tmp_path: Path) -> None:
    build, fact = find(tmp_path, version="0.5.1", planning_only=True)
    assert any("unresolved" in text for text in build.partial)
    assert (fact.found, fact.engine_version) == (False, "0.5.1")
    with pytest.raises(InfrastructureError) as raised:
        find(tmp_path, version="0.5.1")
    assert raised.value.exit_code == ExitCode.INFRASTRUCTURE
    assert raised.value.cause.startswith("the package index was not reached")
    assert "network" in raised.value.then


@pytest.mark.parametrize("planning_only", [False, True])
def test_a_release_that_does_not_exist_is_refused_with_its_neighbours(
    tmp_path: Path, *, planning_only: bool
) -> None:
    absent = "error: No solution\n  cause: Because there is no version of sglang==9.9.9"
    with pytest.raises(UsageError, match=r"no release 9\.9\.9") as raised:
        find(tmp_path, uv=absent, nearest=("0.5.23", "10.0"), version="9.9.9", planning_only=planning_only)
    assert raised.value.exit_code == ExitCode.USAGE
    assert "the nearest: 0.5.23, 10.0" in raised.value.cause


def test_an_interpreter_that_is_given_is_asked_for_the_checkouts_sglang(tmp_path: Path) -> None:
    python = engine_python(tmp_path / "own", sglang="0.5.9")
    checkout = tree(tmp_path / "tree", "transformers==5.0.0")
    build, fact = find(tmp_path, python=str(python), checkout=checkout)
    assert (build.work.source, build.work.environment, build.ready) == (EngineSource.GIVEN, "", True)
    assert (fact.python, fact.engine_version) == (str(python), "0.5.9")
    assert Path(f"{python}.asked").read_text().splitlines()[0] == str(tmp_path / "tree" / "python")
    assert build.work.kernels == "stand-in"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"files": ["flash_ops.abi3.so"]}, "compiled for CUDA"),
        ({"error": "ModuleNotFoundError: No module named extra"}, "No module named extra"),
    ],
)
def test_an_interpreter_that_cannot_serve_here_is_exit_4(
    tmp_path: Path, answer: dict[str, object], says: str
) -> None:
    python = engine_python(tmp_path / "own", **answer)
    with pytest.raises(InfrastructureError, match=says) as raised:
        find(tmp_path, python=str(python))
    assert raised.value.what.startswith(f"--python {python}: ")
    assert raised.value.exit_code == ExitCode.INFRASTRUCTURE


@pytest.mark.parametrize("planning_only", [False, True])
def test_a_program_that_is_no_python_is_refused(tmp_path: Path, *, planning_only: bool) -> None:
    with pytest.raises(CiError, match="--python /bin/true: ") as raised:
        find(tmp_path, python="/bin/true", planning_only=planning_only)
    assert raised.value.exit_code in {ExitCode.USAGE, ExitCode.INFRASTRUCTURE}
    assert raised.value.then
