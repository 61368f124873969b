"""Reference pages in Markdown, made from rows, options, schemas and exit codes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ci.catalog.catalog import Catalog
from ci.errors import EXIT_ROWS, SEVERITY, ExitCode
from ci.plan.model import Plan
from ci.record.event_json import EVENTS
from ci.system.json_schema import Schema, schemas_of

__all__ = ["CommandHelp", "render_pages"]

_FOLDER = "docs/reference"
_MADE = "<!-- Made from the code by: nox -s docs. What is edited here fails `nox -s check`. -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHelp:
    """A session or a verb as it is typed, what it does, and its options with their help."""

    name: str
    text: str
    options: Sequence[tuple[str, str]]


def render_pages(
    catalog: Catalog, sessions: Sequence[CommandHelp], verbs: Sequence[CommandHelp]
) -> dict[str, str]:
    """Every page, by path in the repository."""
    pages = {
        "docs/exit-codes.md": _exit_codes(),
        f"{_FOLDER}/options.md": _options(sessions, verbs),
        f"{_FOLDER}/record.md": _record(),
        f"{_FOLDER}/rows.md": _rows(catalog),
        f"{_FOLDER}/stages.md": _stages(catalog),
    }
    return {path: "\n".join([_MADE, *lines]).rstrip() + "\n" for path, lines in pages.items()}


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return " ".join(str(value).split()).replace("|", "\\|")


def _exit_codes() -> list[str]:
    rows = [(int(code), EXIT_ROWS[code].meaning, EXIT_ROWS[code].first_step) for code in sorted(ExitCode)]
    order = ", ".join(str(int(code)) for code in SEVERITY if code)
    return [
        "# Exit codes",
        "",
        "One table for every command, in `ci/errors.py`. Nox itself knows 0 and 1 only; the noxfile ends it with these.",
        "",
        *_table(("code", "meaning", "first step"), rows),
        f"With several at once the worst decides, in this order: {order}. A product failure is never",
        "hidden by an infrastructure failure beside it. Nox's own 2 (usage) and 3 (unknown session) mean the same.",
        "`./inv` answers a usage error with 2; plain `invoke` answers its own with 1.",
    ]


def _options(sessions: Sequence[CommandHelp], verbs: Sequence[CommandHelp]) -> list[str]:
    lines = [
        "# Options",
        "",
        "What each session and each verb takes. The same is printed by `nox -s SESSION -- --help` and `./inv --help VERB`; what they",
        "are for is in [sessions and verbs](../sessions.md).",
        "",
    ]
    for title, commands in (("Sessions", sessions), ("Verbs", verbs)):
        lines += [f"## {title}", ""]
        for command in commands:
            lines += [f"### `{command.name}`", "", *([command.text, ""] if command.text else [])]
            if command.options:
                rows = [(f"`{name}`", text) for name, text in command.options]
                lines += _table(("option", "meaning"), rows)
    return lines


def _rows(catalog: Catalog) -> list[str]:
    lines = [
        "# Kinds of rows",
        "",
        "Every key of every table in `ci/catalog/`, as the loaders read it. How rows work together, with examples, is in",
        "[the catalog](../catalog.md); editors get the same from [the schemas](../schemas.md).",
        "",
    ]
    for name, kinds in sorted(catalog.reader.kinds.items()):
        found, definitions = schemas_of(kinds)
        lines += [f"## {name}", ""]
        for array, schema in found.items():
            lines += [f"### `[[{array}]]` of {name}", "", *_described(schema), *_keys(schema, definitions)]
    return lines


def _described(schema: Schema) -> list[str]:
    text = schema.get("description", "")
    return [text, ""] if text else []


def _keys(schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        (f"`{key}`", _form(column, definitions), "required" if key in required else _default(column))
        for key, column in schema["properties"].items()
    ]
    return _table(("key", "value", "without it"), rows)


def _default(column: Schema) -> str:
    value = column.get("default")
    return f"`{json.dumps(value)}`" if value not in (None, "", [], {}) else "none"


_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "none",
}
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _form(column: Schema, definitions: Mapping[str, Schema]) -> str:
    """In words what a schema takes."""
    if "$ref" in column:
        name = column["$ref"].rpartition("/")[2]
        found = definitions[name]
        return _form(found, definitions) if "enum" in found else f"`{name.lstrip('_')}`"
    if "enum" in column:
        return ", ".join(f"`{value}`" for value in column["enum"] if value != "")
    if "anyOf" in column:
        return " or ".join(dict.fromkeys(_form(each, definitions) for each in column["anyOf"]))
    if column.get("type") == "array":
        return "list: " + _form(column.get("items", {}), definitions) if "items" in column else "list"
    if column.get("type") == "object":
        values = column.get("additionalProperties")
        return "table: " + _form(values, definitions) if isinstance(values, dict) else "table"
    if column.get("format") == "date":
        return "date"
    words = str(column.get("description") or _TYPES.get(column.get("type", ""), "any value"))
    limits = [f"{text} {column[key]}" for key, text in _LIMITS.items() if key in column]
    return ", ".join([words, *limits])


def _record() -> list[str]:
    found, definitions = schemas_of({"plan": Plan})
    plan = found["plan"]
    lines = [
        "# Plan and events",
        "",
        "What `plan.json` and `events.jsonl` of a run folder hold. What the events mean is in [the agent](../agent.md#events), the exact",
        "form in [the schemas](../schemas.md).",
        "",
        "## plan.json",
        "",
        *_described(plan),
        *_keys(plan, definitions),
    ]
    shown = [name for name in definitions if definitions[name].get("properties")]
    for name in sorted(shown):
        lines += [f"### {name}", "", *_described(definitions[name]), *_keys(definitions[name], definitions)]
    events, definitions = schemas_of(EVENTS)
    lines += ["## events.jsonl", ""]
    common = ("time", "seq", "elapsed_s", "at_s", "worker", "by", "more")
    lines += [
        "Every event has `type`, `time`, `at_s` and `by`; those of the agent `seq` and `elapsed_s` too, those of a worker `worker`.",
        "",
    ]
    for name, schema in events.items():
        own = {key: column for key, column in schema["properties"].items() if key not in common}
        table = _keys({**schema, "properties": own}, definitions) if own else []
        lines += [f"### {name}", "", *_described(schema), *table]
    return lines


def _stages(catalog: Catalog) -> list[str]:
    lines = [
        "# Stages, suites and machines",
        "",
        "The rows of `ci/catalog/` that say what CI runs and where. `nox -l` prints the sessions.",
        "",
    ]
    for stage in catalog.stages:
        waits = f" On a pull request it waits for {', '.join(stage.after)}." if stage.after else ""
        lines += [
            f"## {stage.id}",
            "",
            f"{stage.title}. Why: {stage.why}. Session: `{stage.session}`.{waits}",
            "",
        ]
        suites = catalog.suites_of(stage.id)
        if not suites:
            lines += ["No row: a checkout says which suites there are.", ""]
            continue
        rows = [
            (f"`{suite.id}`", f"`{suite.name}`", suite.family, suite.gpus, suite.shards, f"{suite.timeout_s / 60:g}",
             f"{suite.timeout_per_file_s:g}", suite.attempts, suite.rocm, suite.nightly)
            for suite in suites
        ]  # fmt: skip
        head = (
            "suite",
            "name",
            "family",
            "GPUs",
            "shards",
            "minutes",
            "seconds a file",
            "attempts",
            "ROCm",
            "nightly",
        )
        lines += _table(head, rows)
    lines += ["## Pools", ""]
    lines += _table(
        ("pool", "hardware class", "labels"),
        (
            (
                pool.id,
                pool.hardware,
                ", ".join(f"`{row.label}`" for row in catalog.labels if row.pool == pool.id),
            )
            for pool in catalog.pools.values()
        ),
    )
    lines += ["The pool of an event, by the row in force:", ""]
    events = ("pull_request", "schedule", "dispatch")
    lines += _table(
        ("family", *events, "row", "source"),
        (
            (row.family, *(getattr(row, event) for event in events), f"`{row.id}`", row.source)
            for row in catalog.routings
            if row.in_force
        ),
    )
    lines += ["## Hardware classes", ""]
    lines += _table(
        ("class", "family", "target", "memory of a GPU"),
        (
            (row.id, row.family, row.target, f"{row.vram_gib:g} GiB" if row.vram_gib else "")
            for row in catalog.hardware.classes.values()
        ),
    )
    lines += ["## Flavours of images", ""]
    lines += _table(
        ("flavour", "option", "default", "newest of the last"),
        (
            (row.id, f"`--rocm {row.rocm}`", row.default, f"{row.look_back_days} days")
            for row in catalog.images.flavours.values()
        ),
    )
    return lines
