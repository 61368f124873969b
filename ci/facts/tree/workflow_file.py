"""The door to YAML: a workflow file as tables that keep their lines."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ci.errors import Problem

__all__ = ["line_of", "listed", "load_workflows"]


def load_workflows(files: Iterable[tuple[str, bytes]], problems: list[Problem]) -> Mapping[str, Any]:
    """The files as tables by path; one that is invalid or has no jobs is added to `problems`."""
    read = ((file, _load(file, text, problems)) for file, text in files)
    return {file: document for file, document in read if document is not None}


def _load(file: str, text: bytes, problems: list[Problem]) -> Any:
    """The file as ruamel's tables; None for one that is invalid or has no jobs, which is added to `problems`."""
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - 60 ms that only a tree's facts have a use for

    try:
        document = _parsed(text)
    except (UnicodeDecodeError, YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        what = f"cannot be read: {getattr(error, 'problem', None) or error}"
        problems.append(Problem(where=where, what=what))
        return None
    jobs = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(jobs, dict):
        problems.append(Problem(where=f"{file}:1", what="has no jobs", hint="is it a workflow?"))
        return None
    return document


@functools.lru_cache(maxsize=128)
def _parsed(text: bytes) -> Any:
    """A file's tables, which nobody changes: reading one takes 0.1 s, and a check asks for it more than once."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - as above

    return YAML().load(text.decode())


def listed(value: Any) -> Sequence[Any]:
    """A list as it is, one text as a list of it."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def line_of(table: Any, key: str) -> int:
    """The line of a key, counted from 1."""
    try:
        return int(table.lc.key(key)[0]) + 1
    except (AttributeError, KeyError, TypeError):  # a table in braces on one line, or one that YAML merged in
        return int(getattr(getattr(table, "lc", None), "line", 0)) + 1
