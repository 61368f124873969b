"""SGLang's server, the engine under test."""

from __future__ import annotations

import importlib.util
import sys

from harness.engines.base import Command, Start
from harness.errors import InfraError

__all__ = ["command"]


def command(start: Start) -> Command:
    """`python3 -m sglang.launch_server` in this interpreter. Raises `InfraError` when SGLang is not installed in it."""
    if importlib.util.find_spec("sglang") is None:
        raise InfraError(
            f"sglang is not installed in {sys.executable}",
            cause="the tests run in an interpreter that is not the engine's",
            then="name the engine's with --python PATH, or rehearse with --engine llamacpp",
        )
    return Command(
        argv=(
            sys.executable,
            "-m",
            "sglang.launch_server",
            *("--model-path", start.model.path),
            *("--served-model-name", start.alias),
            *("--host", start.host),
            *("--port", str(start.port)),
            *(("--is-embedding",) if start.embeddings else ()),
            *start.args,
        ),
        health_path="/health",
        under_test=True,
        # its scheduler raises at a completion, and the server ends with it
        generates=not start.embeddings,
        when_killed="SGLang ends its own processes with SIGKILL when one of them dies: the cause is above that in its log",
        shared_memory=("multi_tokenizer_args_{pid}",),
    )
