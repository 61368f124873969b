"""What a cluster with slurmdbd says that one without does not."""

import json
from collections.abc import Iterator

import pytest

from support.files import wait_for
from support.slurm_cluster import Cluster
from support.slurm_configuration import ACCOUNT, QOS


@pytest.fixture(scope="module")
def accounting() -> Iterator[Cluster]:
    with Cluster(accounting=True, min_job_age_s=2) as cluster:
        yield cluster


def test_sacct_knows_a_job_that_the_controller_has_forgotten(accounting: Cluster) -> None:
    number = accounting.submit("exit 7", "-A", ACCOUNT, "-q", QOS, "--gres=gpu:2")
    wait_for("the job to be forgotten", lambda: accounting.job(number) is None, 30)
    (job,) = json.loads(accounting.ask("sacct", "--json", "-j", str(number)))["jobs"]
    assert job["state"]["current"] == "FAILED"
    # this Slurm's JSON says 0 for every exit code; its table does not
    assert accounting.ask("sacct", "-n", "-X", "-P", "-o", "ExitCode", "-j", str(number)) == "7:0"
    assert (job["account"], job["qos"]) == (ACCOUNT, QOS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-A", "nobody"), "Invalid account or account/partition combination specified"),
        (("-q", "nothing"), "Invalid qos specification"),
        (("-p", "nowhere"), "Invalid partition name specified"),
    ],
)
def test_slurm_refuses_what_is_not_there(accounting: Cluster, options: tuple[str, ...], words: str) -> None:
    done = accounting.client("sbatch", "--wrap", "true", *options)
    assert done.returncode == 1
    assert words in done.stderr
