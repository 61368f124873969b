"""The one door to the environment of this process."""

import os
import sys
from collections.abc import Mapping

__all__ = ["isatty", "read"]


def read() -> Mapping[str, str]:
    """A copy of the environment; everything else takes it as an argument."""
    return dict(os.environ)


def isatty() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()
