"""What a test needs from the engine or the interpreter: without it the test is skipped, with the reason.

Works at module level, in fixtures, in tests and in unittest classes that pytest runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from typing import Any, NoReturn

import pytest

from harness.errors import MissingRowError
from harness.spec import current

__all__ = ["needs", "needs_capabilities", "needs_modules"]


def _skip_without(message: str) -> NoReturn:
    """Skip for what the engine does not have: `lacks`, which the agent's plugin reads, excuses a bound without a value."""
    try:
        pytest.skip(message, allow_module_level=True)
    except pytest.skip.Exception as skipped:
        skipped.__dict__["lacks"] = message
        raise


def needs(*features: str) -> None:
    """Skip unless the engine has every one of `features`; raises `MissingRowError` for a name that no engine has."""
    spec = current()
    for feature in features:
        if feature not in spec.known_features:
            raise MissingRowError(
                f"no engine has a feature {feature!r} (known: {', '.join(sorted(spec.known_features))})",
                cause="a misspelt feature would skip its test forever",
                then="correct the name, or add it to a row of ci/catalog/engines.toml",
            )
    for feature in features:
        if feature not in spec.features:
            _skip_without(f"engine {spec.engine} lacks {feature!r} (row in ci/catalog/engines.toml)")


def needs_capabilities(*names: str) -> None:
    """Skip unless this engine has every capability on this hardware class; raises `MissingRowError` for one without a row."""
    spec = current()
    for name in names:
        capability = spec.capability(name)
        if not capability.allowed:
            _skip_without(
                f"engine {spec.engine} on {spec.hardware_class} has no {name}: {capability.why}"
                + (f" ({capability.issue})" if capability.issue else "")
            )


def needs_modules(*names: str) -> tuple[Any, ...]:
    """Import `names` and hand them out in order; skip when the package of one is not installed.

    A package that is installed and cannot be imported, or has no such submodule, is a failure, not a reason to skip.
    """
    for name in names:
        package = name.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            pytest.skip(
                f"module {package!r} is not installed in {sys.executable} (Python {platform.python_version()})",
                allow_module_level=True,
            )
    return tuple(importlib.import_module(name) for name in names)
