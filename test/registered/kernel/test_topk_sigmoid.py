"""sgl_kernel's router of mixture-of-experts models: top-k of a sigmoid, against torch.

torch.topk and the kernel break ties differently (sgl-project/sglang#23156 skipped a case for it): an index may differ
where its score is the other's within the rounding of float32, and nowhere else.
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

import itertools
from typing import Any

from harness.needs import needs, needs_modules
from harness.register import register_amd_ci
from harness.ties import wrong_pick

register_amd_ci(est_time=60, suite="stage-b-test-1-gpu-small-amd")

torch, sgl_kernel = needs_modules("torch", "sgl_kernel")
needs("kernels")

# two sigmoids, each right to two units in the last place
TIE_ULPS = 4
TOKENS = (1, 16, 128, 512, 1024, 2048)
EXPERTS = (4, 8, 16, 32, 64, 128, 256)
TOPK = (1, 2, 4)
# ids read as tokens-experts-topk, e.g. 2048-32-4
SHAPES = list(itertools.product(TOKENS, EXPERTS, TOPK))


def route(gating: Any, topk: int, **options: Any) -> tuple[Any, Any]:
    """The kernel's weights and expert ids, both [tokens, topk], for gating [tokens, experts]."""
    weights = torch.empty(gating.shape[0], topk, dtype=torch.float32, device="cuda")
    ids = torch.empty(gating.shape[0], topk, dtype=torch.int32, device="cuda")
    sgl_kernel.topk_sigmoid(weights, ids, gating, **options)
    return weights, ids.long()


def assert_best(scores: Any, ids: Any, magnitude: float = 0.0) -> None:
    """Every row of ids [tokens, topk] holds the best of its row of scores [tokens, experts]."""
    expected = torch.topk(scores, ids.shape[1], dim=-1).indices
    differing = (ids != expected).any(dim=-1).nonzero().flatten().tolist()
    wrong = {
        row: problem
        for row in differing
        if (
            problem := wrong_pick(scores[row].tolist(), ids[row].tolist(), ulps=TIE_ULPS, magnitude=magnitude)
        )
    }
    assert not wrong, (
        f"{len(wrong)} of {len(ids)} tokens are routed wrongly, the first: {next(iter(wrong.items()))}"
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("tokens", "experts", "topk"), SHAPES)
def test_topk_sigmoid(tokens: int, experts: int, topk: int, dtype: str) -> None:
    torch.manual_seed(0)
    gating = torch.randn(tokens, experts, device="cuda").to(getattr(torch, dtype))
    weights, ids = route(gating, topk)
    scores = torch.sigmoid(gating.float())
    assert_best(scores, ids)
    torch.testing.assert_close(weights, scores.gather(1, ids), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("tokens", "experts", "topk"), SHAPES)
def test_renormalized_weights_add_up_to_one(tokens: int, experts: int, topk: int) -> None:
    torch.manual_seed(1)
    gating = torch.randn(tokens, experts, device="cuda")
    weights, ids = route(gating, topk, renormalize=True)
    scores = torch.sigmoid(gating)
    assert_best(scores, ids)
    picked = scores.gather(1, ids)
    torch.testing.assert_close(weights, picked / picked.sum(dim=-1, keepdim=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("tokens", "experts", "topk"), SHAPES)
def test_a_correction_bias_ranks_and_does_not_weigh(tokens: int, experts: int, topk: int) -> None:
    torch.manual_seed(2)
    gating = torch.randn(tokens, experts, device="cuda")
    bias = torch.randn(experts, device="cuda")
    weights, ids = route(gating, topk, renormalize=True, correction_bias=bias)
    sigmoid = torch.sigmoid(gating)
    assert_best(sigmoid + bias, ids, magnitude=1 + bias.abs().max().item())
    picked = sigmoid.gather(1, ids)
    torch.testing.assert_close(weights, picked / picked.sum(dim=-1, keepdim=True), rtol=1e-4, atol=1e-6)
