"""An interpreter that brings its own SGLang: what it has, and why one cannot serve here."""

import json
from pathlib import Path

import pytest

from ci.engine.environment import KERNEL_STUB
from ci.engine.interpreter import Kernels, examine
from ci.errors import InfrastructureError

pytestmark = pytest.mark.processes

OWN = {
    "kernels": "/lib/sgl_kernel",
    "files": [],
    "error": "",
    "sglang": "0.5.23",
    "torch": "2.13.0",
    "gpu": False,
}


def python(folder: Path, **answer: object) -> Path:
    """A program that answers as an interpreter does, after noise on standard output."""
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\necho noise\necho '{json.dumps({**OWN, **answer})}'\n")
    path.chmod(0o755)
    return path


def test_an_interpreter_without_kernels_gets_the_stand_in_by_its_path(tmp_path: Path) -> None:
    found = examine(python(tmp_path, kernels=str(KERNEL_STUB / "sgl_kernel")), asked="--python P", environ={})
    assert (found.kernels, found.sglang_version) == (Kernels.ABSENT, "0.5.23")
    assert found.python_path == (KERNEL_STUB,)


@pytest.mark.parametrize(
    ("files", "kernels"),
    [([], Kernels.STAND_IN), (["common_ops.cpython-312-x86_64-linux-gnu.so"], Kernels.COMPILED)],
)
def test_kernels_of_its_own_are_used(tmp_path: Path, files: list[str], kernels: Kernels) -> None:
    found = examine(python(tmp_path, files=files), asked="--python P", environ={})
    assert found.kernels is kernels
    assert not found.python_path


def test_the_cuda_build_without_a_gpu_is_named(tmp_path: Path) -> None:
    answer = python(
        tmp_path, files=["flash_ops.abi3.so", "sm90/common_ops.abi3.so"], error="ImportError: libcuda"
    )
    with pytest.raises(InfrastructureError, match="compiled for CUDA") as raised:
        examine(answer, asked="--python P", environ={})
    assert "/lib/sgl_kernel holds flash_ops.abi3.so" in raised.value.cause


def test_an_import_that_fails_is_quoted_with_the_command_that_shows_it(tmp_path: Path) -> None:
    answer = python(tmp_path, error="ModuleNotFoundError: No module named extra (a.py:3)")
    with pytest.raises(InfrastructureError, match=r"--checkout T: .*No module named extra") as raised:
        examine(answer, asked="--checkout T", environ={}, source=Path("/tree/python"))
    assert raised.value.then.startswith("PYTHONPATH=/tree/python ")


@pytest.mark.parametrize("path", ["/bin/false", "/no/python3"])
def test_what_is_no_python_is_said(path: str) -> None:
    with pytest.raises(InfrastructureError, match=path):
        examine(Path(path), asked=f"--python {path}", environ={})
