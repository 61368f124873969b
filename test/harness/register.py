"""SGLang's registration calls. They do nothing when a test runs: the planner reads them from the source."""

from __future__ import annotations

__all__ = [
    "register_amd_ci",
    "register_cpu_ci",
    "register_cuda_ci",
    "register_mlx_ci",
    "register_musa_ci",
    "register_npu_ci",
    "register_xpu_ci",
]


def register_amd_ci(
    est_time: float,
    suite: str | None = None,
    nightly: bool = False,  # noqa: FBT001, FBT002  # SGLang's own signature, so that its files need no change
    disabled: str | None = None,
    *,
    stage: str | None = None,
    runner_config: str | None = None,
) -> None:
    """Declare the suite that a test file belongs to; all arguments are literals, `est_time` is in seconds."""


# One signature for all: a file that is registered for several backends keeps its lines as they are.
register_cpu_ci = register_amd_ci
register_cuda_ci = register_amd_ci
register_mlx_ci = register_amd_ci
register_musa_ci = register_amd_ci
register_npu_ci = register_amd_ci
register_xpu_ci = register_amd_ci
