"""Quantising activations to FP8 on the GPU: what comes back is what went in, to the precision of the type.

The type is the hardware's own (e4m3fnuz on gfx942, e4m3fn on gfx950), as SGLang picks it.
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from typing import Any

from harness.needs import needs, needs_modules
from harness.register import register_amd_ci

register_amd_ci(est_time=22, suite="stage-a-test-1-gpu-small-amd")

needs("kernels")  # before the import, which asks the GPU for its kernels
torch, fp8 = needs_modules("torch", "sglang.srt.layers.quantization.fp8_kernel")

HALF_ULP = 2**-4  # e4m3 has 3 bits of mantissa
RANGE_USED = 0.93  # SGLang scales e4m3fnuz to 224 of its 240, AITER to all of it
SHAPES = ((1, 128), (17, 512), (128, 7168))


def assert_close_to(x: Any, quantised: Any, scale: Any) -> None:
    """x and quantised [rows, columns], scale broadcast over them."""
    assert quantised.dtype == fp8.fp8_dtype
    back = quantised.float() * scale
    smallest = scale * torch.finfo(fp8.fp8_dtype).smallest_normal
    error = (back - x.float()).abs()
    worst = (error - x.float().abs() * HALF_ULP - smallest).max().item()
    assert worst <= 1e-6, f"off by {worst} more than half a unit in the last place"


def activations(rows: int, columns: int) -> Any:
    torch.manual_seed(0)
    return torch.randn(rows, columns, dtype=torch.bfloat16, device="cuda") * 3


@pytest.mark.parametrize("shape", SHAPES)
def test_one_scale_for_all(shape: tuple[int, int]) -> None:
    x = activations(*shape)
    quantised, scale = fp8.scaled_fp8_quant(x)
    assert scale.numel() == 1
    used = x.float().abs().max().item() / scale.item() / torch.finfo(fp8.fp8_dtype).max
    assert RANGE_USED <= used <= 1.001
    assert_close_to(x, quantised, scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scale_for_each_token(shape: tuple[int, int]) -> None:
    x = activations(*shape)
    quantised, scale = fp8.scaled_fp8_quant(x, use_per_token_if_dynamic=True)
    assert scale.numel() == shape[0]
    assert_close_to(x, quantised, scale.reshape(-1, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scale_for_each_group_of_128(shape: tuple[int, int]) -> None:
    x = activations(*shape)
    quantised, scale = fp8.per_token_group_quant_fp8(x, 128)
    assert scale.shape == (shape[0], shape[1] // 128)
    assert_close_to(x, quantised, scale.repeat_interleave(128, dim=1))
