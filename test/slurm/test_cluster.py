"""The cluster of these tests is what they take it for: Slurm's own behaviour, and faults that a job really sees."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.child_processes import end_with_the_test
from support.files import REPOSITORY, wait_for
from support.slurm_cluster import NODES, Cluster, need_slurm
from support.virtual_machines import processes_that_run


def test_a_step_runs_on_both_nodes_with_gpus_of_its_own(cluster: Cluster) -> None:
    out = cluster.ask("srun", "-N2", "--gres=gpu:3", "sh", "-c", "echo $(hostname) $ROCR_VISIBLE_DEVICES")
    assert sorted(out.splitlines()) == ["n1 0,1,2", "n2 0,1,2"]


def test_two_jobs_on_a_node_have_different_gpus(cluster: Cluster, tmp_path: Path) -> None:
    for number in range(2):
        cluster.submit(
            f'echo "$ROCR_VISIBLE_DEVICES" > {tmp_path}/{number}; sleep 1', "-w", "n1", "--gres=gpu:4"
        )
    wait_for("the end of both", lambda: not cluster.allocations(), 20)
    assert {(tmp_path / str(number)).read_text().strip() for number in range(2)} == {"0,1,2,3", "4,5,6,7"}


def test_a_job_of_a_lost_node_is_requeued_unless_it_must_not(cluster: Cluster) -> None:
    requeued = cluster.submit("sleep 60", "-w", "n1")
    ended = cluster.submit("sleep 60", "-w", "n1", "--no-requeue")
    for job in (requeued, ended):
        cluster.wait_for_state(job, "RUNNING")
    cluster.set_node("n1", "down")
    assert cluster.wait_for_state(ended, "NODE_FAIL").reason == "NodeDown"
    assert cluster.wait_for_state(requeued, "PENDING").fields["Restarts"] == "1"
    cluster.set_node("n1", "resume")
    cluster.wait_for_state(requeued, "RUNNING")


def test_a_job_of_the_higher_partition_takes_the_place_of_one_below(cluster: Cluster) -> None:
    low = cluster.submit("sleep 60", "-N2", "--exclusive")
    cluster.wait_for_state(low, "RUNNING")
    high = cluster.submit("sleep 1", "-N2", "--exclusive", "-p", "hi")
    cluster.wait_for_state(high, "RUNNING", "COMPLETED")
    assert cluster.wait_for_state(low, "PENDING").fields["Restarts"] == "1"


def test_a_time_limit_ends_a_job(cluster: Cluster) -> None:
    job = cluster.submit("sleep 60", "-p", "short")
    cluster.wait_for_state(job, "RUNNING")
    cluster.end_time_limit(job)
    assert cluster.wait_for_state(job, "TIMEOUT", timeout_s=40).reason == "TimeLimit"


def test_a_killed_slurmd_leaves_its_jobs_running(cluster: Cluster) -> None:
    job = cluster.submit("sleep 61", "-w", "n1", "--no-requeue")
    cluster.wait_for_state(job, "RUNNING")
    wait_for("the process of the job", lambda: bool(cluster.nodes["n1"].processes("sleep 61")), 10)
    cluster.kill_slurmd("n1")
    assert cluster.nodes["n1"].processes("sleep 61")
    assert cluster.wait_for_state(job, "NODE_FAIL").reason == "NodeDown"
    assert cluster.nodes["n1"].processes("sleep 61")


def test_a_node_that_vanishes_takes_its_processes_along(cluster: Cluster) -> None:
    job = cluster.submit("sleep 62", "-w", "n2", "--no-requeue")
    cluster.wait_for_state(job, "RUNNING")
    wait_for("the process of the job", lambda: bool(cluster.nodes["n2"].processes("sleep 62")), 10)
    (sleeping, *_) = cluster.nodes["n2"].processes("sleep 62")
    cluster.vanish("n2")
    assert not Path(f"/proc/{sleeping}").exists()
    cluster.wait_for_state(job, "NODE_FAIL")
    cluster.return_node("n2")
    cluster.wait_until_idle("n2")


def test_cancelling_ends_children_in_sessions_of_their_own_but_not_orphans(cluster: Cluster) -> None:
    """What Slurm does here, and why a run has to clear up on its nodes itself."""
    job = cluster.submit("setsid sleep 63 &\n(setsid sleep 64 &)\nsleep 65", "-w", "n1")
    node = cluster.nodes["n1"]
    wait_for("its processes", lambda: all(node.processes(f"sleep {number}") for number in (63, 64, 65)), 10)
    cluster.ask("scancel", str(job))
    wait_for("the end of its children", lambda: not node.processes("sleep 63"), 10)
    wait_for("the end of its own process", lambda: not node.processes("sleep 65"), 10)
    assert node.processes("sleep 64")
    cluster.heal()
    assert not node.processes("sleep 64")


@pytest.mark.parametrize("skew_s", [90, -600])
def test_a_job_sees_the_clock_of_its_node(cluster: Cluster, skew_s: int) -> None:
    cluster.set_clock("n2", skew_s)
    look = ("python3", "-c", "import time; print(time.time())")
    for node, expected in (("n1", 0), ("n2", skew_s)):
        seen = float(cluster.ask("srun", "-w", node, "-N1", *look))
        assert abs(seen - time.time() - expected) < 5, node


def test_times_of_files_are_those_of_the_file_server(cluster: Cluster, tmp_path: Path) -> None:
    cluster.set_clock("n2", 90)
    file = tmp_path / "file"
    look = f"import os; open({str(file)!r}, 'w').write('x'); print(os.stat({str(file)!r}).st_mtime)"
    seen = cluster.ask("srun", "-w", "n2", "-N1", "python3", "-c", look)
    assert abs(float(seen) - time.time()) < 5
    assert abs(file.stat().st_mtime - time.time()) < 5


def test_a_node_does_not_see_a_hidden_folder(cluster: Cluster) -> None:
    folder = cluster.shared / "runs"
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text("{}")
    cluster.hide("n2", folder)
    look = f"ls {folder} | wc -l; touch {folder}/$(hostname)"
    assert cluster.ask("srun", "-w", "n1", "-N1", "sh", "-c", look) == "1"
    assert cluster.ask("srun", "-w", "n2", "-N1", "sh", "-c", look) == "0"
    assert (folder / "n1").exists()
    assert not (folder / "n2").exists()


def test_a_node_cannot_write_to_a_read_only_folder(cluster: Cluster) -> None:
    folder = cluster.shared / "kept"
    folder.mkdir(exist_ok=True)
    cluster.make_read_only("n2", folder)
    done = cluster.client("srun", "-w", "n2", "-N1", "touch", f"{folder}/x")
    assert "Read-only file system" in done.stderr
    cluster.ask("srun", "-w", "n1", "-N1", "touch", f"{folder}/x")


def test_every_node_sees_the_same_full_folder(cluster: Cluster) -> None:
    with cluster.small_folder(64) as folder:
        done = cluster.client(
            "srun", "-w", "n1", "-N1", "dd", "if=/dev/zero", f"of={folder}/big", "bs=4k", "count=32"
        )
        assert "No space left on device" in done.stderr
        assert cluster.ask("srun", "-w", "n2", "-N1", "stat", "-c", "%s", f"{folder}/big") == "65536"


def test_a_cluster_forgets_a_job_when_it_is_asked_to_and_leaves_nothing() -> None:
    with Cluster(min_job_age_s=2) as short_memory:
        folder = short_memory.folder
        job = short_memory.submit("true")
        wait_for("the job to be forgotten", lambda: short_memory.job(job) is None, 30)
        short_memory.submit("setsid sleep 66 &\n(setsid sleep 66 &)\nsleep 66")
        wait_for("its processes", lambda: len(processes_that_run("sleep 66")) > 2, 10)
    assert not folder.exists()
    assert not processes_that_run("sleep 66")
    assert not processes_that_run(str(folder))
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_nothing_outlives_a_killed_test_process_but_files_that_the_next_start_removes() -> None:
    process = end_with_the_test(
        subprocess.Popen(
            [sys.executable, "-m", "support.slurm_cluster"],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'test'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    )
    with process:
        assert process.stdout is not None
        text = process.stdout.readline() + process.stdout.readline()
        found = re.search(rb"SLURM_CONF=(\S+)/etc/slurm.conf", text)
        assert found is not None, text
        folder = Path(found[1].decode())
        assert len(processes_that_run(str(folder))) > len(NODES)
        process.send_signal(signal.SIGKILL)
    wait_for("the end of its processes", lambda: not processes_that_run(str(folder)), 10)
    assert folder.exists()
    with Cluster():
        assert not folder.exists()
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt-get install munge slurm-wlm "):
        need_slurm()
