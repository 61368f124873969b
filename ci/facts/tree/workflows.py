"""The workflows of a tree: the files that AMD's jobs are in, and those that they call."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ci.errors import Problem
from ci.facts.tree.expressions import UNKNOWN, fill, text_of
from ci.facts.tree.jobs import (
    EVENT,
    Launchers,
    WorkflowScope,
    input_scope,
    permissions_of,
    read_job,
)
from ci.facts.tree.workflow_file import line_of, listed
from ci.plan.tree.model import ANY, TreeJob, TreeWorkflow

__all__ = ["WORKFLOWS", "find_workflows", "read_workflows"]

WORKFLOWS: Final = ".github/workflows"
_CALLED: Final = re.compile(rb"uses:\s*['\"]?\./(\.github/workflows/[\w.-]+)")
# not `amd64`, which names a processor's instructions
_MENTIONS: Final = re.compile(rb"(?<![a-z0-9])(?:amd(?![a-z0-9])|mi3\d{1,2}x?(?![a-z0-9]))", re.IGNORECASE)
# events that start a run without inputs
_WITHOUT_INPUTS: Final = frozenset({"push", "pull_request", "pull_request_target", "schedule", "merge_group"})
# an input with more options than this selects jobs, it does not change them
_MOST_OPTIONS: Final = 6


def find_workflows(tree: Path, unread: list[Problem], folder: str = WORKFLOWS) -> list[tuple[str, bytes]]:
    """The workflows that mention AMD and those that they call: path and bytes, sorted; the others cannot run an AMD test.

    A file that cannot be read is added to `unread`.
    """
    texts: dict[str, bytes] = {}
    for path in sorted((tree / folder).glob("*.y*ml")):
        name = f"{folder}/{path.name}"
        try:
            texts[name] = path.read_bytes()
        except OSError as error:
            unread.append(Problem(where=name, what=f"cannot be read: {error.strerror}"))
    wanted = {name for name, text in texts.items() if _MENTIONS.search(text)}
    pending = list(wanted)
    while pending:
        for found in _CALLED.findall(texts[pending.pop()]):
            name = found.decode()
            if name in texts and name not in wanted:
                wanted.add(name)
                pending.append(name)
    return [(name, text) for name, text in texts.items() if name in wanted]


def read_workflows(
    documents: Mapping[str, Any], launchers: Launchers, unread: list[Problem]
) -> tuple[TreeWorkflow, ...]:
    """Read workflows, tables by path; what of AMD's jobs only a run can tell is added to `unread`."""
    found = []
    for file, document in documents.items():
        calls = _calls_of(file, documents)
        shared = WorkflowScope(
            file=file,
            inputs={**_inputs(document, calls), EVENT: _events(document)},
            unknown=frozenset(_unknown_inputs(document)),
            env={},
            launchers=launchers,
        )
        shared.env = _env(document, shared)
        jobs = document["jobs"]
        read = tuple(
            read_job(str(name), jobs[name], line_of(jobs, name), shared)
            for name in jobs
            if isinstance(jobs[name], Mapping)
        )
        if any(job.amd for job in read):
            unread += shared.unread
        found.append(
            TreeWorkflow(
                file=file,
                name=text_of(document.get("name")) or file.rpartition("/")[2],
                triggers=tuple(map(str, _triggers(document))),
                permissions=permissions_of(document),
                permissions_line=line_of(document, "permissions"),
                choices={
                    name: tuple(text_of(value) for value in values if value is not None)
                    for name, values in shared.inputs.items()
                    if len(values) > 1 and name != EVENT
                },
                jobs=read,
            )
        )
    return _with_callers(found)


def _with_callers(workflows: Sequence[TreeWorkflow]) -> tuple[TreeWorkflow, ...]:
    """A job that calls a workflow of AMD's is AMD's too."""
    amd = {workflow.file for workflow in workflows if any(job.amd for job in workflow.jobs)}
    while True:
        more = {
            workflow.file
            for workflow in workflows
            if workflow.file not in amd and any(_called(job.uses) in amd for job in workflow.jobs)
        }
        if not more:
            break
        amd |= more

    def marked(job: TreeJob) -> TreeJob:
        return replace(job, amd=True) if _called(job.uses) in amd else job

    return tuple(replace(each, jobs=tuple(map(marked, each.jobs))) for each in workflows)


def _triggers(document: Mapping[str, Any]) -> Sequence[Any]:
    events = document.get("on")
    return list(events) if isinstance(events, Mapping) else listed(events)


def _events(document: Mapping[str, Any]) -> list[str]:
    """Events that a run may have, that of pull requests first; a called workflow has those of its callers."""
    events = [str(event) for event in _triggers(document) if event != "workflow_call"]
    return sorted(events, key=lambda event: event != "pull_request") or [""]


def _declared(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every input of `workflow_dispatch` and `workflow_call`."""
    events = document.get("on")
    for event in ("workflow_dispatch", "workflow_call"):
        table = events.get(event) if isinstance(events, Mapping) else None
        inputs = table.get("inputs") if isinstance(table, Mapping) else None
        if isinstance(inputs, Mapping):
            yield from ((str(name), row) for name, row in inputs.items() if isinstance(row, Mapping))


def _unknown_inputs(document: Mapping[str, Any]) -> Iterator[str]:
    """Inputs that are on or off: a run has either."""
    return (name for name, row in _declared(document) if row.get("type") == "boolean")


def _inputs(document: Mapping[str, Any], calls: Iterable[Mapping[str, str]]) -> Mapping[str, Sequence[Any]]:
    """The values that an input may have; the first is that of a run that is given none."""
    runs_alone = any(event in _WITHOUT_INPUTS for event in _triggers(document))
    values: dict[str, list[Any]] = {}
    for name, row in _declared(document):
        if row.get("type") == "boolean":
            continue
        known = values.setdefault(name, [None if runs_alone else row.get("default")])
        options = row.get("options")
        more = list(options) if isinstance(options, list) and len(options) <= _MOST_OPTIONS else []
        more += [row["default"]] if row.get("default") else []
        values[name] = list(dict.fromkeys([*known, *(value for value in more if value not in ("", None))]))
    for given in calls:
        for name, text in given.items():
            if name in values and text and ANY not in text and text not in values[name]:
                values[name].append(text)
    return values


def _calls_of(file: str, documents: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """What the other workflows of the tree give to this one."""
    for document in documents.values():
        for job in document["jobs"].values():
            if isinstance(job, Mapping) and _called(str(job.get("uses", ""))) == file:
                given = job.get("with")
                scope = input_scope(_inputs(document, ()), _unknown_inputs(document))
                yield {
                    str(name): fill(text_of(value), scope).text
                    for name, value in (given.items() if isinstance(given, Mapping) else ())
                    if not isinstance(value, bool)
                }


def _called(uses: str) -> str:
    """The file of a `uses:` of the same tree."""
    return uses.removeprefix("./") if uses.startswith("./") else ""


def _env(document: Mapping[str, Any], shared: WorkflowScope) -> Mapping[str, Any]:
    """Literal variables of the whole file; one that depends on the run is unknown."""
    env = document.get("env")
    scope = input_scope(shared.inputs, shared.unknown)
    filled = (
        {name: fill(text_of(value), scope) for name, value in env.items()} if isinstance(env, Mapping) else {}
    )
    return {
        str(name): UNKNOWN if text.unknown or text.sometimes else text.text for name, text in filled.items()
    }
