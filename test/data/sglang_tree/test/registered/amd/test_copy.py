import importlib
import sys
from pathlib import Path

from sglang.test.ci.ci_register import register_amd_ci

register_amd_ci(est_time=5, suite="stage-a-test-1-gpu-small-amd")

if __name__ == "__main__":
    sglang, kernel, kernels_of_aiter = (
        importlib.import_module(name) for name in ("sglang", "sgl_kernel", "aiter")
    )
    here = Path(sglang.__file__ or "").resolve()
    lines = (
        f"sglang is {sglang.NAME}: {here}",
        f"sgl_kernel is {kernel.NAME}",
        f"aiter has newer: {getattr(kernels_of_aiter, 'NEWER', 'no')}",
        f"runs in {Path.cwd()}",
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)
    assert here == Path("/sglang-checkout/python/sglang/__init__.py")
