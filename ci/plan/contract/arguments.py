"""Our server arguments against those of an SGLang."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ci.catalog.capabilities import Capability
from ci.catalog.registrations.server_specs import ANY, Argument, ServerArguments
from ci.catalog.toml_reader import closest
from ci.catalog.versions import VERSIONED_ENGINE, span_of
from ci.errors import Problem
from ci.plan.contract.sglang import Option, ParserFact, SglangFacts

__all__ = ["ACCEPTED", "ArgumentRow", "judge_capabilities", "judge_rows", "judge_specs", "split"]

ACCEPTED: Final = "accepted"
_NONE_OR_MORE: Final = ("*", "+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentRow:
    """The arguments of one source, judged; `status` in a word or two."""

    where: str
    args: tuple[str, ...]
    status: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def split(words: Sequence[Argument]) -> list[tuple[str, tuple[Argument, ...]]]:
    """(option, values) in order; words before the first option have an empty one."""
    groups: list[tuple[str, tuple[Argument, ...]]] = []
    for word in words:
        if isinstance(word, str) and word.startswith("--"):
            name, equals, value = word.partition("=")
            groups.append((name, (value,) if equals else ()))
        elif groups:
            groups[-1] = (groups[-1][0], (*groups[-1][1], word))
        else:
            groups.append(("", (word,)))
    return groups


def judge_specs(specs: Iterable[ServerArguments], sglang: SglangFacts) -> tuple[ArgumentRow, ...]:
    """The arguments of every ServerSpec of our tests."""
    rows = []
    for spec in specs:
        problems, notes = _judge(spec.args, spec.place, sglang.parser)
        args = tuple("..." if word is ANY else word for word in spec.args)
        rows.append(
            ArgumentRow(
                where=spec.place,
                args=args,
                status=ACCEPTED if not problems else "refused",
                problems=problems,
                notes=notes,
            )
        )
    return tuple(rows)


def judge_rows(
    rows: Iterable[tuple[str, tuple[str, ...], str]], sglang: SglangFacts
) -> tuple[ArgumentRow, ...]:
    """Arguments that a server is always given: (place, arguments, releases that they are for).

    Of a tree that is at no release a row for some releases need not fit.
    """
    judged = []
    for where, args, versions in rows:
        other = ArgumentRow(where=where, args=args, status=f"for {versions}")
        if sglang.release is not None and not span_of(versions).has(sglang.release):
            judged.append(other)
            continue
        problems, notes = _judge(args, where, sglang.parser)
        if problems and sglang.release is None and versions:
            judged.append(other)
            continue
        status = "refused" if problems else ACCEPTED
        judged.append(ArgumentRow(where=where, args=args, status=status, problems=problems, notes=notes))
    return tuple(judged)


def judge_capabilities(
    rows: Iterable[tuple[str, Capability]], sglang: SglangFacts
) -> tuple[ArgumentRow, ...]:
    """The rows of SGLang's capabilities, each with its place.

    Of a tree that is at no release the ranges of versions cannot be judged: there, one row of several has to fit.
    """
    judged: list[ArgumentRow] = []
    unversioned: dict[tuple[str, tuple[str, ...]], list[ArgumentRow]] = {}
    for where, row in rows:
        if row.engine != VERSIONED_ENGINE:
            continue
        if sglang.release is not None and not span_of(row.versions).has(sglang.release):
            judged.append(ArgumentRow(where=where, args=row.args, status=f"for {row.versions}"))
            continue
        found = _judge_row(where, row, sglang)
        if sglang.release is None and row.versions:
            unversioned.setdefault((row.id, row.hardware), []).append(found)
        else:
            judged.append(found)
    for found_rows in unversioned.values():
        fits = any(not found.problems for found in found_rows)
        judged += (
            ArgumentRow(where=found.where, args=found.args, status="for other versions")
            if fits and found.problems
            else found
            for found in found_rows
        )
    return tuple(judged)


def _judge_row(where: str, row: Capability, sglang: SglangFacts) -> ArgumentRow:
    if row.allowed:
        problems, notes = _judge(row.args, where, sglang.parser)
        return ArgumentRow(
            where=where,
            args=row.args,
            status=ACCEPTED if not problems else "refused",
            problems=problems,
            notes=notes,
        )
    unless = row.left_out_until
    if unless is None:
        return ArgumentRow(where=where, args=row.args, status="left out, not checked")
    if unless.list not in sglang.lists:
        note = f"{where}: {sglang.title} has no list {unless.list}, by which the row could be checked"
        return ArgumentRow(where=where, args=row.args, status="left out, not checked", notes=(note,))
    allowed = sglang.lists[unless.list]
    if unless.has not in allowed:
        return ArgumentRow(where=where, args=row.args, status="left out, rightly")
    what = f"stale: {sglang.title} has {unless.has!r} in {unless.list} ({', '.join(allowed)})"
    hint = "its argument checks accept it now: try it on the hardware, then set allowed = true from this release on"
    problem = Problem(where=where, what=what, hint=hint)
    return ArgumentRow(where=where, args=row.args, status="stale", problems=(problem,))


def _judge(
    words: Sequence[Argument], where: str, parser: ParserFact
) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    problems: list[Problem] = []
    notes: list[str] = []
    for name, values in split(words):
        if not name:
            what = f"{values[0]!r} is unexpected: no option is before it"
            problems.append(Problem(where=where, what=what))
            continue
        option, problem = _find(name, parser)
        if option is None:
            problems.append(Problem(where=where, what=problem[0], hint=problem[1]))
            continue
        if problem[0]:
            notes.append(f"{where}: {problem[0]}")
        if option.deprecated:
            notes.append(f"{where}: {name} is deprecated" + (f": {option.instead}" if option.instead else ""))
        if option.choices_unread and values:
            notes.append(f"{where}: {name}: its choices are computed, so the value was not checked")
        problems += (
            Problem(where=where, what=what, hint=hint) for what, hint in _values(name, values, option, parser)
        )
    return tuple(problems), tuple(notes)


def _find(name: str, parser: ParserFact) -> tuple[Option | None, tuple[str, str]]:
    """The option of a name; what is to be said of it, and a hint."""
    by_name = {each: option for option in parser.options for each in option.names}
    if name in by_name:
        return by_name[name], ("", "")
    # as argparse does
    longer = sorted(each for each in by_name if each.startswith(name))
    if len({id(by_name[each]) for each in longer}) == 1:
        return by_name[longer[0]], (f"{name} is an abbreviation of {longer[0]}", "")
    if longer:
        return None, (f"ambiguous argument {name}", f"it could be {', '.join(longer)}")
    return None, (f"unknown argument {name}", _nearest(name, by_name))


def _nearest(name: str, known: Iterable[str]) -> str:
    """The arguments that share all words but one come first: a renamed one keeps the rest of its name."""
    words = name.strip("-").split("-")
    alike = [
        each
        for each in known
        if len(theirs := each.strip("-").split("-")) == len(words)
        and sum(one != two for one, two in zip(words, theirs, strict=True)) == 1
        and len(words) > 2
    ]
    if alike:
        return f"renamed to {' or '.join(sorted(alike)[:3])}?"
    near = closest(name, list(known))
    return near if near.startswith("did you mean") else ""


def _values(
    name: str, values: tuple[Argument, ...], option: Option, parser: ParserFact
) -> Iterator[tuple[str, str]]:
    least, most = _counts(option.nargs)
    if len(values) < least:
        yield f"{name}: the value is missing", f"it takes {option.nargs or 'one'}"
    elif most is not None and len(values) > most:
        yield f"{name}: unexpected value {values[most]!r}", "it is a flag" if most == 0 else ""
    for value in values[:most]:
        if value is ANY:
            continue
        if option.choices is not None and value not in option.choices:
            yield f"{name}: invalid choice {value!r}", f"known: {', '.join(sorted(option.choices))}"
        elif not _fits(str(value), option.type):
            yield f"{name}: {value!r} is not of type {option.type}", ""
        elif (name, str(value)) in parser.refused:
            yield f"{name}: {value!r} is refused: {parser.refused[name, str(value)]}", ""


def _counts(nargs: int | str | None) -> tuple[int, int | None]:
    """The least and the most number of values."""
    if nargs is None:
        return 1, 1
    if isinstance(nargs, int):
        return nargs, nargs
    return (1 if nargs == "+" else 0), (None if nargs in _NONE_OR_MORE else 1)


def _fits(value: str, type_name: str) -> bool:
    try:
        {"int": int, "float": float}.get(type_name, str)(value)
    except ValueError:
        return False
    return True
