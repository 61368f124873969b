"""JSON Schemas of what this project writes and reads, made from the types that read it."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ci.catalog.columns import Row
from ci.catalog.envsets import TABLE_NAME, EnvEntry
from ci.plan.compare.capsule import LINE
from ci.plan.model import SCHEMA, Placement, Plan, SuiteWork, TestWork, Work
from ci.record.event_json import EVENTS
from ci.system.environ import VARIABLE_NAME
from ci.system.json_schema import DIALECT, Schema, schemas_of

__all__ = ["FOLDER", "render_schemas"]

FOLDER = "docs/schemas"


def render_schemas(kinds: Mapping[str, Mapping[str, type[Row]]]) -> dict[str, str]:
    """Every schema, by path in the repository; `kinds` are those of a catalog's reader."""
    files = {f"catalog/{name.removesuffix('.toml')}": _catalog(name, rows) for name, rows in kinds.items()}
    files |= {"envs": _env_sets(), "plan": _plan(), "event": _event(), "capsule": _capsule()}
    return {
        f"{FOLDER}/{name}.json": json.dumps({"$schema": DIALECT, **_pruned(schema)}, indent=1) + "\n"
        for name, schema in sorted(files.items())
    }


def _object(properties: Schema, *, required: list[str], **keywords: Any) -> Schema:
    return {
        "type": "object",
        **keywords,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _catalog(name: str, rows: Mapping[str, type[Row]]) -> Schema:
    """A file of arrays of tables."""
    found, definitions = schemas_of(rows)
    arrays = {array: {"type": "array", "items": found[array]} for array in rows}
    return _object(arrays, required=[], title=f"ci/catalog/{name}", **{"$defs": definitions})


def _env_sets() -> Schema:
    """A file of sets: a table of variables each."""
    found, definitions = schemas_of({"entry": EnvEntry})
    variables = {
        "type": "object",
        "propertyNames": {"pattern": f"^(?:{VARIABLE_NAME.pattern})$"},
        "additionalProperties": found["entry"],
    }
    return {
        "title": "envs/*.toml",
        "type": "object",
        "propertyNames": {"pattern": f"^(?:{TABLE_NAME.pattern})$"},
        "additionalProperties": variables,
        "$defs": definitions,
    }


def _plan() -> Schema:
    """plan.json."""
    found, definitions = schemas_of({"plan": Plan})
    plan = found["plan"]
    stated = {"schema": {"const": SCHEMA}, "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
    return {
        **plan,
        "title": "plan.json",
        "properties": {**stated, **plan["properties"]},
        "required": [*stated, *plan["required"]],
        "$defs": definitions,
    }


def _event() -> Schema:
    """One line of events.jsonl. Types and keys of another version are kept by the reader, so they are allowed."""
    found, definitions = schemas_of(EVENTS)
    return {
        "title": "a line of events.jsonl",
        "type": "object",
        "properties": {"type": {"type": "string"}},
        "required": ["type"],
        "allOf": [
            {"if": {"properties": {"type": {"const": name}}}, "then": _of_any_version(schema)}
            for name, schema in found.items()
        ],
        "$defs": definitions,
    }


def _of_any_version(schema: Schema) -> Schema:
    properties = {name: column for name, column in schema["properties"].items() if name != "more"}
    if "verdict" in properties:
        # the reader takes the name of a verdict that it does not know for `unknown`
        properties["verdict"] = {"anyOf": [properties["verdict"], {"type": "string"}]}
    return {**schema, "properties": properties, "additionalProperties": True}


def _capsule() -> Schema:
    """What a capsule's line holds when it is unpacked: pairs of a name and a value. `$defs.line` is the line."""
    found, definitions = schemas_of(
        {"work": Work, "placement": Placement, "plan": Plan, "suite": SuiteWork, "test": TestWork}
    )
    values = {
        "schema": {"const": SCHEMA},
        **{
            name: column
            for name, column in found["work"]["properties"].items()
            if name not in ("stage", "suites")
        },
        "suite": _without(found["suite"], "tests"),
        "test": found["test"],
        "suites": {"type": "integer", "minimum": 0, "description": "how many suites came before"},
        **{f"placement.{name}": column for name, column in found["placement"]["properties"].items()},
        **{name: found["plan"]["properties"][name] for name in ("partial", "request", "part")},
    }
    work = [field.name for field in dataclasses.fields(Work) if field.name != "stage"]
    return {
        "title": "the payload of a capsule",
        "type": "array",
        "items": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "prefixItems": [{"enum": list(values)}],
            "allOf": [
                {"if": {"prefixItems": [{"const": name}]}, "then": {"prefixItems": [True, value]}}
                for name, value in values.items()
            ],
        },
        "allOf": [
            {"contains": {"prefixItems": [{"const": name}]}}
            for name in ("schema", *work, "placement.executor", "request")
        ],
        "$defs": {"line": {"type": "string", "pattern": f"^{LINE}$"}, **definitions},
    }


def _without(schema: Schema, name: str) -> Schema:
    properties = {key: column for key, column in schema["properties"].items() if key != name}
    required = [key for key in schema["required"] if key != name]
    return {**schema, "properties": properties, "required": required}


def _pruned(schema: Schema) -> Schema:
    """Without definitions that nothing refers to."""
    definitions = schema.get("$defs", {})
    body = {key: value for key, value in schema.items() if key != "$defs"}
    used: dict[str, Schema] = {key: value for key, value in definitions.items() if key == "line"}
    waiting = [body]
    while waiting:
        text = json.dumps(waiting.pop())
        for name, definition in definitions.items():
            if name not in used and f'"#/$defs/{name}"' in text:
                used[name] = definition
                waiting.append(definition)
    return {**body, "$defs": dict(sorted(used.items()))} if used else body
