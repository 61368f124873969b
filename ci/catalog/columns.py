"""What rows are made of: the base of every row, and the types of columns that several files share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ci.system.environ import VARIABLE_NAME
from ci.system.json_schema import Constraint

__all__ = [
    "Count",
    "Day",
    "Explained",
    "Minutes",
    "NotNegative",
    "OneOrMore",
    "Positive",
    "Regex",
    "Row",
    "Slug",
    "Sourced",
    "Text",
    "Texts",
    "Url",
    "VariableName",
    "Whole",
    "fitting",
    "key",
    "matching",
    "regex_with",
    "within",
]


def _unfit(what: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("unfit", "{what}", {"what": what, "hint": hint})


def _not_blank(value: str) -> str:
    if not value.strip():
        raise _unfit("is empty")
    return value


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise _unfit("is empty")
    return value


@dataclass(frozen=True)
class _Check(AfterValidator, Constraint):
    """A check whose part that JSON Schema can say is `keywords`."""


def fitting(fits: Callable[[str], object], form: str, **keywords: Any) -> AfterValidator:
    """A string for which `fits` is true; `form` says in words what fits, with an example."""

    def check(value: str) -> str:
        if not fits(value):
            raise _unfit(f"invalid value {value!r}" if value else "is empty", form)
        return value

    return _Check(func=check, keywords={"description": form, **keywords})


def matching(pattern: str, form: str) -> AfterValidator:
    """A string that fits the regular expression as a whole; `form` says in words what fits, with an example."""
    return fitting(re.compile(pattern).fullmatch, form, pattern=f"^(?:{pattern})$")


def key(name: str) -> FieldInfo:
    """The field is called `name` in the file."""
    made: FieldInfo = Field(alias=name)
    return made


def within(least: int, most: int | None = None) -> FieldInfo:
    """A number that is not below `least` nor above `most`."""
    made: FieldInfo = Field(ge=least, le=most)
    return made


def regex_with(*groups: str) -> AfterValidator:
    """A regular expression with these named groups."""

    def check(value: str) -> str:
        try:
            compiled = re.compile(value)
        except re.error as error:
            raise _unfit(f"is not a regular expression: {error}") from error
        missing = [group for group in groups if group not in compiled.groupindex]
        if missing:
            raise _unfit(f"has no group {', '.join(missing)}", f"write (?P<{missing[0]}>...)")
        return value

    return _Check(func=check, keywords={"format": "regex"})


def _whole(value: float) -> float:
    """Whole numbers are shown without a fraction."""
    return int(value) if value.is_integer() else value


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str) else value


_ONE = {"type": "string", "pattern": r"\S"}
_ONE_OR_MORE = {"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}]}

Text = Annotated[str, _Check(func=_not_blank, keywords={"pattern": r"\S"})]
Regex = Annotated[Text, regex_with()]
Slug = Annotated[
    str, matching(r"[a-z0-9][a-z0-9.-]*", "lower case letters, digits, dots and hyphens, e.g. stage-b-amd")
]
Url = Annotated[str, matching(r"https://\S+", "a URL, e.g. https://github.com/sgl-project/sglang/issues/1")]
Day = Annotated[str, matching(r"\d{4}-\d\d-\d\d", "a day, e.g. 2026-05-29")]
VariableName = Annotated[str, matching(VARIABLE_NAME.pattern, "a variable's name, e.g. HF_TOKEN")]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0), AfterValidator(_whole)]
NotNegative = Annotated[float, Field(ge=0), AfterValidator(_whole)]
# `timeout_min` in the file, seconds in the value
Minutes = Annotated[Positive, Field(alias="timeout_min"), AfterValidator(lambda minutes: 60 * minutes)]
Texts = Annotated[tuple[Text, ...], _Check(func=_not_empty, keywords={"minItems": 1})]
# a list, or a string instead of a list of one
OneOrMore = Annotated[Texts, BeforeValidator(_as_tuple), WithJsonSchema(_ONE_OR_MORE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of an array of tables.

    `KEY` names it in messages and in other rows, and no two rows agree in it unless it `REPEATS`. `PROVIDES` are further
    keys whose values other rows may name.
    """

    KEY: ClassVar[str] = "id"
    REPEATS: ClassVar[bool] = False
    PROVIDES: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained(Row):
    """A row that says why it is there."""

    why: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced(Explained):
    """A row that also says where its values come from."""

    source: Text
