"""Roles on several nodes: which node has the tests, and what the agents of the others do for them."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..processes import Children
from ..spec import Spec, Suite, Test
from ..stop import Stop
from .group import RoleProcesses, is_on_several, lost_name, meetings, role_logs
from .meeting import Meeting, names_in

__all__ = ["SETTLED", "is_elsewhere", "is_home", "say_settled", "serve"]

# in the folder of the meetings: no test with roles on several nodes is left
SETTLED = "settled"
_LOOK_S = 0.2
# what a role's server is given to end, and its agent after it
_END_S = 15.0


def is_elsewhere(spec: Spec, suite: Suite) -> bool:
    """Whether its tests run on another node: they run beside the role that starts last."""
    return is_on_several(spec, suite) and _home(suite) != spec.node.number


def is_home(spec: Spec, suite: Suite) -> bool:
    """Whether its tests run on this node, with roles on others."""
    return is_on_several(spec, suite) and _home(suite) == spec.node.number


def _home(suite: Suite) -> int:
    return max(suite.roles, key=lambda role: role.order).node


def say_settled(spec: Spec) -> None:
    """Let the agents of the other nodes go on with other tests; on a full disk they wait for the end of the run."""
    folder = meetings(spec)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTLED).touch()


def serve(
    spec: Spec,
    *,
    program: Path,
    spec_path: Path,
    children: Children,
    stop: Stop,
    environ: Callable[[Suite, Test], Mapping[str, str]],
) -> None:
    """Run the roles of this node for tests of another one, until no such test is left. The node's GPUs are theirs meanwhile."""
    if not any(is_elsewhere(spec, suite) for suite in spec.suites):
        return
    folder, served, is_over = meetings(spec), set[Path](), partial(_is_over, spec)
    while stop.reason is None and not is_over():
        for path in _attempts(folder):
            if path not in served:
                served.add(path)
                _serve_one(Meeting(path), spec, program, spec_path, children, stop, is_over, environ)
        time.sleep(_LOOK_S)


def _is_over(spec: Spec) -> bool:
    """Whether no other node will need this one: it said so, it is lost, or the run has ended."""
    names = names_in(meetings(spec))
    homes = {lost_name(_home(suite)) for suite in spec.suites if is_elsewhere(spec, suite)}
    # with `fail-fast` a test that runs is still waited for: its node says when it is settled
    return SETTLED in names or homes <= names or "closed" in names_in(Path(spec.claims.folder))


def _attempts(folder: Path) -> Sequence[Path]:
    """Folders of attempts; listed, since a network file system may answer from its cache about a single name."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()


def _serve_one(
    meeting: Meeting,
    spec: Spec,
    program: Path,
    spec_path: Path,
    children: Children,
    stop: Stop,
    is_over: Callable[[], bool],
    environ: Callable[[Suite, Test], Mapping[str, str]],
) -> None:
    """From the start of an attempt's roles to their end."""
    until = time.monotonic() + _END_S
    while (about := meeting.about()) is None:
        if time.monotonic() > until or stop.reason is not None or is_over():
            return
        time.sleep(_LOOK_S)
    suite = next(each for each in spec.suites if each.id == about["suite"])
    test = next(each for each in suite.tests if each.id == about["test"])
    processes = RoleProcesses(
        program=program, spec=spec, spec_path=spec_path, children=children, meeting=meeting, suite=suite
    )
    logs = role_logs(suite, about["stem"], spec.run_dir / "logs")
    try:
        processes.start(logs, spec.gpu_ids, environ(suite, test))
        hurried, end_at = False, None
        while not processes.is_over():
            processes.look()
            if not hurried and (stop.reason is not None or is_over()):
                hurried = True
                processes.hurry()
            if hurried or meeting.is_stopped() or meeting.failure() is not None:
                end_at = end_at or time.monotonic() + _END_S
                if time.monotonic() > end_at:
                    break
            time.sleep(_LOOK_S)
        processes.look()
    finally:
        left = processes.kill()
        with suppress(OSError):  # it stays a matter of this node
            meeting.say_left(spec.node.number, left)
