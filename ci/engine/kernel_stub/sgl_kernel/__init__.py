"""The kernels' stand-in: what SGLang imports from its compiled kernels at start on a CPU. A call of any of them is an error.

A copy of this package stands in the engine's environment. Names of GPU kernels are absent on purpose: SGLang decides by
their import what it may use.
"""

from collections.abc import Callable
from typing import NoReturn

__all__ = ["KernelStandInError", "stand_in"]


class KernelStandInError(NotImplementedError):
    """A call that only compiled kernels can answer reached their stand-in."""


def stand_in(name: str) -> Callable[..., NoReturn]:
    """A function of that name that raises `KernelStandInError`."""

    def call(*_arguments: object, **_options: object) -> NoReturn:
        raise KernelStandInError(
            f"{name} was called, and this is the kernels' stand-in: no compiled kernels of SGLang are installed here"
        )

    call.__name__ = call.__qualname__ = name.rpartition(".")[2]
    return call


def __getattr__(name: str) -> Callable[..., NoReturn]:
    # only the kernels' CPU build has these
    if name.endswith("_cpu") and not name.startswith("_"):
        return stand_in(f"sgl_kernel.{name}")
    raise AttributeError(f"module 'sgl_kernel' has no attribute {name!r}: it is the kernels' stand-in")
