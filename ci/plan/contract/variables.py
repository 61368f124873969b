"""Our variables against what an SGLang reads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ci.catalog.envsets import EnvSet, EnvVariable
from ci.catalog.toml_reader import closest
from ci.catalog.versions import Version, span_of
from ci.errors import Problem
from ci.plan.contract.sglang import How, Reader, VariableFact

__all__ = ["VariableRow", "VariableStatus", "is_sglangs", "judge_variables", "meaning_of"]

_PREFIXES = ("SGLANG_", "SGL_")
_TRUE = frozenset({"1", "true", "yes", "y", "on", "t"})
_FALSE = frozenset({"0", "false", "no", "n", "off", "f"})


class VariableStatus(StrEnum):
    """How a variable of ours and this SGLang go together."""

    READ = "read"
    UNREAD = "read by nothing"
    OTHER_VERSIONS = "for other versions"
    NOT_SGLANGS = "not SGLang's"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableRow:
    """One variable of one env set, judged. `becomes` is the value as SGLang has it, empty when only its text is read.

    `problems` are those of the row, `findings` those of the tree, whose readers do not agree.
    """

    env_set: str
    name: str
    value: str
    status: VariableStatus
    type: str
    default: str
    becomes: str
    readers: tuple[Reader, ...]
    problems: tuple[Problem, ...] = ()
    findings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def is_sglangs(name: str) -> bool:
    """Whether a name is one of SGLang's own."""
    return name.startswith(_PREFIXES)


def judge_variables(
    env_sets: Iterable[EnvSet],
    facts: Mapping[str, VariableFact],
    *,
    release: Version | None,
    title: str,
    names: Iterable[str],
) -> tuple[VariableRow, ...]:
    """Every variable of every set; `names` are those that SGLang declares, for a hint at an unread one."""
    declared = sorted(names)
    return tuple(
        _judge(env_set.id, variable, facts[variable.name], release, title, declared)
        for env_set in env_sets
        for variable in env_set.variables
    )


def _judge(
    env_set: str,
    variable: EnvVariable,
    fact: VariableFact,
    release: Version | None,
    title: str,
    names: list[str],
) -> VariableRow:
    where = f"{variable.place}: {env_set}.{variable.name}"
    row = VariableRow(
        env_set=env_set,
        name=variable.name,
        value=variable.value,
        status=VariableStatus.READ,
        type=fact.declared.type if fact.declared else "",
        default=fact.declared.default if fact.declared else next((r.default for r in fact.readers), ""),
        becomes=fact.declared.parsed.get(variable.value, "") if fact.declared else "",
        readers=fact.readers,
    )
    if not is_sglangs(variable.name):
        return replace(row, status=VariableStatus.NOT_SGLANGS)
    # an alias is read with the name that it is an alias of
    is_read = bool(fact.readers) or bool(fact.declared and fact.declared.renamed)
    if release is not None and not span_of(variable.versions).has(release):
        notes = (
            (f"{where}: {title} reads it, versions = {variable.versions!r} leaves it out",) if is_read else ()
        )
        return replace(row, status=VariableStatus.OTHER_VERSIONS, notes=notes)
    if not is_read and release is None and variable.versions:
        note = f"{where}: read by nothing; it is for {variable.versions}, and the tree is at no release"
        return replace(row, status=VariableStatus.OTHER_VERSIONS, notes=(note,))
    if not is_read:
        return replace(
            row,
            status=VariableStatus.UNREAD,
            problems=(Problem(where=where, what=f"nothing in {title} reads it", hint=_hint(fact, names)),),
        )
    misread = tuple(dict.fromkeys(_misread(variable.value, fact)))
    problems = tuple(Problem(where=where, what=what, hint=hint) for what, hint in misread)
    findings: tuple[Problem, ...] = ()
    if misread and _is_understood(variable.value, fact):
        alike = _read_alike(variable.value, fact)
        findings, problems = (
            tuple(
                replace(each, what=f"{each.what}, to other readers it is what it looks like" + alike)
                for each in problems
            ),
            (),
        )
    notes = ()
    if fact.declared is not None and fact.declared.renamed:
        notes = (f"{where}: deprecated, {title} calls it {fact.declared.renamed}",)
    return replace(row, problems=problems, findings=findings, notes=notes)


def _hint(fact: VariableFact, names: list[str]) -> str:
    remedy = 'remove it, or name the releases that read it: versions = "<0.5.20"'
    if fact.declared is not None:
        return f"declared at {fact.declared.place}, and that is all; {remedy}"
    if fact.mentions:
        return f"named at {fact.mentions[0]}, which does not read it; {remedy}"
    near = closest(fact.name, names) if names else ""
    return f"{near} {remedy}" if near.startswith("did you mean") else remedy


def _is_understood(value: str, fact: VariableFact) -> bool:
    """Whether a reader takes the value as it looks."""
    if fact.declared is not None and any(reader.how is How.FIELD for reader in fact.readers):
        return value not in fact.declared.invalid
    return any(
        not _as_read(value, reader) for reader in fact.readers if reader.how in (How.BOOL, How.COMPARED)
    )


def _read_alike(value: str, fact: VariableFact) -> str:
    """A word for the same that no reader misreads."""
    meant = meaning_of(value)
    plain = [reader for reader in fact.readers if reader.how is not How.FIELD]
    words = [word for word in ("1", "true", "0", "false") if meaning_of(word) == meant]
    fits = next((word for word in words if not any(_as_read(word, reader) for reader in plain)), "")
    return f"; all of them read {fits!r} alike" if fits else ""


def _misread(value: str, fact: VariableFact) -> Iterator[tuple[str, str]]:
    """(what, hint) for readers that take the value for something else than it looks like."""
    declared = fact.declared
    if declared is not None and value in declared.invalid:
        what = f"{value!r} becomes {declared.parsed.get(value, declared.default)}: {declared.invalid[value]}"
        yield what, f"{declared.type} at {declared.place}"
    for reader in fact.readers:
        if reader.how is How.FIELD:
            continue
        becomes = _as_read(value, reader)
        if becomes:
            yield f"{value!r} becomes {becomes}", f"{reader.code} at {reader.place}"


def _as_read(value: str, reader: Reader) -> str:
    """What a reader makes of a value, empty when it is what the value looks like."""
    if reader.how in (How.INT, How.FLOAT):
        return "" if _is_number(value, reader.how) else "an error: not a number"
    meant = meaning_of(value)
    if meant is None:
        return ""
    if reader.how is How.TRUTH:
        return "True, as every text does" if not meant and value else ""
    word = value.lower() if reader.folded else value
    if reader.how is How.BOOL:
        taken = word in reader.yes
    elif reader.how is How.COMPARED and len(looks_for := {meaning_of(each) for each in reader.yes}) == 1:
        (sought,) = looks_for
        if sought is None:
            return ""
        taken = (word in reader.yes) is sought
    else:
        return ""
    return "" if taken == meant else str(taken)


def meaning_of(value: str) -> bool | None:
    """What a word for yes or no says, None for any other."""
    word = value.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _is_number(value: str, how: How) -> bool:
    try:
        int(value) if how is How.INT else float(value)
    except ValueError:
        return False
    return True
