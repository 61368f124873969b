"""Reading a checkout: the pins that its files name, by Dockerfile stage, and which of the rows' files it has."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.dependencies import Dependencies, Pin
from ci.errors import UsageError
from ci.plan.container.inside import CheckoutFacts
from ci.plan.facts import Known

__all__ = ["Assignment", "look_at_checkout", "read_assignments"]

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")
_SHELL = re.compile(r"\s*(?:export\s+|readonly\s+)*([A-Za-z_]\w*)=(.*)")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`name = value` in a file; `stage` is the Dockerfile stage that holds it, empty before the first and in a script."""

    stage: str
    name: str
    value: str


def look_at_checkout(rows: Dependencies, tree: Path, commit: Known) -> CheckoutFacts:
    """What `ci.plan.container.install` needs to know of a checkout.

    Raises:
        UsageError: a file that holds pins cannot be read.
    """
    texts: dict[str, str] = {}
    for file in {pin.file for pin in rows.pins.values()}:
        try:
            texts[file] = (tree / file).read_text(errors="replace")
        except FileNotFoundError:
            continue  # a pin that does not exist is for the plan to judge
        except OSError as error:
            raise UsageError(
                f"cannot read {tree / file}: {error.strerror}",
                cause="it names the versions that the checkout is tested with",
                then=f"ls -l {shlex.quote(str(tree / file))}",
            ) from error
    wanted = {f"{folder}/{choice.holds}" for choice in rows.choices.values() for folder in choice.among}
    wanted |= {row.needs_file for row in rows.steps if row.needs_file and row.needs_file not in rows.choices}
    pins: dict[str, str] = {}
    for pin in rows.pins.values():
        if pin.file in texts:
            pins |= _values(pin, texts[pin.file])
    return CheckoutFacts(
        tree=commit.value,
        tree_source=commit.source,
        files=frozenset(path for path in wanted if (tree / path).is_file()),
        pins=pins,
    )


def read_assignments(text: str, *, dockerfile: bool) -> tuple[tuple[Assignment, ...], Mapping[str, str]]:
    """Every literal assignment of a Dockerfile or shell script in order, and what each stage is built from.

    References to names assigned before are filled in; a value that refers to anything else is left out.
    """
    found: list[Assignment] = []
    parents: dict[str, str] = {}
    stage = ""
    for number, line in enumerate(_instructions(text) if dockerfile else text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if dockerfile and word.upper() == "FROM":
            stage, parent = _stage(rest, number)
            parents[stage] = parent
            continue
        if not dockerfile:
            match = _SHELL.fullmatch(line)
            pairs = [match.group(1) + "=" + match.group(2)] if match else []
        elif word.upper() in ("ARG", "ENV"):
            pairs = [rest]
        else:
            continue
        for pair in pairs:
            found += _pairs(pair, stage, found)
    return tuple(found), parents


def _values(pin: Pin, text: str) -> dict[str, str]:
    """The pin's values by key: one, or one for each stage that has it or is built from one that has."""
    dockerfile = Path(pin.file).name.lower().endswith("dockerfile")
    assignments, parents = read_assignments(text, dockerfile=dockerfile)
    if not pin.per_stage:
        for name in pin.names:
            value = next((row.value for row in assignments if row.name == name and row.value), "")
            if value:
                return {pin.id: value}
        return {}
    found = {}
    for stage in parents:
        value = _in_stage(pin.names, stage, assignments, parents)
        if value:
            found[f"{pin.id}@{stage}"] = value
    return found


def _in_stage(
    names: Sequence[str], stage: str, assignments: Sequence[Assignment], parents: Mapping[str, str]
) -> str:
    seen: set[str] = set()
    while stage in parents and stage not in seen:
        seen.add(stage)
        for name in names:
            values = [
                row.value for row in assignments if row.stage == stage and row.name == name and row.value
            ]
            if values:
                return values[-1]
        stage = parents[stage]
    return ""


def _instructions(text: str) -> Iterator[str]:
    """Instructions of a Dockerfile as single lines: continuations joined, comments and heredocs left out."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined = line
        while joined.rstrip().endswith("\\"):
            more = next(lines, None)
            if more is None:
                break
            if more.lstrip().startswith("#"):
                continue
            joined = joined.rstrip()[:-1] + " " + more
        yield joined
        if next(iter(joined.split(None, 1)), "").upper() in ("RUN", "COPY", "ADD"):
            for _, end in _HEREDOC.findall(joined):
                for inner in lines:
                    if inner.strip() == end:
                        break


def _stage(rest: str, number: int) -> tuple[str, str]:
    """A stage's name and what it is built from; one without a name is called by its line."""
    words = [word for word in rest.split() if not word.startswith("--")]
    parent = words[0].lower() if words else ""
    if len(words) > 2 and words[1].upper() == "AS":
        return words[2].lower(), parent
    return f"#{number}", parent


def _pairs(text: str, stage: str, before: Sequence[Assignment]) -> list[Assignment]:
    """Assignments of one ENV, ARG or shell line; unreadable quotes make it none."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return []
    if words and "=" not in words[0]:
        # the old form of ENV has one name and takes the rest of the line
        words = [f"{words[0]}={' '.join(words[1:])}"] if len(words) > 1 else []
    known = {row.name: row.value for row in before if row.stage in ("", stage)}
    found = []
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            continue
        filled = _REFERENCE.sub(
            lambda match: known.get(match.group(1) or match.group(2), match.group(0)), value
        )
        if "$" not in filled:
            found.append(Assignment(stage=stage, name=name, value=filled))
    return found
