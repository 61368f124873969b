"""Fingerprints of protected distributions and import probes, taken where the tests will run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ci.docker.command_runner import Ended, Shell
from ci.errors import InfrastructureError
from ci.plan.container.guards import Fingerprint, Probed, probe_error
from ci.plan.container.needs import BIN_DIR
from ci.plan.container.work import GuardWork

__all__ = [
    "FINGERPRINT_TIMEOUT_S",
    "INSPECTOR",
    "PROBE_TIMEOUT_S",
    "ask",
    "fingerprint",
    "fingerprints_of",
    "probe",
]

# reads lists of files: 0.1 s warm, a cold disk takes seconds for torch's
FINGERPRINT_TIMEOUT_S = 60.0
# the first import of AITER may compile a module
PROBE_TIMEOUT_S = 300.0
INSPECTOR = f"{BIN_DIR}/inspector.py"


def ask(
    shell: Shell, python: str, mode: str, question: Mapping[str, Any], *, timeout_s: float, cwd: str = "/"
) -> list[dict[str, Any]]:
    """The inspector's answers.

    Raises:
        InfrastructureError: it could not be run, or did not answer.
    """
    ended = shell.run([python, INSPECTOR, mode, json.dumps(question)], timeout_s=timeout_s, cwd=cwd)
    answers = _answers(ended)
    if ended.code != 0 or not answers:
        raise InfrastructureError(
            f"the inspector's {mode} gave no answer: {_ending(ended)}",
            cause=_last_line(ended) or f"{python} is not Python 3.10 or newer, or the container is broken",
            then=f"in the container: {python} {INSPECTOR} {mode} '{{}}'",
        )
    return answers


def fingerprint(shell: Shell, python: str, guards: GuardWork) -> tuple[Fingerprint, ...]:
    """The protected distributions as they are now.

    Raises:
        InfrastructureError: they are not available.
    """
    question = {"protected": dict(guards.protected), "starts": list(guards.starts)}
    (answer,) = ask(shell, python, "fingerprint", question, timeout_s=FINGERPRINT_TIMEOUT_S)
    return fingerprints_of(answer["distributions"])


def fingerprints_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Fingerprint, ...]:
    """Fingerprints from JSON values."""
    return tuple(
        Fingerprint(
            distribution=row["distribution"],
            version=row["version"],
            record=row["record"],
            location=row["location"],
            imported=row["imported"],
            shadowed=row["shadowed"],
        )
        for row in rows
    )


def probe(
    shell: Shell,
    python: str,
    guards: GuardWork,
    now: Sequence[Fingerprint],
) -> tuple[str, ...]:
    """Import the rows' names from every start directory that is there; returns what to say about it, line by line.

    Raises:
        GuardError: a name cannot be imported from one of them, or its distribution is missing where it is required.
        InfrastructureError: the inspector could not be run at all.
    """
    installed = {row.distribution for row in now if row.version}
    starts = list(dict.fromkeys(cwd for row in now for cwd in (*row.imported, *row.shadowed)))
    failed: list[Probed] = []
    lines: list[str] = []
    names: list[str] = []
    for name, row in guards.probes.items():
        if row.distribution in installed:
            names.append(name)
        elif row.required:
            problem = f"{row.distribution} is not installed"
            failed.append(Probed(name=name, cwd="/", problem=problem, file="", shadowed_by="", real=""))
        else:
            lines.append(f"{name}: not probed, {row.distribution} is not installed")
    for cwd in starts if names else ():
        for done in _import(shell, python, names, cwd, PROBE_TIMEOUT_S):
            if done.problem:
                failed.append(done)
            else:
                lines.append(f"{done.name}: from {cwd}: {done.file}")
    if failed:
        raise probe_error(failed, {name: row.fix for name, row in guards.probes.items()})
    return tuple(lines)


def _import(shell: Shell, python: str, names: Sequence[str], cwd: str, timeout_s: float) -> list[Probed]:
    """One interpreter imports all names from one directory; a crash is the answer about the name under way."""
    question = json.dumps({"names": list(names)})
    ended = shell.run([python, INSPECTOR, "import", question], timeout_s=timeout_s, cwd=cwd)
    answers = _answers(ended)
    found = [
        Probed(
            name=row["name"],
            cwd=cwd,
            problem=row["problem"],
            file=row["file"],
            shadowed_by=row["shadowed_by"],
            real=row["real"],
        )
        for row in answers
        if "name" in row
    ]
    if ended.code != 0 or len(found) < len(names):
        under_way = answers[-1].get("importing") if answers else None
        problem = f"the interpreter ended while importing: {_ending(ended)}"
        found.append(
            Probed(name=under_way or names[0], cwd=cwd, problem=problem, file="", shadowed_by="", real="")
        )
    return found


def _answers(ended: Ended) -> list[dict[str, Any]]:
    answers = []
    for line in ended.stdout.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            answers.append(answer)
    return answers


def _ending(ended: Ended) -> str:
    return ended.why or "no reason known" if ended.code is None else f"exit {ended.code}"


def _last_line(ended: Ended) -> str:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
