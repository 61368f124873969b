"""AITER's RMSNorm, alone and with the residual added, against the formula in float32.

The ROCm build of sgl_kernel has no rmsnorm: on AMD SGLang's RMSNorm layer calls these two functions.
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from typing import Any

from harness.needs import needs, needs_modules
from harness.register import register_amd_ci

register_amd_ci(est_time=12, suite="stage-a-test-1-gpu-small-amd")
register_amd_ci(est_time=12, suite="stage-b-test-1-gpu-small-amd")

torch, aiter_ops = needs_modules("torch", "aiter")
needs("kernels")

EPS = 1e-6
TOKENS = (1, 17, 128, 1024)
HIDDEN = (512, 4096, 7168)
# one rounding to the type's mantissa, and one more for the weight's product
TOLERANCE = {"bfloat16": 2**-7, "float16": 2**-10}


def rmsnorm(x: Any, weight: Any) -> Any:
    """x [tokens, hidden], weight [hidden]: x / sqrt(mean(x^2) + eps) * weight, in float32."""
    wide = x.float()
    return wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + EPS) * weight.float()


def assert_near(got: Any, expected: Any, dtype: str) -> None:
    torch.testing.assert_close(got.float(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("tokens", TOKENS)
def test_rmsnorm(tokens: int, hidden: int, dtype: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(tokens, hidden, dtype=getattr(torch, dtype), device="cuda")
    weight = torch.rand(hidden, dtype=x.dtype, device="cuda") + 0.5
    assert_near(aiter_ops.rmsnorm2d_fwd(x, weight, EPS), rmsnorm(x, weight), dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("tokens", TOKENS)
def test_rmsnorm_of_the_sum_with_the_residual(tokens: int, hidden: int, dtype: str) -> None:
    torch.manual_seed(1)
    x = torch.randn(tokens, hidden, dtype=getattr(torch, dtype), device="cuda")
    residual = torch.randn_like(x)
    weight = torch.rand(hidden, dtype=x.dtype, device="cuda") + 0.5
    out, residual_out = torch.empty_like(x), torch.empty_like(x)
    aiter_ops.rmsnorm2d_fwd_with_add(out, x, residual, residual_out, weight, EPS)
    total = x.float() + residual.float()
    assert_near(residual_out, total, dtype)
    assert_near(out, rmsnorm(total, weight), dtype)
