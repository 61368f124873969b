"""The workflows as text: a projection of the catalog, byte for byte the same for the same rows."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jinja2

from ci.catalog.catalog import Catalog
from ci.catalog.workflows import SecretRow, WorkflowInput, WorkflowRow
from ci.github.matrix import stage_waves, suites_of
from ci.system.generated import Stale, stale_files, write_files

__all__ = [
    "ACTIONLINT",
    "COMMAND",
    "HEADER",
    "WORKFLOWS",
    "ZIZMOR",
    "Stale",
    "find_stale",
    "render",
    "write",
]

WORKFLOWS = ".github/workflows"
ACTIONLINT = ".github/actionlint.yaml"
ZIZMOR = ".github/zizmor.yml"
COMMAND = "nox -s workflows"
HEADER = f"# Rendered from ci/catalog/ by: {COMMAND}. Edit the rows there: what is edited here fails `nox -s check`.\n"

_TEMPLATES = Path(__file__).parent / "templates"


def render(catalog: Catalog) -> Mapping[str, str]:
    """Every rendered file: its path in the repository and its text."""
    rows = _rows(catalog)
    files = {
        f"{WORKFLOWS}/{row.id}.yml": _text(
            f"{row.kind}.yml.j2",
            workflow=row,
            options=_options(catalog, row),
            waves=range(1, 1 + max(stage_waves(catalog, row).values(), default=0)),
            **rows,
        )
        for row in catalog.actions.workflows
    }
    files[ACTIONLINT] = _text("actionlint.yaml.j2", labels=_own_labels(catalog), **rows)
    files[ZIZMOR] = _text("zizmor.yml.j2", ignores=catalog.actions.ignores, **rows)
    return files


def find_stale(catalog: Catalog, root: Path) -> tuple[Stale, ...]:
    """Every file of a checkout that differs from what the catalog says, lacks, or has no row."""
    files = render(catalog)
    stale = stale_files(files, root, what="is not what the catalog says")
    unknown = (f"{WORKFLOWS}/{file.name}" for file in sorted((root / WORKFLOWS).glob("*.y*ml")))
    what = "no row of actions.toml renders it; remove it"
    return (*stale, *(Stale(path=path, what=what, diff="") for path in unknown if path not in files))


def write(catalog: Catalog, root: Path) -> tuple[str, ...]:
    """Write every file that differs; returns the paths of those. A workflow without a row is left for `check` to name."""
    return write_files(render(catalog), root)


@functools.cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once; rows are given when one is rendered."""
    # Actions' own expressions are `${{ }}` and its comments `#`: the templates' marks must be others
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, not HTML; what goes in is checked by the catalog's loader
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=False,
        keep_trailing_newline=False,
    )
    environment.filters["quoted"] = json.dumps
    environment.filters["flow"] = json.dumps
    return environment


def _rows(catalog: Catalog) -> Mapping[str, object]:
    """What every template may use."""
    rows = catalog.actions
    return {
        "hosts": rows.hosts,
        "images": rows.images,
        "inputs": rows.inputs,
        "numbers": rows.numbers,
        "own_sessions": rows.own,
        "pins": rows.actions,
        "secrets_of": partial(_secrets_of, catalog),
        "stage": rows.of_kind("stage")[0],
        "tools": rows.tools,
        "tree": rows.tree,
    }


def _text(template: str, **values: object) -> str:
    lines = _environment().get_template(template).render(**values).splitlines()
    body = "\n".join(line.rstrip() for line in lines).strip()
    return HEADER + body + "\n"


def _secrets_of(catalog: Catalog, kind: str) -> Sequence[SecretRow]:
    return [row for row in catalog.actions.secrets if kind in row.kinds]


def _options(catalog: Catalog, workflow: WorkflowRow) -> Callable[[WorkflowInput], list[str]]:
    """What may be chosen in a dropdown of this workflow."""

    def options(row: WorkflowInput) -> list[str]:
        if row.options_from == "suites":
            suites = suites_of(catalog, workflow)
            names = [*(suite.stage for suite in suites), *(suite.name for suite in suites)]
            return list(dict.fromkeys(names))
        if row.options_from == "pools":
            return [pool for family in _families_with_a_choice(catalog) for pool in family]
        return list(row.options)

    return options


def _families_with_a_choice(catalog: Catalog) -> list[list[str]]:
    pools: dict[str, list[str]] = {}
    for pool in catalog.pools.values():
        pools.setdefault(catalog.family_of(pool.hardware), []).append(pool.id)
    return [names for names in pools.values() if len(names) > 1]


def _own_labels(catalog: Catalog) -> list[str]:
    """Runner labels that GitHub does not offer itself."""
    rented = catalog.actions.hosts["control"]
    labels = [*(row.label for row in catalog.labels), *catalog.actions.hosts.values()]
    return [label for label in dict.fromkeys(labels) if label != rented]
