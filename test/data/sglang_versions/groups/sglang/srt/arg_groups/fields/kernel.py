from typing import Annotated as A
from typing import Optional

from sglang.srt.arg_groups.choices import BACKENDS


class Kernel:
    _NS_PATH = "kernel"

    new_prefill_backend: A[Optional[str], Arg(help="Kernels.", choices=BACKENDS)] = None
    attention_backend: A[Optional[str], Arg(help="Kernels.", choices=BACKENDS)] = None
    share: A[float, "A share of the memory."] = 0.9
