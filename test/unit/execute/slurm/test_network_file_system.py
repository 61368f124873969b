"""What a server of NFS answers when it is in trouble: a message with cause and next command, and nothing of a living run is ended."""

import errno
import fcntl
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci.errors import ExitCode, InfrastructureError
from ci.execute.slurm.claims import claims_of
from ci.execute.slurm.files import SlurmFiles, write_whole
from ci.execute.slurm.outside import run_rows
from ci.execute.slurm.owner import Jobs, job_goes_on
from ci.execute.slurm.tail import Tail
from ci.execute.slurm.worker import read_probe, read_spec
from ci.system.file_lock import FileLock
from support.slurm_answers import Controller

Answer = Callable[[int], None]


@pytest.fixture
def files(tmp_path: Path) -> SlurmFiles:
    """The folder of a run, all of it there."""
    found = SlurmFiles(run=tmp_path / "run")
    found.make_worker("1")
    found.claims_by("1").mkdir(parents=True)
    for path in (found.probe, found.spec, found.end, found.head_events):
        path.write_text("{}")
    return found


@pytest.fixture
def answers(files: SlurmFiles, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """From now on every call about something in the folder of the run fails with this error."""

    def fail(number: int) -> None:
        def refused(path: Any) -> bool:
            return isinstance(path, (str, Path)) and str(path).startswith(str(files.run))

        for module, name in (
            (io, "open"),
            (os, "stat"),
            (os, "listdir"),
            (os, "scandir"),
            (os, "open"),
            (os, "link"),
        ):
            real = getattr(module, name)

            def call(path: Any, *arguments: Any, real: Any = real, **keys: Any) -> Any:
                if refused(path):
                    raise OSError(number, os.strerror(number), str(path))
                return real(path, *arguments, **keys)

            monkeypatch.setattr(module, name, call)

    return fail


@pytest.mark.parametrize(
    "read",
    [
        lambda files: Tail(files.head_events).events(),
        lambda files: files.workers,
        lambda files: claims_of(files, "1"),
        read_spec,
        lambda files: read_probe(files, {}),
    ],
    ids=["events", "workers", "claims", "spec", "probe"],
)
def test_what_cannot_be_read_is_named_with_the_servers_answer(
    files: SlurmFiles, answers: Answer, read: Callable[[SlurmFiles], object]
) -> None:
    answers(errno.EIO)
    with pytest.raises(
        InfrastructureError, match=rf"cannot read {files.run}.*: Input/output error"
    ) as caught:
        read(files)
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    assert caught.value.cause
    assert caught.value.then


def test_what_the_server_has_made_anew_is_looked_for_again(files: SlurmFiles, answers: Answer) -> None:
    answers(errno.ESTALE)
    assert (Tail(files.head_events).events(), files.workers) == ([], ())


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EIO, "the disk or the network file system failed"),
        (errno.ESTALE, "the folder was removed, or its server was started anew"),
        (errno.EROFS, "the file system is read-only"),
    ],
    ids=["EIO", "ESTALE", "EROFS"],
)
def test_what_cannot_be_written_has_its_cause(
    files: SlurmFiles, answers: Answer, number: int, cause: str
) -> None:
    answers(number)
    with pytest.raises(InfrastructureError) as caught:
        write_whole(files.job, {"job": "7"})
    assert os.strerror(number) in caught.value.what
    assert (caught.value.cause, caught.value.then) == (cause, f"df -h {files.folder}")


def test_a_file_system_without_locks_is_named_with_the_row_to_change(
    files: SlurmFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(InfrastructureError, match=r"cannot lock .*follow.lock: No locks available") as caught:
        FileLock().take(files.follow_lock)
    assert "NFS without lockd" in caught.value.cause
    assert "clusters.toml, `shared`" in caught.value.then


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_run_whose_folder_does_not_answer_is_not_swept(
    files: SlurmFiles, answers: Answer, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.slurm.client.capture", Controller("RUNNING"))
    said: list[str] = []
    answers(number)
    assert job_goes_on(files.run, Jobs({}), said.append)
    assert said == []


def test_the_list_of_runs_names_the_others_beside_a_run_that_does_not_answer(
    files: SlurmFiles, answers: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.slurm.client.capture", Controller("RUNNING"))
    other = SlurmFiles(run=files.run.parent / "another")
    other.make_worker("1")
    other.job.write_text('{"job": "7"}')
    answers(errno.EIO)
    assert [(row.run, row.job, row.state) for row in run_rows(files.run.parent, {})] == [
        ("another", "7", "RUNNING")
    ]
