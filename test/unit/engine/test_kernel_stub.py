"""The kernels' stand-in: what is imported at start is there, GPU kernels are not, and a call says what it reached."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from ci.engine.environment import KERNEL_STUB, folder_digest


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = {name for name in sys.modules if name.partition(".")[0] == "sgl_kernel"}
    assert not before
    monkeypatch.syspath_prepend(str(KERNEL_STUB))
    yield importlib.import_module("sgl_kernel")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sgl_kernel"]:
        del sys.modules[name]


def test_a_call_raises_an_error_that_cannot_be_taken_for_another(stub: ModuleType) -> None:
    with pytest.raises(NotImplementedError, match="kernels' stand-in") as raised:
        stub.chunk_gated_delta_rule_cpu(1, two=2)
    assert (type(raised.value).__name__, type(raised.value).__module__) == (
        "KernelStandInError",
        "sgl_kernel",
    )
    copies = importlib.import_module("sgl_kernel.kvcacheio")
    with pytest.raises(stub.KernelStandInError, match=r"sgl_kernel\.kvcacheio\.transfer_kv"):
        copies.transfer_kv()


@pytest.mark.parametrize("name", ["merge_state_v2", "_private_cpu", "__path_cpu__"])
def test_sglang_cannot_take_it_for_gpu_kernels(stub: ModuleType, name: str) -> None:
    assert not hasattr(stub, name)


def test_its_digest_is_that_of_its_files() -> None:
    assert folder_digest(KERNEL_STUB) == folder_digest(KERNEL_STUB)
    assert folder_digest(KERNEL_STUB) != folder_digest(KERNEL_STUB / "sgl_kernel")
