"""The door to pydantic: values of JSON or TOML as typed values, with everything that is wrong at once, and back.

Types are frozen dataclasses of this project, enums, and tuples, mappings and unions of them. Scalars are strict (no "1" for
1, no true for 1); a list becomes a tuple, an object a dataclass, a whole number fits where a float is expected.

Text may hold lone surrogates: Python puts them where a file name or an argument is not UTF-8. They survive. Two that make a
character become that character, which is what every reader of JSON makes of them.
"""

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, SchemaValidator

_T = TypeVar("_T")

__all__ = ["MISSING", "DecodeError", "Wrong", "canonical", "decode", "encode"]

MISSING = "is missing"

_STRICT = {
    "bool": {"strict": True},
    "float": {"strict": True, "allow_inf_nan": False},
    "int": {"strict": True},
    "str": {"strict": True},
}
_SHOWN_CHARS = 80
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_VALIDATORS: dict[type, SchemaValidator] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One thing that does not fit: where, as keys and indices from the outermost value, what, and what would fit.

    `name` is one that is not among the `known`, where names are known at all.
    """

    path: tuple[str | int, ...]
    what: str
    hint: str = ""
    name: str = ""
    known: tuple[str, ...] = ()

    @property
    def dotted(self) -> str:
        """`suites[0].env.HOME`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".")

    def __str__(self) -> str:
        text = f"{self.dotted}: {self.what}" if self.path else self.what
        return f"{text} ({self.hint})" if self.hint else text


class DecodeError(ValueError):
    """A value is not what its type says; `wrong` is everything that does not fit."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__("; ".join(map(str, wrong)))
        self.wrong = tuple(wrong)


def decode(kind: type[_T], value: object, *, unknown: bool = False) -> _T:
    """`value` as a `kind`; keys that it does not know are wrong unless `unknown`, which leaves them out.

    Raises:
        DecodeError: with everything that does not fit.
    """
    try:
        made: _T = _validator(kind).validate_python(value, extra="ignore" if unknown else "forbid")
    except ValidationError as error:
        raise DecodeError([_wrong(kind, each) for each in error.errors(include_url=False)]) from None
    return made


def encode(value: object, *, finite: bool = False) -> Any:
    """The value as JSON values: objects, lists, strings, numbers (whole ones without a fraction), true, false, null.

    Written out here: pydantic refuses keys that are not valid Unicode, and a path may be one.
    `finite`: nan and the infinities become null, so that every reader of JSON takes it.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return _PAIR.sub(_character, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None if finite else value
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {encode(str(key)): encode(item, finite=finite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, finite=finite) for item in value]
    if is_dataclass(value):
        return {row.name: encode(getattr(value, row.name), finite=finite) for row in fields(value)}
    return value


def canonical(value: object) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, whole numbers without a fraction.

    It may hold lone surrogates: encode it with `surrogatepass`.
    """
    return json.dumps(
        encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _character(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _validator(kind: type) -> SchemaValidator:
    if kind not in _VALIDATORS:
        schema: Any = TypeAdapter(kind).core_schema
        _VALIDATORS[kind] = SchemaValidator(_strict(schema))
    return _VALIDATORS[kind]


def _strict(schema: Any) -> Any:
    """The schema with strict scalars. Strict as a whole it would take instances of dataclasses alone, and no lists."""
    if isinstance(schema, dict):
        strict = _STRICT.get(schema["type"], {}) if isinstance(schema.get("type"), str) else {}
        return {key: _strict(item) for key, item in schema.items()} | strict
    if isinstance(schema, list | tuple):
        return type(schema)(map(_strict, schema))
    return schema


_KINDS = {
    "string_type": "a string",
    "string_unicode": "valid Unicode",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "none_required": "null",
    "tuple_type": "a list",
    "list_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
    "dataclass_type": "a table",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "date_from_datetime_inexact": "a date",
}
_RANGES = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_SCHEMA_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
_DAY = "2026-05-29"


def _wrong(kind: type, error: ErrorDetails) -> Wrong:
    path, value, context = error["loc"], error["input"], error.get("ctx", {})
    shown = repr(value) if isinstance(value, str | float) else json.dumps(value, default=str)
    shown = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
    match error["type"]:
        case "missing":
            return Wrong(path=path, what=MISSING, hint=_form(kind, path))
        case "unexpected_keyword_argument":
            known = tuple(_properties(kind)) if len(path) == 1 else ()
            return Wrong(path=path, what="unknown key", name=str(path[-1]), known=known)
        case "enum" | "literal_error":
            known = tuple(re.findall(r"'([^']+)'", context["expected"]))
            hint = f"expected {context['expected']}"
            return Wrong(path=path, what=f"unknown value {shown}", hint=hint, name=str(value), known=known)
        case "unfit":
            return Wrong(path=path, what=context["what"], hint=context["hint"])
        case name if name in _KINDS:
            hint = f"e.g. {_DAY}" if _KINDS[name] == "a date" else ""
            return Wrong(path=path, what=f"is {shown}, not {_KINDS[name]}", hint=hint)
        case name if name in _RANGES:
            key, words = _RANGES[name]
            return Wrong(path=path, what=f"is {shown}", hint=f"must be {words} {context[key]:g}")
        case _:
            return Wrong(path=path, what=f"is {shown}: {error['msg']}")


def _form(kind: type, path: tuple[str | int, ...]) -> str:
    """What a missing key of the outermost value holds."""
    schema = _properties(kind).get(str(path[0]), {}) if len(path) == 1 else {}
    if schema.get("format") == "date":
        return f"a date, e.g. {_DAY}"
    return _SCHEMA_KINDS.get(schema.get("type", ""), "")


@functools.cache
def _properties(kind: type) -> dict[str, Any]:
    properties: dict[str, Any] = TypeAdapter(kind).json_schema().get("properties", {})
    return properties
