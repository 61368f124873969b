"""Registrations and the suites that AMD's jobs run: what never runs, and what the tree's own runner refuses."""

import difflib
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from ci.catalog.registrations.parse import Registration
from ci.catalog.toml_reader import closest
from ci.plan.outages.calls import is_known, named_files, selected, suite_calls
from ci.plan.outages.model import CheckedTree, Finding, FindingKind
from ci.plan.tree.model import ANY

__all__ = ["find_suites"]

_AMD: Final = "amd"
_ALIKE: Final = 0.95
_AMD_NAME: Final = re.compile(r"(?<![a-z0-9])(?:amd|rocm\d*|mi\d{2,3}x?)(?![a-z0-9])")


def find_suites(tree: CheckedTree) -> Iterator[Finding]:
    """What registrations and jobs say of each other, and the runner of both."""
    yield from _never_run(tree)
    yield from _refused(tree)
    yield from _empty(tree)
    yield from _outside(tree)
    yield from _problems(tree)


def _never_run(tree: CheckedTree) -> Iterator[Finding]:
    run = {(each.call.suite, each.call.nightly) for each in suite_calls(tree.facts)}
    names = {suite for suite, _ in run}
    named = named_files(tree.facts)
    for row in tree.amd:
        if any(row.nightly == nightly and fnmatchcase(row.suite, suite) for suite, nightly in run):
            continue
        if any(is_named(name, row.file) for name in named):
            continue
        what = f"no AMD job runs suite {row.suite!r}"
        if row.suite in names:
            what += f" with nightly={row.nightly}"
        yield _at(FindingKind.SUITE_NOT_RUN, row, what, _near(row.suite, names))
        if amd := _suite_of_cuda(tree, row, names):
            what = f"{row.suite!r} is a suite of CUDA, and the test is registered for AMD"
            yield _at(FindingKind.SUITE_OF_CUDA, row, what, amd)


def _suite_of_cuda(tree: CheckedTree, row: Registration, run: set[str]) -> str:
    """The hint for an AMD registration with a name that only CUDA has; empty for any other."""
    listed = {(suite.backend, suite.name) for suite in tree.facts.registry.suites}
    amd = {name for backend, name in listed if backend == _AMD} | run | tree.suites
    if row.suite in amd or _AMD_NAME.search(row.suite):
        return ""
    amd |= {each.suite for each in tree.amd}
    of_cuda = ("cuda", row.suite) in listed or any(
        each.backend == "cuda" and each.suite == row.suite for each in tree.registered
    )
    own = next((name for name in (f"{row.suite}-amd", *_renamed(row.suite)) if name in amd), "")
    if not of_cuda and not own:
        return ""
    return f"did you mean {own!r}?" if own else closest(row.suite, {n for n in amd if _AMD_NAME.search(n)})


def _renamed(suite: str) -> Iterator[str]:
    """Names of the same suite where CUDA's stages are called otherwise than AMD's."""
    if suite.startswith("base-"):
        yield f"stage-{suite.removeprefix('base-')}-amd"


def _refused(tree: CheckedTree) -> Iterator[Finding]:
    """Names that the runner's own check refuses when an AMD job starts it, of whatever backend."""
    registry = tree.facts.registry
    checked = {_AMD} if ANY in registry.checked else set(registry.checked)
    if not registry.suites or not checked:
        return
    listed = {(suite.backend, suite.name) for suite in registry.suites}
    for row in tree.registered:
        if row.backend in checked and (row.backend, row.suite) not in listed:
            what = f"run_suite.py does not know suite {row.suite!r} for {row.backend}, and refuses every run of AMD's"
            near = _near(row.suite, {name for backend, name in listed if backend == row.backend})
            yield _at(FindingKind.SUITE_REFUSED, row, what, near)


def _empty(tree: CheckedTree) -> Iterator[Finding]:
    """Jobs whose suite has no enabled test; once for each line."""
    every = [row for row in tree.registered if row.backend == _AMD]
    seen: set[tuple[str, int, str]] = set()
    for each in suite_calls(tree.facts):
        call = each.call
        place = (call.file, call.line, call.suite)
        if not call.suite or not is_known(call.suite) or place in seen or selected(tree, call):
            continue
        seen.add(place)
        same = [row for row in every if row.suite == call.suite]
        if not same:
            what = f"no test is registered for {call.suite!r}"
            hint = _near(call.suite, {row.suite for row in every})
        elif any(row.disabled is None for row in same):
            what = f"nothing of {call.suite!r} runs with nightly={call.nightly}"
            hint = f"its tests have nightly={not call.nightly}"
        else:
            what, hint = f"every test of {call.suite!r} is disabled", ""
        yield Finding(kind=FindingKind.SUITE_EMPTY, file=call.file, line=call.line, what=what, hint=hint)


def _outside(tree: CheckedTree) -> Iterator[Finding]:
    named = named_files(tree.facts)
    roots = ", ".join(f"{root.path}/**/{root.glob}" for root in tree.facts.registry.roots)
    for row in tree.outside:
        if row.disabled is None and not any(is_named(name, row.file) for name in named):
            what = f"is registered for {row.suite!r} where run_suite.py does not look"
            yield _at(FindingKind.OUTSIDE_ROOTS, row, what, f"it collects {roots}" if roots else "")


def _problems(tree: CheckedTree) -> Iterator[Finding]:
    """What is wrong with AMD's registrations themselves."""
    for problem in tree.problems:
        file, _, line = problem.where.rpartition(":")
        unknown = problem.what.startswith("unknown registrar")
        yield Finding(
            kind=FindingKind.REGISTRAR_UNKNOWN if unknown else FindingKind.REGISTRATION_INVALID,
            file=file if line.isdecimal() else problem.where,
            line=int(line) if line.isdecimal() else 1,
            what=problem.what,
            hint=problem.hint,
        )


def _near(name: str, known: Iterable[str]) -> str:
    """A question about the one name that differs by a letter or two, as misspelled names do; many suites are alike."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    return f"did you mean {close[0]!r}?" if close and close[0] != name else ""


def is_named(written: str, file: str) -> bool:
    """Whether a path in a command, from whatever folder, is this file or a folder that holds it."""
    path = written.removeprefix("./")
    return (
        file == path or file.endswith("/" + path) or path.endswith("/" + file) or file.startswith(f"{path}/")
    )


def _at(kind: FindingKind, row: Registration, what: str, hint: str) -> Finding:
    return Finding(kind=kind, file=row.file, line=row.line, what=what, hint=hint)
