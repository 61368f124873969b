"""Every finding about a checkout, worst kinds first."""

from collections.abc import Iterator

from ci.plan.outages.limits import find_limits
from ci.plan.outages.model import KINDS, CheckedTree, Finding, FindingKind
from ci.plan.outages.parts import find_parts
from ci.plan.outages.suites import find_suites
from ci.plan.outages.workflows import find_workflow_faults

__all__ = ["find_outages", "in_order"]


def find_outages(tree: CheckedTree) -> tuple[Finding, ...]:
    """What is wrong with a tree, each thing once."""
    return in_order((*_found(tree),))


def in_order(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """By kind as in the table, then by place; none twice."""
    order = list(KINDS)
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda each: (order.index(each.kind), each.file, each.line))
    )


def _found(tree: CheckedTree) -> Iterator[Finding]:
    yield from find_suites(tree)
    yield from find_parts(tree)
    yield from find_limits(tree)
    yield from find_workflow_faults(tree)
    for problem in tree.facts.unread:
        file, _, line = problem.where.rpartition(":")
        known = line.isdecimal()
        yield Finding(
            kind=FindingKind.NOT_READ,
            file=file if known else problem.where,
            line=int(line) if known else 1,
            what=problem.what,
            hint=problem.hint,
        )
