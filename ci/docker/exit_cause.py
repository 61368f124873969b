"""Why a stream from a container ended: engine, container, memory or the command itself, by evidence."""

from dataclasses import dataclass
from typing import Any

from ci.docker.client import Client, EngineError, faults
from ci.docker.container_init import TIME_IS_OVER

__all__ = ["ExitCause", "events_of", "find_exit_cause", "is_paused"]

_SIGKILL_CODE = 137


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCause:
    """What ended, as a cause, the next command, and the evidence line by line."""

    kind: str
    cause: str
    then: str
    evidence: tuple[str, ...] = ()


def is_paused(client: Client, container: str) -> bool:
    """Whether it is paused.

    Raises:
        EngineError: it is gone, or the engine is.
    """
    with faults():
        return bool(client.api.inspect_container(container)["State"]["Paused"])


def find_exit_cause(
    client: Client, container: str, *, since_s: float, until_s: float, exit_code: int | None
) -> ExitCause | None:
    """What ended a stream; None when the container is well, so that it was the command's own end.

    `since_s` and `until_s` are Unix times between which the engine's events count; `exit_code` is the exec's, if known.
    """
    try:
        with faults():
            state = client.api.inspect_container(container)["State"]
    except EngineError as error:
        if error.status != 404:
            return ExitCause(
                kind="engine",
                cause=f"the Docker engine ended while the container was running: {error.text}",
                then="docker info; see the engine's log: journalctl -u docker",
            )
        return _removed(client, container, since_s, until_s)
    if state.get("OOMKilled") or (exit_code == _SIGKILL_CODE and _oom(client, container, since_s, until_s)):
        return _memory(state)
    if state.get("Paused"):
        return ExitCause(
            kind="paused",
            cause="the container was paused from outside of this run",
            then=f"docker unpause {container[:12]}",
            evidence=(f"State.Status {state.get('Status')}",),
        )
    if not state.get("Running"):
        lines = [_line(event) for event in events_of(client, container, since_s, until_s)]
        return _by_code(int(state.get("ExitCode", -1)), (f"State {_plain(state)}", *lines))
    return None


def events_of(client: Client, container: str, since_s: float, until_s: float) -> tuple[dict[str, Any], ...]:
    """What the engine says happened to it, oldest first; empty when it does not remember or is gone."""
    filters = {"container": [container], "type": ["container"]}
    try:
        with faults():
            stream = client.api.events(
                since=f"{since_s:.3f}", until=f"{until_s:.3f}", filters=filters, decode=True
            )
            return tuple(event for event in stream if not str(event.get("Action", "")).startswith("exec_"))
    except EngineError:
        return ()


def _removed(client: Client, container: str, since_s: float, until_s: float) -> ExitCause:
    """It does not exist any more: with auto-removal its state is gone too, the engine's events remain."""
    events = events_of(client, container, since_s, until_s)
    evidence = tuple(_line(event) for event in events)
    actions = {str(event.get("Action")) for event in events}
    if "oom" in actions:
        return _memory({}, evidence)
    exits = [event for event in events if event.get("Action") == "die"]
    if exits:
        attributes = exits[-1].get("Actor", {}).get("Attributes", {})
        return _by_code(int(attributes.get("exitCode", -1)), evidence)
    return ExitCause(
        kind="engine",
        cause="the container no longer exists and the engine has no event of its end: the engine was restarted",
        then="see the engine's log: journalctl -u docker",
        evidence=evidence,
    )


def _by_code(code: int, evidence: tuple[str, ...]) -> ExitCause:
    if code == TIME_IS_OVER:
        return ExitCause(
            kind="ttl",
            cause="the container's time to live has expired: the run hung, or took longer than all its limits together",
            then="see ci/catalog/limits.toml: container.ttl_margin_s, container.keep_s",
            evidence=evidence,
        )
    how = f"by signal {code - 128}" if code > 128 else f"with exit code {code}"
    return ExitCause(
        kind="container",
        cause=f"the container ended {how}: it was stopped, killed or removed from outside of this run",
        then="see the events: docker events --filter type=container",
        evidence=evidence,
    )


def _memory(state: dict[str, Any], evidence: tuple[str, ...] = ()) -> ExitCause:
    source = ("State.OOMKilled true",) if state.get("OOMKilled") else ("the engine counted an OOM kill",)
    return ExitCause(
        kind="oom",
        cause="the kernel killed it: out of memory",
        then="see dmesg; a limit of the container or the machine's memory is too small",
        evidence=(*source, *evidence),
    )


def _oom(client: Client, container: str, since_s: float, until_s: float) -> bool:
    return any(event.get("Action") == "oom" for event in events_of(client, container, since_s, until_s))


def _line(event: dict[str, Any]) -> str:
    attributes = event.get("Actor", {}).get("Attributes", {})
    details = [f"{name} {attributes[name]}" for name in ("signal", "exitCode") if name in attributes]
    return " ".join(["engine event:", str(event.get("Action")), *details])


def _plain(state: dict[str, Any]) -> str:
    return ", ".join(f"{name} {state[name]}" for name in ("Status", "ExitCode", "Error") if state.get(name))
