"""All rows of ours against one SGLang."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.registrations.server_specs import ServerArguments
from ci.catalog.versions import VERSIONED_ENGINE
from ci.errors import Problem
from ci.plan.contract.arguments import ArgumentRow, judge_capabilities, judge_rows, judge_specs, split
from ci.plan.contract.sglang import SglangFacts
from ci.plan.contract.variables import VariableRow, judge_variables

__all__ = ["Contract", "judge", "values_of", "words_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """How our rows and one SGLang go together."""

    sglang: SglangFacts
    variables: tuple[VariableRow, ...]
    specs: tuple[ArgumentRow, ...]
    capabilities: tuple[ArgumentRow, ...]
    servers: tuple[ArgumentRow, ...]

    @property
    def arguments(self) -> tuple[ArgumentRow, ...]:
        """Every list of arguments."""
        return (*self.specs, *self.capabilities, *self.servers)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What does not fit in our rows."""
        return tuple(problem for row in self._rows for problem in row.problems)

    @property
    def findings(self) -> tuple[Problem, ...]:
        """What is wrong with the tree."""
        return tuple(problem for row in self.variables for problem in row.findings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What only a reader can judge, each once."""
        return tuple(dict.fromkeys(note for row in self._rows for note in row.notes))

    @property
    def _rows(self) -> tuple[VariableRow | ArgumentRow, ...]:
        return (*self.variables, *self.arguments)


def values_of(catalog: Catalog) -> Mapping[str, tuple[str, ...]]:
    """The values that our env sets and containers give to each variable."""
    values: dict[str, list[str]] = {}
    for env_set in _env_sets(catalog):
        for variable in env_set.variables:
            values.setdefault(variable.name, []).append(variable.value)
    return {name: tuple(dict.fromkeys(each)) for name, each in sorted(values.items())}


def words_of(catalog: Catalog, specs: Iterable[ServerArguments]) -> Iterator[tuple[str, str]]:
    """(option, value) pairs of our tests and capabilities, to be tried in the real parser."""
    rows = (row.args for row in catalog.capabilities if row.engine == VERSIONED_ENGINE and row.allowed)
    servers = (args for _, args, _ in _server_rows(catalog))
    for args in (*(spec.args for spec in specs), *rows, *servers):
        for name, values in split(args):
            if name and len(values) == 1 and isinstance(values[0], str):
                yield name, values[0]


def _env_sets(catalog: Catalog) -> tuple[EnvSet, ...]:
    """The sets of envs/, and the variables of containers as one more."""
    rows = catalog.containers.variables
    ours = tuple(
        EnvVariable(name=row.name, value=row.value, why=row.why, place=catalog.where(row)) for row in rows
    )
    return (*catalog.env_sets.values(), EnvSet(id="containers", variables=ours))


def _server_rows(catalog: Catalog) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What every server is given: place, arguments, releases."""
    services = catalog.engines[VERSIONED_ENGINE].services.values()
    for service in dict.fromkeys(services):
        if service.args:
            yield catalog.where(service), service.args, ""
    for row in catalog.sglang.arguments:
        yield catalog.where(row), tuple(row.args), row.versions


def judge(catalog: Catalog, specs: Iterable[ServerArguments], sglang: SglangFacts) -> Contract:
    """Compare everything."""
    return Contract(
        sglang=sglang,
        variables=judge_variables(
            _env_sets(catalog),
            sglang.variables,
            release=sglang.release,
            title=sglang.title,
            names=sglang.declared,
        ),
        specs=judge_specs(specs, sglang),
        capabilities=judge_capabilities([(catalog.where(row), row) for row in catalog.capabilities], sglang),
        servers=judge_rows(_server_rows(catalog), sglang),
    )
