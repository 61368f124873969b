"""Layering env sets: each variable keeps which set gave it and what it overrode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import STEP_FILES, EnvSet, EnvVariable, is_secret
from ci.catalog.stages import Stage, Suite
from ci.catalog.versions import Version, span_of
from ci.errors import Problem

__all__ = [
    "Layer",
    "Resolved",
    "Setting",
    "check_given",
    "layers_for",
    "pass_through_names",
    "resolve",
]

# the agent's own variables: an option or a set that named them would break the run
_RESERVED_PREFIX = "AMD_CI_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Sets of equal rank; two of them may not disagree."""

    name: str
    sets: tuple[EnvSet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable of a resolved environment; `overrode` are (source, value) pairs, the newest first."""

    name: str
    value: str
    source: str
    why: str
    overrode: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An environment with the origin of each variable, sorted by name.

    `left_out` are the (set, variable) pairs that are for other releases of the engine.
    """

    settings: Mapping[str, Setting]
    left_out: tuple[tuple[str, EnvVariable], ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """Name to value."""
        return {name: setting.value for name, setting in self.settings.items()}


def layers_for(
    catalog: Catalog,
    stage: Stage,
    suite: Suite,
    extra: Sequence[tuple[str, str]] = (),
    *,
    test: str = "",
    family: str = "",
    engine_sets: Sequence[str] = (),
) -> tuple[Layer, ...]:
    """The layers of a suite or, with `test`, of one test in it, lowest first.

    They are the catalog's, the stage's, the suite's, the test's, the engine's (`engine_sets`), and --env on top. `family` is
    that of the hardware, the suite's own when it is empty.
    """

    def named(names: Sequence[str]) -> tuple[EnvSet, ...]:
        return tuple(catalog.env_sets[name] for name in names)

    layers = [
        Layer(name=row.id, sets=named(row.sets))
        for row in catalog.env_layers
        if not row.family or row.family == (family or suite.family)
    ]
    layers.append(Layer(name="stage", sets=named(stage.env_sets)))
    layers.append(Layer(name="suite", sets=named(suite.env_sets)))
    own = [name for row in catalog.test_envs if row.test == test for name in row.sets]
    layers.append(Layer(name=f"test {test}", sets=named(own)))
    layers.append(Layer(name="engine", sets=named(engine_sets)))
    given = tuple(EnvVariable(name=name, value=value, why="requested") for name, value in extra)
    layers.append(Layer(name="--env", sets=(EnvSet(id="--env", variables=given),) if given else ()))
    return tuple(layer for layer in layers if layer.sets)


def resolve(layers: Sequence[Layer], problems: list[Problem], *, release: Version | None = None) -> Resolved:
    """Put the layers over each other; a disagreement within one layer is added to `problems`.

    Without a `release` no variable is left out for its range of versions: one that nothing reads does no harm.
    """
    settings: dict[str, Setting] = {}
    left_out: list[tuple[str, EnvVariable]] = []
    for layer in layers:
        here: dict[str, Setting] = {}
        for env_set in layer.sets:
            for variable in env_set.variables:
                if release is not None and not span_of(variable.versions).has(release):
                    left_out.append((env_set.id, variable))
                    continue
                twin = here.get(variable.name)
                if twin is not None and twin.value != variable.value:
                    what = f"{twin.source} says {twin.value!r}, {env_set.id} says {variable.value!r}"
                    hint = "sets of one layer may not disagree: move one to another layer"
                    problems.append(
                        Problem(where=f"layer {layer.name}: {variable.name}", what=what, hint=hint)
                    )
                    continue
                below = settings.get(variable.name)
                overrode = ((below.source, below.value), *below.overrode) if below is not None else ()
                here[variable.name] = Setting(
                    name=variable.name,
                    value=variable.value,
                    source=env_set.id,
                    why=variable.why,
                    overrode=overrode,
                )
        settings.update(here)
    return Resolved(settings=dict(sorted(settings.items())), left_out=tuple(left_out))


def check_given(catalog: Catalog, given: Sequence[tuple[str, str]], problems: list[Problem]) -> None:
    """What --env may not name: secrets, which would be in the plan, the agent's own variables and a step's files."""
    for name, _ in given:
        if is_secret(name, catalog.secrets):
            what = f"{name} looks like a secret: its value would be in argv, plan and log"
            problems.append(
                Problem(where="--env", what=what, hint=f"export {name} instead; see [[pass_through]]")
            )
        if name in STEP_FILES:
            what = f"{name} is for the steps of a job, not for tests"
            problems.append(Problem(where="--env", what=what, hint="remove it"))
        if name.startswith(_RESERVED_PREFIX):
            problems.append(
                Problem(where="--env", what=f"{name} is the agent's own", hint="choose another name")
            )


def pass_through_names(
    catalog: Catalog, environ: Mapping[str, str], *, in_container: bool
) -> tuple[str, ...]:
    """Which of the caller's variables reach the tests, sorted; fewer where they run in a container."""
    rows = [row for row in catalog.pass_through if not (in_container and row.host_only)]
    prefixes = tuple(prefix for row in rows for prefix in row.prefixes)
    names = {name for row in rows for name in row.names}
    return tuple(
        sorted(
            name
            for name in environ
            if name not in STEP_FILES and (name in names or (prefixes and name.startswith(prefixes)))
        )
    )
