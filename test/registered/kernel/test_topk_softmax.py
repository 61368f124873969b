"""sgl_kernel's router of mixture-of-experts models: top-k of a softmax, against torch."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from harness.needs import needs, needs_modules
from harness.register import register_amd_ci

register_amd_ci(est_time=8, suite="stage-a-test-1-gpu-small-amd")

torch, sgl_kernel = needs_modules("torch", "sgl_kernel")
needs("kernels")


@pytest.mark.parametrize("renormalize", [False, True])
@pytest.mark.parametrize("topk", [1, 2, 8])
@pytest.mark.parametrize("experts", [8, 64, 256])
@pytest.mark.parametrize("tokens", [1, 128, 2048])
def test_topk_softmax(tokens: int, experts: int, topk: int, renormalize: bool) -> None:  # noqa: FBT001  # a parameter
    torch.manual_seed(0)
    gating = torch.randn(tokens, experts, dtype=torch.float32, device="cuda")
    weights = torch.empty(tokens, topk, dtype=torch.float32, device="cuda")
    ids = torch.empty(tokens, topk, dtype=torch.int32, device="cuda")
    sgl_kernel.topk_softmax(weights, ids, gating, renormalize=renormalize)

    probabilities = torch.softmax(gating, dim=-1)
    expected = torch.topk(probabilities, topk, dim=-1).values
    # the ids are judged by the probabilities that they pick: equal ones may come in either order
    picked = probabilities.gather(1, ids.long())
    torch.testing.assert_close(picked, expected, rtol=1e-4, atol=1e-6)
    assert all(len(set(row)) == topk for row in ids.tolist()), "an expert was picked twice"
    if renormalize:
        expected = expected / expected.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
