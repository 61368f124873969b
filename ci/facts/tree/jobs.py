"""One job of a workflow file: its cells, with what each of them runs."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ci.catalog.hardware import HardwareCatalog
from ci.errors import Problem
from ci.facts.tree.calls import EXEC_SCRIPT, Step, test_calls
from ci.facts.tree.expressions import UNKNOWN, Filled, Scope, evaluate, fill, text_of
from ci.facts.tree.matrix import Matrix, read_matrix
from ci.facts.tree.scripts import Command, commands_of
from ci.facts.tree.workflow_file import line_of, listed
from ci.plan.tree.model import (
    ANY,
    ContainerStart,
    JobCell,
    RunnerDefaults,
    Stated,
    TestCall,
    TreeJob,
    WaitStep,
    source_at,
)

__all__ = [
    "EVENT",
    "Launchers",
    "WorkflowScope",
    "input_scope",
    "permissions_of",
    "read_job",
]

# the event that starts a run is chosen like an input where a job's name or runner goes by it
EVENT: Final = "github.event_name"
_INPUT: Final = re.compile(r"inputs\.([\w-]+)")
_AMD_LABEL: Final = re.compile(r"(?<![a-z0-9])(?:mi\d{2,3}x?|gfx9\d+)(?![a-z0-9])")
_AMD_SUITE: Final = re.compile(r"(?<![a-z0-9])amd(?![a-z0-9])")
_AMD_SCRIPTS: Final = "scripts/ci/amd/"
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# a script without one of these runs no test and starts no container
_RUNS: Final = re.compile(r"python|torchrun|py\.?test|scripts/ci/amd")
_START: Final = re.compile(r"amd_ci_start_container\w*\.sh")
_MOST_CHOICES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Launchers:
    """What the tree's shell scripts do without an option: the exec script's folder, the flavour of each start script."""

    workdir: str
    rocm: Mapping[str, Stated[str]]
    defaults: RunnerDefaults
    hardware: HardwareCatalog


@dataclass(slots=True, kw_only=True)
class WorkflowScope:
    """What the jobs of one file share: the values that each input may have, the first that of a run without inputs.

    `unknown` are inputs whose value is not known. What cannot be read is added to `unread`.
    """

    file: str
    inputs: Mapping[str, Sequence[Any]]
    unknown: frozenset[str]
    env: Mapping[str, Any]
    launchers: Launchers
    unread: list[Problem] = field(default_factory=list)

    def scope(self, chosen: Mapping[str, Any] | None = None) -> Scope:
        """What expressions may name, for a choice of inputs."""
        return input_scope(self.inputs, self.unknown, self.env, chosen)

    def note(self, line: int, what: str, hint: str = "") -> None:
        """Something that could not be read."""
        problem = Problem(where=f"{self.file}:{line}", what=what, hint=hint)
        if problem not in self.unread:
            self.unread.append(problem)


def read_job(job_id: str, job: Mapping[str, Any], line: int, shared: WorkflowScope) -> TreeJob:
    """A job with every cell that its matrix and a choice of inputs make."""
    cells: list[JobCell] = []
    first: Matrix | None = None
    reader = _JobReader(job_id, job, line, shared)
    for inputs, values in _choices(job, shared):
        scope = shared.scope(values)
        matrix = read_matrix(job.get("strategy"), scope)
        if first is None:
            first = matrix
            if matrix.why:
                shared.note(line, f"the matrix of {job_id} is known only at run time: {matrix.why}")
        for combination in matrix.combinations if "uses" not in job else ():
            cell = reader.cell(combination, inputs, scope, known=not matrix.why)
            # a choice of inputs that changes nothing is no other job
            if not inputs or not any(_same(cell, other) for other in cells):
                cells.append(cell)
        if not reader.amd:  # nobody asks what inputs change in the job of other hardware
            break
    matrix = first or Matrix(combinations=({},))
    limit = reader.number(job, "timeout-minutes", shared.scope())
    return TreeJob(
        file=shared.file,
        id=job_id,
        line=line,
        written_name=text_of(job.get("name")),
        needs=tuple(map(str, listed(job.get("needs")))),
        condition=text_of(job.get("if")).strip(),
        label=Stated(
            value=cells[0].label if cells else "", source=source_at(shared.file, line_of(job, "runs-on"))
        ),
        timeout_min=limit,
        limited="timeout-minutes" in job,
        permissions=permissions_of(job),
        uses=str(job.get("uses", "")),
        given=_given(job, shared),
        matrix_keys=matrix.keys,
        size=None if matrix.why else len(matrix.combinations),
        cells=tuple(cells),
        waits=tuple(_waits(job)),
        amd=reader.amd,
    )


def input_scope(
    inputs: Mapping[str, Sequence[Any]],
    unknown: Iterable[str],
    env: Mapping[str, Any] | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> Scope:
    """What every expression of a file may name: `chosen` values of inputs, the first of the others."""
    values = {name: known[0] for name, known in inputs.items()} | dict(chosen or {})
    # what goes by the event is known for a chosen one alone
    github = {"event_name": chosen[EVENT]} if chosen and EVENT in chosen else {}
    return Scope(
        contexts={
            "inputs": values | dict.fromkeys(unknown, UNKNOWN),
            "env": env or {},
            "github": github,
        },
        closed=frozenset({"inputs"}),
    )


def _choices(
    job: Mapping[str, Any], shared: WorkflowScope
) -> Iterator[tuple[tuple[tuple[str, str], ...], Mapping[str, Any]]]:
    """Each combination of the inputs that the job names, beginning with a run without inputs."""
    text = json.dumps(_without_conditions(job), default=str)
    named = [name for name in dict.fromkeys(_INPUT.findall(text)) if len(shared.inputs.get(name, ())) > 1]
    shown = json.dumps([job.get(key) for key in ("name", "runs-on", "strategy")], default=str)
    if EVENT in shown and shared.inputs[EVENT][0]:
        named.append(EVENT)
    first = {name: shared.inputs[name][0] for name in named}
    every = itertools.product(*(shared.inputs[name] for name in named))
    # of many combinations only those that differ from a plain run in one input
    single = ({**first, name: value} for name in named for value in (first[name], *shared.inputs[name][1:]))
    few = math.prod(len(shared.inputs[name]) for name in named) <= _MOST_CHOICES
    for chosen in (dict(zip(named, values, strict=True)) for values in every) if few else single:
        given = tuple(
            (name, text_of(value)) for name, value in chosen.items() if value != shared.inputs[name][0]
        )
        yield given, chosen


def _without_conditions(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): _without_conditions(item) for key, item in value.items() if key not in ("if", "uses")
        }
    return [_without_conditions(item) for item in value] if isinstance(value, list) else value


def _same(one: JobCell, two: JobCell) -> bool:
    """Whether a run could not tell them apart."""
    return (one.name, one.matrix, one.label, one.container, one.calls) == (
        two.name,
        two.matrix,
        two.label,
        two.container,
        two.calls,
    )


class _JobReader:
    def __init__(self, job_id: str, job: Mapping[str, Any], line: int, shared: WorkflowScope) -> None:
        self.id, self.job, self.line, self.shared = job_id, job, line, shared
        self.amd = False

    def cell(
        self,
        combination: Mapping[str, Any],
        inputs: tuple[tuple[str, str], ...],
        outer: Scope,
        *,
        known: bool,
    ) -> JobCell:
        """One job as Actions starts it."""
        scope = Scope(
            contexts={**outer.contexts, "matrix": combination},
            closed=outer.closed | ({"matrix"} if known else set()),
        )
        own_env = self._env(self.job, scope)
        scope = Scope(
            contexts={**scope.contexts, "env": {**outer.contexts["env"], **own_env}}, closed=scope.closed
        )
        label = self._label(scope)
        rule = self.shared.launchers.hardware.label_rule(label) if label else None
        container, calls = self._steps(scope)
        self.amd |= rule is not None or bool(_AMD_LABEL.search(label))
        self.amd |= any(call.hardware == "amd" or _AMD_SUITE.search(call.suite) for call in calls)
        return JobCell(
            name=self._name(combination, scope, known=known),
            matrix=tuple((key, text_of(value)) for key, value in combination.items()),
            inputs=inputs,
            label=label,
            hardware=rule[0].cls if rule is not None else "",
            gpus=rule[1] if rule is not None else None,
            container=container,
            calls=tuple(calls),
        )

    def number(self, table: Mapping[str, Any], key: str, scope: Scope) -> float | None:
        """A number of minutes; None without one, or where only a run can tell it."""
        value = table.get(key)
        if isinstance(value, str):
            values = evaluate(value, scope)
            value = values[0] if len(values) == 1 else None
            if not isinstance(value, int | float):
                self.shared.note(line_of(table, key), f"{key} of {self.id} is known only at run time")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _name(self, combination: Mapping[str, Any], scope: Scope, *, known: bool) -> str:
        written = text_of(self.job.get("name"))
        if "${{" in written:
            return self._filled(written, scope, line_of(self.job, "name"), "the name").text
        values = ", ".join(text for value in combination.values() for text in _flat(value))
        values = values if known else ANY
        return (written or self.id) + (f" ({values})" if values else "")

    def _filled(self, text: str, scope: Scope, line: int, what: str) -> Filled:
        filled = fill(text, scope)
        if filled.unknown:
            names = ", ".join(dict.fromkeys(filled.unknown))
            self.shared.note(line, f"{what} of {self.id} is known only at run time: {names}")
        return filled

    def _label(self, scope: Scope) -> str:
        wanted = self.job.get("runs-on")
        if isinstance(wanted, Mapping):
            wanted = wanted.get("labels")
        line = line_of(self.job, "runs-on")
        texts = [self._filled(text_of(each), scope, line, "the label").text for each in listed(wanted)]
        return next((text for text in texts if text != "self-hosted"), "")

    def _env(self, table: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        """Literal variables of `env:`, those with expressions as far as they are known."""
        env = table.get("env")
        if not isinstance(env, Mapping):
            return {}
        filled = {str(name): fill(text_of(value), scope) for name, value in env.items()}
        return {name: text.text for name, text in filled.items() if not text.unknown and not text.sometimes}

    def _steps(self, scope: Scope) -> tuple[ContainerStart | None, list[TestCall]]:
        container: ContainerStart | None = None
        calls: list[TestCall] = []
        for step in listed(self.job.get("steps")):
            if not isinstance(step, Mapping) or not isinstance(step.get("run"), str):
                continue
            if not _RUNS.search(step["run"]):
                continue
            env = self._env(step, scope)
            first = line_of(step, "run") + (1 if "\n" in step["run"] else 0)
            filled = fill(step["run"], scope)
            unread: list[tuple[int, str]] = []
            reading = Step(
                name=fill(text_of(step.get("name")), scope).text,
                file=self.shared.file,
                line=line_of(step, "run"),
                timeout_min=self.number(step, "timeout-minutes", scope),
                sometimes=filled.sometimes,
                workdir=self.shared.launchers.workdir,
                defaults=self.shared.launchers.defaults,
            )
            known = {**scope.contexts["env"], **env}
            for command in commands_of(filled.text, unread):
                words = _with_variables(command, known)
                self.amd |= any(_AMD_SCRIPTS in word for word in words.words)
                container = self._container(words, first + words.line) or container
                for call in test_calls(words, reading, first + words.line):
                    self._judge(call)
                    calls.append(call)
            for number, text in unread:
                if EXEC_SCRIPT in text or "run_suite" in text:
                    self.shared.note(first + number, f"a command of {self.id} cannot be split into words")
        return container, calls

    def _judge(self, call: TestCall) -> None:
        """Name what of a call only a run can tell."""
        for what, text in (("the suite", call.suite), *(("a file", file) for file in call.files)):
            if ANY in text or "$" in text:
                self.shared.note(call.line, f"{what} of {self.id} is known only at run time: {text}")
        written = dict(call.options).get("--auto-partition-id", ANY)
        if call.parts is not None and call.part is None and (ANY in written or "$" in written):
            self.shared.note(call.line, f"the part of {self.id} is known only at run time")

    def _container(self, command: Command, line: int) -> ContainerStart | None:
        at = next((n for n, word in enumerate(command.words) if _START.search(word)), None)
        if at is None:
            return None
        script, arguments = command.words[at], command.words[at + 1 :]
        given = dict(itertools.pairwise(arguments))
        source = source_at(self.shared.file, line)
        default = self.shared.launchers.rocm.get(script.rpartition("/")[2], Stated(value="", source=source))
        rocm = given.get("--rocm-version")
        return ContainerStart(
            script=script,
            arguments=arguments,
            rocm=default
            if rocm is None
            else Stated(value="" if ANY in rocm or "$" in rocm else rocm, source=source),
            image=given.get("--custom-image", ""),
            source=source,
        )


def _with_variables(command: Command, env: Mapping[str, Any]) -> Command:
    """A command with the variables of `env:` filled in; others stay as they are."""

    def value(found: re.Match[str]) -> str:
        return text_of(env[found[1] or found[2]]) if (found[1] or found[2]) in env else found[0]

    words = tuple(_VARIABLE.sub(value, word) for word in command.words)
    return Command(words=words, env=command.env, folder=command.folder, line=command.line)


def _flat(value: Any) -> Iterator[str]:
    """The values of a combination as Actions shows them in a name."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _flat(item)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield text_of(value)


def _given(job: Mapping[str, Any], shared: WorkflowScope) -> tuple[tuple[str, str], ...]:
    """What a job gives to the workflow that it calls."""
    given = job.get("with") if "uses" in job else None
    scope = shared.scope()
    if not isinstance(given, Mapping):
        return ()
    return tuple((str(name), fill(text_of(value), scope).text) for name, value in given.items())


def _waits(job: Mapping[str, Any]) -> Iterator[WaitStep]:
    """The counts that SGLang's waiting action is given, JSON in its input `jobs`."""
    for step in listed(job.get("steps")):
        given = step.get("with") if isinstance(step, Mapping) else None
        text = given.get("jobs") if isinstance(given, Mapping) else None
        try:
            rows = json.loads(text) if isinstance(text, str) else ()
        except json.JSONDecodeError:
            continue
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, str):  # the whole name of one job
                yield WaitStep(prefix=row, expected=1, line=line_of(given, "jobs"))
            elif isinstance(row, dict) and isinstance(row.get("expected_count"), int):
                prefix = str(row.get("prefix") or row.get("name") or "")
                yield WaitStep(prefix=prefix, expected=row["expected_count"], line=line_of(given, "jobs"))


def permissions_of(table: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Rights by scope, `*` for `read-all` and `write-all`; None without any."""
    given = table.get("permissions")
    if isinstance(given, str):
        return {"*": given.removesuffix("-all")}
    if isinstance(given, Mapping):
        return {str(name): text_of(value) for name, value in given.items()}
    return None
