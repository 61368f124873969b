"""Making an engine's environment: once, and whole or not at all."""

import os
import runpy
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from ci.engine.environment import EngineEnvironment
from ci.engine.make import prepare
from ci.errors import ExitCode, InfrastructureError
from support.engine_makers import FakeUv, small_environment

PLENTY = 10**12


def make(wanted: EngineEnvironment, uv: FakeUv, *, free_bytes: int = PLENTY) -> None:
    prepare(
        wanted,
        uv="uv",
        environ={},
        tell=uv.progress.append,
        run=uv,
        free=lambda _folder: free_bytes,
        python=Path(sys.executable),
    )


def names(wanted: EngineEnvironment) -> set[str]:
    return {path.name for path in wanted.engines.iterdir() if path.is_dir()}


def test_the_layer_comes_before_the_base_and_brings_the_stand_in_of_the_kernels(tmp_path: Path) -> None:
    wanted = small_environment(tmp_path)
    make(wanted, FakeUv())
    assert wanted.is_ready()
    packages = wanted.folder / "lib" / "python3.12" / "site-packages"
    assert (packages / "sglang.py").is_file()
    assert (packages / "sgl_kernel" / "kvcacheio.py").is_file()
    line = (packages / "base.pth").read_text().strip()
    assert (packages / line / "torch.py").is_file()
    # both folders may be moved together, as a mounted cache is
    moved = tmp_path / "elsewhere"
    wanted.engines.rename(moved)
    assert (moved / packages.relative_to(wanted.engines) / line / "torch.py").is_file()


def test_it_is_made_once_and_a_second_layer_takes_the_same_base(tmp_path: Path) -> None:
    wanted, uv = small_environment(tmp_path), FakeUv()
    make(wanted, uv)
    assert [command[1] for command in uv.commands] == ["venv", "pip", "venv", "pip"]
    make(wanted, uv)
    assert len(uv.commands) == 4
    shutil.rmtree(wanted.folder)
    assert wanted.size().disk_mib == 20
    make(wanted, uv)
    assert len(uv.commands) == 6
    assert wanted.base_name not in uv.commands[-1][-1]


def test_packages_are_checked_by_hash_and_never_built(tmp_path: Path) -> None:
    uv = FakeUv()
    make(small_environment(tmp_path), uv)
    for command in uv.commands:
        assert command[1] == "venv" or {"--require-hashes", "--no-build"} <= set(command)


def test_console_scripts_of_a_checkout_run_with_the_layers_python(tmp_path: Path) -> None:
    wanted = small_environment(tmp_path)
    object.__setattr__(wanted.layer, "scripts", {"sglang": "os:getpid"})
    make(wanted, FakeUv())
    script = wanted.folder / "bin" / "sglang"
    assert os.access(script, os.X_OK)
    with pytest.raises(SystemExit):
        runpy.run_path(str(script), run_name="__main__")
    # as the processes that a server spawns read it: they start nothing again
    assert runpy.run_path(str(script), run_name="__mp_main__")["getpid"] is os.getpid


OURS = ["--tokens", "16 k"]


@pytest.mark.parametrize(
    ("command", "arguments", "got"),
    [
        # the whole command line, and what `sys.argv` is before a script or a module has begun
        ("sglang serve --tokens 9", "bin/sglang serve --tokens 9", ["serve", *OURS, "--tokens", "9"]),
        ("sglang version", "bin/sglang version", ["version"]),
        ("other serve", "bin/other serve", ["serve"]),
        ("-m sglang.launch_server --tokens 9", "-m --tokens 9", [*OURS, "--tokens", "9"]),
        ("-X dev -m sglang.launch_server", "-m", OURS),
        ("-msglang.launch_server --port 1", "-m --port 1", [*OURS, "--port", "1"]),
        ("-m sglang.bench_serving --tokens 9", "-m --tokens 9", ["--tokens", "9"]),
        ("-c pass sglang.launch_server", "-c sglang.launch_server", ["sglang.launch_server"]),
        ("", "", []),
    ],
)
def test_a_server_has_our_arguments_before_its_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, arguments: str, got: list[str]
) -> None:
    wanted = small_environment(tmp_path)
    object.__setattr__(wanted.layer, "scripts", {"sglang": "os:getpid"})
    make(wanted, FakeUv())
    (start,) = wanted.folder.rglob("amd_ci_server_arguments.py")
    assert start.with_suffix(".pth").read_text() == "import amd_ci_server_arguments\n"
    monkeypatch.setattr(sys, "orig_argv", ["python3", *command.split()])
    monkeypatch.setattr(sys, "argv", arguments.split() or [""])
    monkeypatch.setenv("AMD_CI_SERVER_ARGS", "--tokens '16 k'")
    spec = spec_from_file_location("started", start)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module_from_spec(spec))
    assert sys.argv[1:] == got


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), InfrastructureError("no network"), OSError(28, "full")]
)
def test_nothing_unfinished_stays_after_an_error_or_an_interrupt(
    tmp_path: Path, at: int, error: BaseException
) -> None:
    wanted = small_environment(tmp_path)
    expected = InfrastructureError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        make(wanted, FakeUv(raises={at: error}))
    assert names(wanted) == ({wanted.base_folder.name} if at > 2 else set())
    assert not wanted.is_ready()
    make(wanted, FakeUv())
    assert wanted.is_ready()


def test_what_a_killed_process_has_left_is_swept_by_the_next_one(tmp_path: Path) -> None:
    wanted = small_environment(tmp_path)
    (wanted.engines / ".making-sglang-base-1").mkdir(parents=True)
    make(wanted, FakeUv())
    assert names(wanted) == {wanted.base_folder.name, wanted.folder.name}


def test_one_whose_python_was_removed_is_made_anew(tmp_path: Path) -> None:
    wanted = small_environment(tmp_path)
    make(wanted, FakeUv())
    for folder in (wanted.base_folder, wanted.folder):
        (folder / "bin" / "python3").unlink()
        (folder / "bin" / "python3").symlink_to(tmp_path / "gone")
    assert not wanted.is_ready()
    make(wanted, FakeUv())
    assert wanted.is_ready()


def test_a_full_disk_is_found_before_anything_is_downloaded(tmp_path: Path) -> None:
    wanted, uv = small_environment(tmp_path), FakeUv()
    with pytest.raises(InfrastructureError) as raised:
        make(wanted, uv, free_bytes=100 * 2**20)
    assert raised.value.exit_code == ExitCode.INFRASTRUCTURE
    assert "0.2 GiB" in raised.value.what
    assert "0.1 GiB are free" in raised.value.what
    assert raised.value.then.startswith(f"df -h {wanted.cache}")
    assert not uv.commands
    # with the base there, the layer alone must fit
    make(wanted, uv)
    shutil.rmtree(wanted.folder)
    make(wanted, uv, free_bytes=100 * 2**20)
    assert wanted.is_ready()


def test_progress_names_each_step_with_its_downloads(tmp_path: Path) -> None:
    wanted, uv = small_environment(tmp_path), FakeUv()
    make(wanted, uv)
    ended = [progress for progress in uv.progress if progress.ended]
    assert [progress.step.partition(":")[0] for progress in ended] == [
        "engine-base",
        "checksums of its files",
        "sglang-1.2.0",
        "checksums of its files",
    ]
    assert {(progress.done_mib, progress.known_mib) for progress in ended[::2]} == {(2.0, 2.0)}
