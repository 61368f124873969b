"""The commands of a step's script that run tests; the same reader as for a tree's workflows."""

import re
from collections.abc import Iterator
from typing import Final

from ci.facts.tree.calls import Step, test_calls
from ci.facts.tree.scripts import Command, commands_of
from ci.plan.tree.model import CallKind, RunnerDefaults, TestCall

__all__ = ["calls_of", "is_same_call", "start_arguments"]

_START: Final = re.compile(r"amd_ci_start_container\w*\.sh")
# where SGLang's exec script goes without an option; a log does not say it
_WORKDIR: Final = "/sglang-checkout/test"
_IN_CONTAINER: Final = ("amd_ci_exec.sh", "ci_sglang")


def calls_of(script: str, *, line: int) -> Iterator[TestCall]:
    """Every command of a script that runs AMD's tests; those with values that are not filled in are left out.

    A call before `run_suite.py` had `--hw` is AMD's by its suite or by the script that it is given to.
    """
    reading = Step(
        name="",
        file="",
        line=line,
        timeout_min=None,
        sometimes=(),
        workdir=_WORKDIR,
        defaults=RunnerDefaults(),
    )
    for command in commands_of(script, []):
        for call in test_calls(command, reading, line + command.line):
            if _is_amd(call, command) and not _is_open(call):
                yield call


def _is_amd(call: TestCall, command: Command) -> bool:
    if call.kind is not CallKind.FILES and not call.suite:
        return False
    inside = any(part in word for word in command.words for part in _IN_CONTAINER)
    if call.hardware:
        return call.hardware == "amd"
    return inside or "amd" in call.suite


def _is_open(call: TestCall) -> bool:
    """A script as it is written, `${{ matrix.part }}`: its values come with the next copy of it."""
    given = dict(call.options)
    part = next((given[name] for name in ("--auto-partition-id", "--partition-id") if name in given), "")
    return "$" in call.suite or "$" in part or (call.parts is None) != (not part)


def is_same_call(one: TestCall, two: TestCall) -> bool:
    """Whether two commands are one: the same suite, part and environment, or the same files."""
    return (one.suite, one.part, one.parts, one.nightly, one.files, one.env) == (
        two.suite,
        two.part,
        two.parts,
        two.nightly,
        two.files,
        two.env,
    )


def start_arguments(script: str) -> tuple[str, ...] | None:
    """What a script gives to SGLang's start of a container; None when it starts none."""
    for command in commands_of(script, []):
        at = next((n for n, word in enumerate(command.words) if _START.search(word)), None)
        if at is not None:
            return command.words[at + 1 :]
    return None
