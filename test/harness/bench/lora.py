"""Serving latency through a LoRA adapter, also while other adapters are loaded and unloaded."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from harness import events
from harness.bench import serving
from harness.bench.serving import ServingResult
from harness.errors import HarnessError, MeasurementError
from harness.server import Server

__all__ = ["run"]

# between loading and unloading an adapter, as in SGLang's test_bench_serving_1gpu_part1.py at 6e9bd8271
ADAPTER_PAUSE_S = 1.0


def run(
    server: Server,
    adapters: Mapping[str, str],
    *,
    updates_in_background: bool = False,
    **options: Any,
) -> ServingResult:
    """`serving.run` with `options`, every request through the first of `adapters`, which the server has from its start.

    `adapters` are paths of weights by name. `updates_in_background` loads and unloads all but the first meanwhile, one
    after the other and over again. In rehearsal the stand-in's `sizes.lora` replaces what was asked for.

    Raises as `serving.run` does, and `RequestError` when the server refuses an update.
    """
    if not adapters:
        raise MeasurementError("a LoRA bench needs an adapter")
    used, *others = adapters
    if updates_in_background and not others:
        raise MeasurementError(f"no adapter besides {used!r} to load and unload in the background")
    updates = {name: adapters[name] for name in others} if updates_in_background else {}
    with _updating(server, updates):
        return serving.run(server, adapter=used, kind="lora", **options)


@contextlib.contextmanager
def _updating(server: Server, paths: Mapping[str, str]) -> Iterator[None]:
    """Load and unload `paths` in a thread of its own until the block ends; then raise what went wrong in it."""
    if not paths:
        yield
        return
    stop = threading.Event()
    done: list[str] = []
    errors: list[HarnessError] = []

    def update() -> None:
        try:
            for name, path in itertools.cycle(paths.items()):
                server.client.post("/load_lora_adapter", {"lora_name": name, "lora_path": path})
                done.append(name)
                stop.wait(ADAPTER_PAUSE_S)
                # also after the end: an adapter that stays takes a place from the next test of this server
                server.client.post("/unload_lora_adapter", {"lora_name": name})
                done.append(name)
                if stop.wait(ADAPTER_PAUSE_S):
                    return
        except HarnessError as error:
            errors.append(error)

    thread = threading.Thread(target=update, name="adapter-updates")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]
    events.note(f"{len(done)} adapter updates in the background")
