"""GitHub's expressions, evaluated as far as a file shows their values.

An expression has every value that it can have: one where all is known, both sides of a condition that depends on the event,
`UNKNOWN` where only a run can tell.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ci.plan.tree.model import ANY

__all__ = ["UNKNOWN", "Filled", "Scope", "Unknown", "evaluate", "fill", "text_of"]


class Unknown:
    """What only a run can tell."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
_PLACE = re.compile(r"\$\{\{(?P<inside>.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?))(?![\w-])|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>\|\||&&|==|!=|<=|>=|[!<>()\[\].,*]))"
)
_SLOT = re.compile(r"\{\{|\}\}|\{(\d+)\}")
_MOST_VALUES = 12
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
# what a run's state decides
_STATES = ("always", "success", "failure", "cancelled", "hashfiles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may name: values by context; a name of a `closed` context that has none is empty, not unknown."""

    contexts: Mapping[str, Mapping[str, Any]]
    closed: frozenset[str] = frozenset()

    def lookup(self, path: Sequence[str]) -> Any:
        """The value of `matrix.part` and the like."""
        context = self.contexts.get(path[0])
        if context is None:
            return UNKNOWN
        value: Any = context
        for number, name in enumerate(path[1:]):
            if name == "*" or not isinstance(value, Mapping):
                return UNKNOWN if name == "*" or isinstance(value, Unknown) else None
            if name not in value:
                return None if path[0] in self.closed or number else UNKNOWN
            value = value[name]
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A text with its expressions filled in; `ANY` is in place of what only a run can tell.

    `sometimes` are the texts that stand in a place in some runs and not in others: the place is empty in `text`.
    `unknown` are expressions that were not evaluated.
    """

    text: str
    sometimes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def fill(text: str, scope: Scope) -> Filled:
    """A text with every `${{ }}` filled in."""
    sometimes: list[str] = []
    unknown: list[str] = []

    def value(found: re.Match[str]) -> str:
        values = evaluate(found["inside"], scope)
        texts = list(dict.fromkeys(text_of(each) for each in values if not isinstance(each, Unknown)))
        if len(texts) == 1 and len(values) == 1:
            return texts[0]
        if "" in texts and len(texts) == len(values):
            sometimes.extend(each for each in texts if each)
            return ""
        unknown.append(found["inside"].strip())
        return ANY

    return Filled(text=_PLACE.sub(value, text), sometimes=tuple(sometimes), unknown=tuple(unknown))


def evaluate(text: str, scope: Scope) -> tuple[Any, ...]:
    """Every value that an expression can have; what is no expression is unknown."""
    inside = text.strip()
    whole = _PLACE.fullmatch(inside)
    if whole is not None and "${{" not in whole["inside"]:
        inside = whole["inside"]
    try:
        tokens = list(_tokens(inside))
        reader = _Reader(tokens, scope)
        values = reader.any_of()
    except (_InvalidError, IndexError, RecursionError):
        return (UNKNOWN,)
    return values if reader.at == len(tokens) else (UNKNOWN,)


def text_of(value: Any) -> str:
    """A value as GitHub writes it into text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


class _InvalidError(ValueError):
    pass


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _InvalidError(text[at:])
        yield str(found.lastgroup), found[str(found.lastgroup)]
        at = found.end()


class _Reader:
    """Recursive descent in GitHub's order: `||`, `&&`, comparisons, `!`, names and calls."""

    def __init__(self, tokens: Sequence[tuple[str, str]], scope: Scope) -> None:
        self.tokens = tokens
        self.scope = scope
        self.at = 0

    def any_of(self) -> tuple[Any, ...]:
        values = self.all_of()
        while self._take("||"):
            values = _either(values, self.all_of(), first_when=True)
        return values

    def all_of(self) -> tuple[Any, ...]:
        values = self.compared()
        while self._take("&&"):
            values = _either(values, self.compared(), first_when=False)
        return values

    def compared(self) -> tuple[Any, ...]:
        left = self.negated()
        for sign in ("==", "!=", "<=", ">=", "<", ">"):
            if self._take(sign):
                right = self.negated()
                return _distinct(_compare(sign, one, two) for one in left for two in right)
        return left

    def negated(self) -> tuple[Any, ...]:
        if self._take("!"):
            return _distinct(
                UNKNOWN if isinstance(value, Unknown) else not _truth(value) for value in self.negated()
            )
        return self.single()

    def single(self) -> tuple[Any, ...]:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return (text[1:-1].replace("''", "'"),)
        if kind == "number":
            return (float(int(text, 0) if "x" in text else text),)
        if text == "(":
            values = self.any_of()
            if not self._take(")"):
                raise _InvalidError(text)
            return self._members(values)
        if kind != "name":
            raise _InvalidError(text)
        if self._take("("):
            arguments: list[tuple[Any, ...]] = []
            while not self._take(")"):
                arguments.append(self.any_of())
                self._take(",")
            return self._members(_call(text.lower(), arguments))
        if text.lower() in _WORDS:
            return (_WORDS[text.lower()],)
        path = [text]
        while names := self._member():
            path.append(names)
        return (self.scope.lookup(path),)

    def _members(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        while name := self._member():
            values = _distinct(value.get(name) if isinstance(value, Mapping) else UNKNOWN for value in values)
        return values

    def _member(self) -> str:
        """`.name`, `.*` or `['name']`, empty where none follows."""
        if self._take("."):
            name = self.tokens[self.at][1]
            self.at += 1
            return name
        if self._take("["):
            (value, *others) = self.any_of()
            if not self._take("]"):
                raise _InvalidError("[")
            return "*" if others or isinstance(value, Unknown) else text_of(value)
        return ""

    def _take(self, sign: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == ("sign", sign):
            self.at += 1
            return True
        return False


def _either(left: tuple[Any, ...], right: tuple[Any, ...], *, first_when: bool) -> tuple[Any, ...]:
    """`left || right` where `first_when` is true, `left && right` where it is not."""
    values: list[Any] = []
    for one in left:
        if isinstance(one, Unknown):
            # a condition that only a run can tell: of `a && b` it is false, of `a || b` itself
            values += [UNKNOWN if first_when else False, *right]
        elif _truth(one) is first_when:
            values.append(one)
        else:
            values += right
    return _distinct(values)


def _compare(sign: str, one: Any, two: Any) -> Any:
    if isinstance(one, Unknown) or isinstance(two, Unknown):
        return UNKNOWN
    same = _plain(one) == _plain(two)
    if sign in ("==", "!="):
        return same is (sign == "==")
    left, right = _plain(one), _plain(two)
    if not isinstance(left, float) or not isinstance(right, float):
        return UNKNOWN
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign]


def _plain(value: Any) -> Any:
    """A value as GitHub compares it: text without regard to case, anything else as a number."""
    if isinstance(value, str):
        return value.casefold() if value else 0.0
    return float(value) if isinstance(value, bool | int | float) else 0.0 if value is None else value


def _truth(value: Any) -> bool:
    return value not in (None, False, "", 0)


def _call(name: str, arguments: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    if name in _STATES or name not in _FUNCTIONS:
        return (UNKNOWN,)
    combined: list[tuple[Any, ...]] = [()]
    if name == "format":  # the rest of its text is known all the same
        arguments = [[ANY if isinstance(each, Unknown) else each for each in values] for values in arguments]
    for values in arguments:
        combined = [(*made, value) for made in combined for value in values][:_MOST_VALUES]
    return _distinct(
        UNKNOWN if any(isinstance(each, Unknown) for each in given) else _applied(name, given)
        for given in combined
    )


def _applied(name: str, given: tuple[Any, ...]) -> Any:
    try:
        return _FUNCTIONS[name](*given)
    except (TypeError, ValueError, IndexError):
        return UNKNOWN


def _format(text: str, *values: Any) -> str:
    def slot(found: re.Match[str]) -> str:
        return found[0][0] if found[1] is None else text_of(values[int(found[1])])

    return _SLOT.sub(slot, text)


def _contains(where: Any, what: Any) -> bool:
    if isinstance(where, list):
        return any(_plain(each) == _plain(what) for each in where)
    return text_of(what).casefold() in text_of(where).casefold()


def _join(values: Any, separator: str = ",") -> str:
    return separator.join(map(text_of, values)) if isinstance(values, list) else text_of(values)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "format": _format,
    "contains": _contains,
    "startswith": lambda text, what: text_of(text).casefold().startswith(text_of(what).casefold()),
    "endswith": lambda text, what: text_of(text).casefold().endswith(text_of(what).casefold()),
    "join": _join,
    "tojson": json.dumps,
    "fromjson": json.loads,
}


def _distinct(values: Any) -> tuple[Any, ...]:
    found: list[Any] = []
    for value in values:
        if not any(value is each or (type(value) is type(each) and value == each) for each in found):
            found.append(value)
    return tuple(found) if len(found) <= _MOST_VALUES else (UNKNOWN,)
