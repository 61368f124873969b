"""Which environment, weights and names an engine on this machine needs, found without making any of it."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.models import Model, StandIn
from ci.catalog.sglang import SglangRows
from ci.engine.environment import EngineEnvironment, environment_of
from ci.engine.folders import ENGINES
from ci.engine.hub import hub_folder
from ci.engine.resolve import Resolver
from ci.engine.trees import tree_wants
from ci.engine.weights import Weights
from ci.errors import InfrastructureError, UsageError
from ci.nox.environments import find_uv
from ci.system.file_lock import cache_dir

__all__ = ["StandIns", "find_environment", "find_stand_ins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """The weights that take the place of models, and the models' names."""

    weights: Weights
    names: tuple[str, ...]

    @property
    def hub(self) -> Path:
        """The folder of the Hugging Face cache in which the weights have these names."""
        return hub_folder(self.weights, self.names)


def find_environment(
    rows: SglangRows, *, version: str, checkout: Path | None, environ: Mapping[str, str]
) -> EngineEnvironment:
    """The environment of a release, or of a checkout's own SGLang; `version` is empty for the newest with a row.

    Raises:
        UsageError: there is no such release, or the checkout does not say what it wants.
        InfrastructureError: it has no row, and the index cannot be reached; uv is missing.
    """
    cache = cache_dir(environ)
    resolver = Resolver(rows=rows, cache=cache, uv=find_uv(environ), environ=environ)
    if checkout is not None and not version:
        layer = resolver.checkout(tree_wants(checkout, rows))
    else:
        layer = resolver.release(version or rows.newest)
    return environment_of(rows, layer, cache=cache)


def find_stand_ins(
    models: Mapping[str, Model], stand_ins: Mapping[str, StandIn], environ: Mapping[str, str]
) -> StandIns:
    """The weights behind the rows of models.toml.

    Raises:
        UsageError: the rows name more than one file of weights.
        InfrastructureError: it is not installed.
    """
    names = tuple(sorted(model.id for model in models.values() if model.stand_in))
    files = {
        (stand_ins[models[name].stand_in].package, stand_ins[models[name].stand_in].file) for name in names
    }
    if len(files) != 1:
        raise UsageError(
            f"the models' stand-ins are {len(files)} files of weights, and SGLang on a CPU takes one",
            then="give the rows of models.toml stand-ins with one package and file",
        )
    ((package, pattern),) = files
    found = importlib.util.find_spec(package)
    folders = [] if found is None else [Path(each) for each in found.submodule_search_locations or ()]
    paths = [path for folder in folders for path in sorted(folder.glob(pattern))]
    if len(paths) != 1:
        raise InfrastructureError(
            f"the weights of the rehearsal are missing: {len(paths)} files fit {pattern!r} in the package {package}",
            cause="this project's environment is incomplete",
            then="remove the folder .nox, then again",
        )
    return StandIns(weights=Weights(engines=cache_dir(environ) / ENGINES, gguf=paths[0]), names=names)
