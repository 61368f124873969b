"""The finish job: were all planned waves run, and did they pass? Judged by what GitHub says of the jobs before it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ci.errors import ExitCode, Problem, UsageError, worst

__all__ = ["judge", "planned_jobs", "read_needs"]

_WAVE = re.compile(r"wave-([0-9]+)")
_COUNT = re.compile(r"wave_([0-9]+)_jobs")
_MATRIX = re.compile(r"wave_[0-9]+")
_CODES = {"failure": ExitCode.TESTS_FAILED, "cancelled": ExitCode.INTERRUPTED}


def read_needs(text: str) -> Mapping[str, Any]:
    """`toJSON(needs)` in the variable NEEDS, which the jobs after the waves have.

    Raises:
        UsageError: it is missing or is not an object of jobs.
    """
    then = "a job after the waves sets NEEDS to toJSON(needs): nox -s workflows"
    if not text.strip():
        raise UsageError("NEEDS is empty: nothing to judge", cause="not in the finish job", then=then)
    try:
        needs = json.loads(text)
    except ValueError as error:
        raise UsageError(f"NEEDS is not JSON: {error}", then=then) from error
    if not isinstance(needs, dict) or not all(isinstance(job, dict) for job in needs.values()):
        raise UsageError("NEEDS is not an object of jobs", then=then)
    return needs


def planned_jobs(needs: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the jobs that the plan job handed out.

    Raises:
        UsageError: its outputs are not those of ci_plan.
    """
    outputs = needs.get("plan", {}).get("outputs") or {}
    try:
        waves = [json.loads(text) for name, text in outputs.items() if _MATRIX.fullmatch(name) and text]
        return tuple(str(job["name"]) for wave in waves for job in wave["include"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"the plan job's outputs in NEEDS are not those of ci_plan: {error}", then="nox -s workflows"
        ) from error


def judge(needs: Mapping[str, Any]) -> tuple[int, tuple[Problem, ...], tuple[str, ...]]:
    """Exit code, what is wrong, and a line for each job.

    A wave has to have run when the plan gave it jobs, and may only be skipped when it gave it none. A job that ended
    with no result at all (nothing took it) counts as skipped.

    Args:
        needs: job name to `{"result": ..., "outputs": {...}}`; a wave that the plan counted has to be among them.
    """
    problems: list[Problem] = []
    codes: list[int] = []
    lines: list[str] = []

    def wrong(job: str, what: str, code: ExitCode, hint: str = "") -> None:
        problems.append(Problem(where=job, what=what, hint=hint))
        codes.append(int(code))

    plan = needs.get("plan")
    outputs = plan.get("outputs") if plan is not None else None
    counts = outputs if isinstance(outputs, Mapping) else {}
    if plan is None:
        wrong(
            "plan", "is not among the jobs that were waited for", ExitCode.INFRASTRUCTURE, "nox -s workflows"
        )
    expected = sorted(f"wave-{match[1]}" for match in map(_COUNT.fullmatch, counts) if match)
    for name in dict.fromkeys([*needs, *expected]):
        job, match = needs.get(name), _WAVE.fullmatch(name)
        if job is None:
            wrong(
                name,
                "is not among the jobs that were waited for",
                ExitCode.INFRASTRUCTURE,
                "nox -s workflows",
            )
            continue
        result = str(job.get("result") or "skipped")
        lines.append(f"{name}: {result}")
        if result in _CODES:
            wrong(name, "failed" if result == "failure" else "was cancelled", _CODES[result], "see its jobs")
        elif match is None:
            if result != "success":
                wrong(
                    name, f"ended as {result!r}", ExitCode.INFRASTRUCTURE, "a job that is needed has to run"
                )
        else:
            count = str(counts.get(f"wave_{match[1]}_jobs", ""))
            lines[-1] += f", {count or 'unknown'} jobs planned"
            if not re.fullmatch("[0-9]+", count):
                wrong(
                    name,
                    "the plan does not say how many jobs it has",
                    ExitCode.INFRASTRUCTURE,
                    "see the job plan",
                )
            elif int(count) and result != "success":
                what = f"was skipped although {count} jobs were planned"
                wrong(
                    name,
                    what,
                    ExitCode.INFRASTRUCTURE,
                    "an earlier wave did not pass, or no runner has its label",
                )
            elif not int(count) and result != "skipped":
                wrong(name, f"ended as {result!r} although no job was planned", ExitCode.INFRASTRUCTURE)
    return worst(codes), tuple(problems), tuple(lines)
