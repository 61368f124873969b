"""Copies between the device's and the host's key-value caches, none of which can be made here."""

from collections.abc import Callable
from typing import NoReturn

from . import stand_in


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("_"):
        raise AttributeError(name)
    return stand_in(f"sgl_kernel.kvcacheio.{name}")
