"""A file, or a command line of docker, as an environment with the place of each variable."""

import re
from pathlib import Path
from typing import Final

from ci.errors import UsageError
from ci.facts.scripts.shell import read_shell
from ci.facts.scripts.values import Assigned, Scope, Value
from ci.plan.environment import Resolved, Setting
from ci.system.environ import VARIABLE_NAME

__all__ = ["is_script", "read_script", "title_of"]

_LONGEST_BYTES: Final = 1 << 20
_COMMAND: Final = re.compile(r"(sudo )?(docker|podman|env) |-e |--env[ =]")
_PAIR: Final = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)")


def is_script(name: str) -> bool:
    """Whether it is a file, or a command line that gives variables: `docker run -e A=1 ...`, `-e A=1 -e B=2`."""
    return _COMMAND.match(name) is not None or (not name.endswith(".py") and Path(name).is_file())


def title_of(name: str) -> str:
    """What to call it: a command line may hold secrets."""
    return "command line" if _COMMAND.match(name) else name


def read_script(name: str, notes: list[str]) -> Resolved:
    """The variables that a script exports or gives to a program; nothing of it is run.

    What is not sure is in the text of a value; what was not understood is added to `notes`.

    Raises:
        UsageError: the file cannot be read or is no text, or nothing in it sets a variable.
    """
    text, title = name if _COMMAND.match(name) else _text_of(name), Path(title_of(name)).name
    scope = _pairs(text) if _is_pairs(text) else read_shell(text)
    notes += [f"{title}: {note}" for note in scope.notes]
    settings = {
        variable: Setting(
            name=variable, value=assigned.text, source=f"{title}:{assigned.line}", why=assigned.why
        )
        for variable, assigned in scope.environment()
    }
    if not settings:
        raise UsageError(
            f"{title} sets no variable",
            cause="; ".join(scope.notes) or "no export, no env, no docker run -e, no KEY=VALUE line in it",
            then="nox -s envs -- diff SET SCRIPT",
        )
    return Resolved(settings=settings)


def _text_of(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            data = file.read(_LONGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", then="ls -l " + name) from error
    if len(data) > _LONGEST_BYTES or b"\0" in data:
        raise UsageError(
            f"{name} is no script", cause="it is longer than 1 MiB or holds bytes of 0", then="name a script"
        )
    return data.decode(errors="replace")


def _is_pairs(text: str) -> bool:
    """Whether every line is KEY=VALUE, KEY or a comment, as docker's --env-file has it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return (
        not text.startswith("#!")
        and any("=" in line for line in lines)
        and all(_PAIR.fullmatch(line) or VARIABLE_NAME.fullmatch(line) for line in lines)
        and not any(_runs_something(line) for line in lines)
    )


def _runs_something(line: str) -> bool:
    """`A=1 python3 x.py` and `A=$B` are for a shell; in a file of pairs a blank belongs to the value."""
    value = line.partition("=")[2].strip()
    quoted = value[:1] in ("'", '"') and value.endswith(value[0]) and len(value) > 1
    return not quoted and bool(re.search(r"\$|`|;|&&|\\$|\s\S*/|\s(python3?|sglang|docker)\b", value))


def _pairs(text: str) -> Scope:
    scope = Scope()
    for number, line in enumerate(text.splitlines(), start=1):
        found = _PAIR.fullmatch(line.strip())
        if found is not None:
            scope.given[found[1]] = Assigned(values=(Value(text=_plain(found[2])),), line=number)
        elif VARIABLE_NAME.fullmatch(line.strip()):
            scope.notes.append(f"line {number}: {line.strip()} is the caller's")
    return scope


def _plain(value: str) -> str:
    """Without quotes round it, or without a comment after it."""
    value = value.strip()
    if len(value) > 1 and value[0] in ("'", '"') and value[-1] == value[0]:
        return value[1:-1]
    return re.split(r"\s#", value, maxsplit=1)[0].rstrip()
