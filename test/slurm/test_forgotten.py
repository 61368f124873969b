"""A job that the controller has forgotten when its run is followed again: with accounting it is said how it ended."""

import signal
from dataclasses import replace

import pytest

from support.files import wait_for
from support.slurm_cluster import Cluster
from support.slurm_configuration import ACCOUNT
from support.slurm_runs import Project


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"account": ACCOUNT, "accounting": True}, ("it was cancelled", "Slurm: CANCELLED")),
        ({"account": ACCOUNT}, ("Slurm has forgotten it",)),
    ],
    ids=["accounting", "none"],
)
def test_how_a_forgotten_job_ended(
    accounting: Cluster, project: Project, row: dict[str, str | bool], words: tuple[str, ...]
) -> None:
    own = replace(project, cluster=accounting)
    own.set_tests({"one": "time.sleep(60)"})
    own.set_row(**row)
    run = own.start("--nodes", "2")
    run.wait_for_notes(1)
    run.send(signal.SIGKILL)
    run.wait()
    accounting.ask("scancel", "--signal=KILL", "--full", str(run.job))
    accounting.ask("scancel", str(run.job))
    wait_for("the job to be forgotten", lambda: accounting.job(run.job) is None, 60)
    attached = own.verb("slurm.attach", run.folder.name)
    assert attached.returncode != 0
    assert all(each in run.error for each in words), run.error
