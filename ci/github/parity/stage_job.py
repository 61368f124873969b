"""What a job of the rendered stage workflow would do: its command, environment, runner and limits, read from the YAML.

Only the expressions that the rendered file uses are understood; any other is a problem, never a guess.
"""

import functools
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ci.errors import Problem

__all__ = ["StageJob", "read_stage_job"]

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_FIELD = re.compile(r"(matrix|inputs)\.(\w+)")
_IF_GIVEN = re.compile(r"inputs\.(\w+) && '([^']*)' \|\| ''")
_SECRET = re.compile(r"secrets\.([A-Z][A-Z0-9_]*)")
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_TEMP = "/home/runner/_work/_temp"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageJob:
    """A job as its runner gets it. Limits are None where the file sets none. `secrets` are names of variables.

    `argv` is the command with its variables filled in, `env` what workflow, job and step set, without secrets.
    """

    name: str
    runner: str
    job_limit_min: float | None
    step_limit_min: float | None
    argv: tuple[str, ...]
    env: Mapping[str, str]
    secrets: tuple[str, ...]

    @property
    def session(self) -> str:
        """The Nox session; empty when the command starts none."""
        words = self.argv
        return next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-s"), "")

    @property
    def options(self) -> tuple[str, ...]:
        """The arguments after `--`."""
        return self.argv[self.argv.index("--") + 1 :] if "--" in self.argv else ()


def read_stage_job(
    text: str, matrix: Mapping[str, Any], inputs: Mapping[str, str], problems: list[Problem], *, where: str
) -> StageJob | None:
    """The one job of the stage workflow for one row of its matrix.

    Args:
        text: the workflow's YAML.
        matrix: the row.
        inputs: the workflow's inputs but the matrix; one that is not among them is empty.
        problems: what cannot be understood is added.
        where: the file, for messages.

    Returns:
        None when the file has no such job.
    """

    def problem(key: str, what: str) -> None:
        problems.append(Problem(where=f"{where}: {key}", what=what, hint="nox -s workflows"))

    try:
        data = _parsed(text)
    except YAMLError as error:
        problem("", f"is not YAML: {error}")
        return None
    jobs = data.get("jobs") if isinstance(data, dict) else None
    if not isinstance(jobs, dict) or len(jobs) != 1:
        problem("jobs", "is not exactly one job")
        return None
    ((job_id, job),) = jobs.items()
    steps = [step for step in job.get("steps", []) if _starts_nox(step)]
    if len(steps) != 1:
        problem(f"jobs.{job_id}.steps", f"{len(steps)} of them start Nox, not one")
        return None
    step = steps[0]
    secrets: list[str] = []

    def value(key: str, raw: Any) -> str:
        return _EXPRESSION.sub(lambda match: expression(key, match[1]), str(raw))

    def expression(key: str, words: str) -> str:
        if field := _FIELD.fullmatch(words):
            source = matrix if field[1] == "matrix" else inputs
            if field[1] == "matrix" and field[2] not in matrix:
                problem(key, f"the matrix has no {field[2]!r}")
            return str(source.get(field[2], ""))
        if given := _IF_GIVEN.fullmatch(words):
            return given[2] if inputs.get(given[1]) else ""
        if words == "runner.temp":
            return _TEMP
        if _SECRET.search(words):
            secrets.append(key.rpartition(".")[2])
            return ""
        problem(key, f"holds an expression that is not understood: {words}")
        return ""

    env: dict[str, str] = {}
    for level, holder in (("", data), (f"jobs.{job_id}.", job), (f"jobs.{job_id}.steps.", step)):
        for name, raw in (holder.get("env") or {}).items():
            env[str(name)] = value(f"{level}env.{name}", raw)

    def limit(key: str, holder: Mapping[str, Any]) -> float | None:
        raw = holder.get("timeout-minutes")
        try:
            return None if raw is None else float(value(f"{key}.timeout-minutes", raw))
        except ValueError:
            problem(f"{key}.timeout-minutes", f"is {raw!r}, no number of minutes")
            return None

    words = shlex.split(str(step["run"]))
    return StageJob(
        name=value(f"jobs.{job_id}.name", job.get("name", job_id)),
        runner=value(f"jobs.{job_id}.runs-on", job.get("runs-on", "")),
        job_limit_min=limit(f"jobs.{job_id}", job),
        step_limit_min=limit(f"jobs.{job_id}.steps", step),
        argv=tuple(_VARIABLE.sub(lambda match: env.get(match[1] or match[2], ""), word) for word in words),
        env={name: text for name, text in env.items() if name not in secrets},
        secrets=tuple(secrets),
    )


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    """The workflow as tables, which nobody changes: its jobs are read one by one, and reading it takes 0.1 s."""
    return YAML(typ="safe", pure=True).load(text)


def _starts_nox(step: Mapping[str, Any]) -> bool:
    """Whether a step's command is `exec uvx nox@VERSION ...`."""
    words = str(step.get("run", "")).split()
    return words[:2] == ["exec", "uvx"] and any(word.startswith("nox@") for word in words[2:3])
