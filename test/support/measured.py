"""What a child process needs so that its branch coverage is measured when that of the tests is."""

import os

__all__ = ["measured_environ"]

_VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def measured_environ() -> dict[str, str]:
    """The variables by which a child finds out; none when nothing is measured."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}
