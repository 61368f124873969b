"""What a cluster with slurmdbd says that one without does not."""

import json
from dataclasses import replace

import pytest

from support.files import wait_for
from support.slurm_cluster import Cluster
from support.slurm_configuration import ACCOUNT, QOS
from support.slurm_runs import Project


def test_sacct_knows_a_job_that_the_controller_has_forgotten(accounting: Cluster) -> None:
    number = accounting.submit("exit 7", "-A", ACCOUNT, "-q", QOS, "--gres=gpu:2")
    wait_for("the job to be forgotten", lambda: accounting.job(number) is None, 30)
    (job,) = json.loads(accounting.ask("sacct", "--json", "-j", str(number)))["jobs"]
    assert job["state"]["current"] == "FAILED"
    # this Slurm's JSON says 0 for every exit code; its table does not
    assert accounting.ask("sacct", "-n", "-X", "-P", "-o", "ExitCode", "-j", str(number)) == "7:0"
    assert (job["account"], job["qos"]) == (ACCOUNT, QOS)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"account": "nobody"}, "Invalid account or account/partition combination specified"),
        ({"account": ACCOUNT, "qos": "nothing"}, "Invalid qos specification"),
    ],
    ids=["account", "qos"],
)
def test_an_account_or_qos_that_does_not_exist(
    accounting: Cluster, project: Project, row: dict[str, str], words: str
) -> None:
    own = replace(project, cluster=accounting)
    own.set_tests({"one": "pass"})
    own.set_row(**row)
    run = own.run()
    assert run.wait() == 4, run.text
    text = " ".join(run.text.split())
    assert not own.noted("begin")
    assert words in text
    (key, _), *_ = (item for item in row.items() if item[1] != ACCOUNT)
    assert key in text
    assert "clusters.toml" in text


def test_a_run_with_accounting_ends_right_though_slurm_forgets_it(
    accounting: Cluster, project: Project
) -> None:
    own = replace(project, cluster=accounting)
    own.set_tests({"bad": "sys.exit(1)", "good": "time.sleep(1)"})
    own.set_row(account=ACCOUNT, accounting=True)
    run = own.run("--nodes", "2")
    assert run.wait() == 1, run.text
    assert run.outcomes() == {"bad": "product", "good": "passed"}
