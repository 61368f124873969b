"""Whether two texts of a variable are the same to what reads it."""

from ci.plan.contract.sglang import How, Reader, VariableFact
from ci.plan.contract.variables import meaning_of

__all__ = ["same_meaning"]


def same_meaning(one: str, two: str, fact: VariableFact | None) -> bool:
    """Args:
    one: a text.
    two: another.
    fact: what a tree says of the variable. Without it, and for a variable that nothing there reads, words for yes and no
        are the same when one of both is no number: `0` and `false`.
    """
    if one == two:
        return True
    readers = [reader for reader in fact.readers if reader.how is not How.FIELD] if fact is not None else []
    parsed = fact.declared.parsed if fact is not None and fact.declared is not None else {}
    if not readers and not parsed:
        known = meaning_of(one)
        return known is not None and known == meaning_of(two) and not (one.isdigit() and two.isdigit())
    declared = not parsed or (one in parsed and parsed[one] == parsed.get(two))
    return declared and all(_taken(one, reader) == _taken(two, reader) for reader in readers)


def _taken(value: str, reader: Reader) -> object:
    """What a reader makes of a text; the text itself where nothing is known."""
    word = value.lower() if reader.folded else value
    match reader.how:
        case How.BOOL:
            return word in reader.yes
        case How.COMPARED if reader.yes:
            return word in reader.yes
        case How.TRUTH:
            return bool(value)
        case How.PRESENCE:
            return True
        case How.INT | How.FLOAT:
            return _number(value)
        case _:
            return value


def _number(value: str) -> object:
    try:
        return float(value)
    except ValueError:
        return value
