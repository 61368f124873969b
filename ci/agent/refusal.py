"""Whether a run's arguments for pytest can be honoured, asked of processes of its interpreter before the first test."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .attempt import RunContext, child_argv, test_environ

__all__ = ["refusal"]

# pytest's own variable with more arguments
_ADDOPTS = "PYTEST_ADDOPTS"
# a conftest.py may import an engine
TRY_S = 180.0
_POLL_S = 0.05


def refusal(context: RunContext) -> Mapping[str, Any] | None:
    """What `executor-failed` says about arguments for pytest that cannot be honoured, None where they can.

    They are tried once for each folder, whose conftest.py may add options.
    """
    spec = context.spec
    found: dict[str, None] = {}
    tried: set[tuple[str, Path, str]] = set()
    for suite in spec.suites:
        for test in suite.tests:
            environ = test_environ(context, suite, test)
            more = environ.get(_ADDOPTS, "")
            key = (suite.id, Path(test.path).parent, more)
            if test.kind != "pytest" or key in tried or not (spec.pytest_args or more):
                continue
            tried.add(key)
            found |= dict.fromkeys(_answer(child_argv(context, "options", suite, test), spec.root, environ))
    if not found:
        return None
    return {
        "what": "pytest cannot be run with these arguments",
        "cause": f"what follows the second --, or {_ADDOPTS}, has an option that pytest does not know or with which it runs nothing",
        "then": f"{sys.executable} -m pytest --help",
        "problems": list(found),
        "verdict": "usage",
    }


def _answer(argv: Sequence[str], root: Path, environ: Mapping[str, str]) -> list[str]:
    """What a process that tries the options says; nothing where it has no answer: the tests then say why."""
    try:
        with subprocess.Popen(
            argv,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            until = time.monotonic() + TRY_S
            while process.poll() is None and time.monotonic() < until:
                time.sleep(_POLL_S)
            process.kill()
            text = process.stdout.read() if process.stdout is not None else b""
        said = json.loads(text.splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return []
    return [str(each) for each in said] if isinstance(said, list) else []
