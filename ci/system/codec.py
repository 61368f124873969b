"""The door to pydantic: values of JSON or TOML as typed values, with everything that is wrong at once, and back.

Types are frozen dataclasses of this project, enums, and tuples, mappings and unions of them. Scalars are strict (no "1" for
1, no true for 1); a list becomes a tuple, an object a dataclass, a whole number fits where a float is expected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, SchemaValidator, to_jsonable_python

_T = TypeVar("_T")

__all__ = ["DecodeError", "Wrong", "decode", "encode"]

_STRICT = {
    "bool": {"strict": True},
    "float": {"strict": True, "allow_inf_nan": False},
    "int": {"strict": True},
    "str": {"strict": True},
}
_SHOWN_CHARS = 80
_VALIDATORS: dict[type, SchemaValidator] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One thing that does not fit: where, as keys and indices from the outermost value, and what."""

    path: tuple[str | int, ...]
    what: str

    @property
    def dotted(self) -> str:
        """`suites[0].env.HOME`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".")

    def __str__(self) -> str:
        return f"{self.dotted} {self.what}".lstrip()


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
        raise DecodeError([_wrong(each) for each in error.errors(include_url=False)]) from None
    return made


def encode(value: object) -> Any:
    """The value as JSON values: objects, lists, strings, numbers (whole ones without a fraction), true, false, null."""
    return _whole(to_jsonable_python(value))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


_WORDS: dict[str, Callable[[str, Any], str]] = {
    "missing": lambda _shown, _context: "is missing",
    "unexpected_keyword_argument": lambda _shown, _context: "is unknown",
    "enum": lambda shown, context: f"is {shown}, not {context['expected']}",
    "literal_error": lambda shown, context: f"is {shown}, not {context['expected']}",
}
_KINDS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "none_required": "null",
    "tuple_type": "a list",
    "list_type": "a list",
    "mapping_type": "an object",
    "dict_type": "an object",
    "dataclass_type": "an object",
}


def _wrong(error: ErrorDetails) -> Wrong:
    kind, shown = error["type"], repr(error["input"])
    shown = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
    if kind in _WORDS:
        what = _WORDS[kind](shown, error.get("ctx"))
    elif kind in _KINDS:
        what = f"is {shown}, not {_KINDS[kind]}"
    else:
        what = f"is {shown}: {error['msg']}"
    return Wrong(path=error["loc"], what=what)
