"""A Hugging Face cache of our own, in which one folder of weights stands under the names that tests ask for."""

import hashlib
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from ci.engine.folders import holding, is_whole, note_use, whole
from ci.engine.weights import Weights

__all__ = ["hub_folder", "make_hub"]


def hub_folder(weights: Weights, names: Collection[str]) -> Path:
    """What `HF_HUB_CACHE` takes: it holds these names and no others, so that a missing one is not found."""
    return _home(weights, names) / "hub"


def make_hub(weights: Weights, names: Collection[str], *, tell: Callable[[str], None]) -> Path:
    """Make it unless it is there, of weights that are; names are `meta-llama/Llama-3.2-1B-Instruct` and so on.

    Raises:
        InfrastructureError: the folder cannot be written.
    """
    home = _home(weights, names)
    if is_whole(home):
        note_use(home)
    else:
        with holding(weights.engines, tell):
            if not is_whole(home):
                whole(home, lambda folder: _fill(folder / "hub", weights, names))
    return home / "hub"


def _home(weights: Weights, names: Collection[str]) -> Path:
    digest = hashlib.sha256("\0".join([weights.digest, *sorted(set(names))]).encode()).hexdigest()
    return weights.engines / f"hub-{digest[:12]}"


def _fill(hub: Path, weights: Weights, names: Collection[str]) -> None:
    revision = weights.digest[:40]  # of a commit's length
    for name in sorted(set(names)):
        model = hub / f"models--{name.replace('/', '--')}"
        # hard links: they hold when this folder alone is seen in a container
        shutil.copytree(weights.folder, model / "snapshots" / revision, copy_function=os.link)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(revision, encoding="utf-8")
