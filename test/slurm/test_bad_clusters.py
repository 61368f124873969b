"""What is wrong with a cluster ends a run before it costs anything: exit 4, the cause in Slurm's own words, no test run, nothing left."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ci.slurm.argv import sbatch_argv
from ci.slurm.client import Slurm, SlurmError
from support.slurm_cluster import Cluster
from support.slurm_configuration import GPU_TYPE
from support.slurm_places import PLACE
from support.slurm_runs import Project, Run

TESTS = {f"t{number}": "time.sleep(0.5)" for number in range(6)}


def refused(project: Project, run: Run) -> str:
    """What a run said that ended with 4 before any test began."""
    assert run.wait() == 4, run.text
    assert not project.noted("begin")
    project.wait_until_nothing_is_left()
    assert "Traceback" not in run.text
    return " ".join(run.text.split())


def test_a_machine_without_slurm(project: Project, tmp_path: Path) -> None:
    project.set_tests(TESTS)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "uv", "ps"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    text = refused(project, project.run("--cluster", "amdci-virtual", environ={"PATH": str(programs)}))
    assert "needs Slurm" in text


def test_a_controller_that_does_not_answer(project: Project, tmp_path: Path) -> None:
    project.set_tests(TESTS)
    conf = tmp_path / "slurm.conf"
    lines = project.cluster.conf.read_text().splitlines()
    conf.write_text(
        "\n".join("SlurmctldPort=1" if line.startswith("SlurmctldPort") else line for line in lines) + "\n"
    )
    text = refused(project, project.run("--cluster", "amdci-virtual", environ={"SLURM_CONF": str(conf)}))
    assert "Unable to contact slurm controller" in text


def test_a_partition_that_does_not_exist(project: Project) -> None:
    project.set_tests(TESTS)
    project.set_row(partition="nowhere")
    text = refused(project, project.run())
    assert "nowhere" in text
    assert "clusters.toml" in text


def test_more_nodes_than_there_are(project: Project) -> None:
    project.set_tests(TESTS)
    project.set_row(nodes_max=5)
    text = refused(project, project.run("--nodes", "5"))
    assert "the job needs 5" in text


def test_a_constraint_that_no_node_has(project: Project) -> None:
    project.set_tests(TESTS)
    project.set_row(constraint="infiniband")
    text = refused(project, project.run())
    assert "Invalid feature specification" in text
    assert "clusters.toml" in text


def test_gpus_that_no_node_has_are_refused_and_others_given(cluster: Cluster, tmp_path: Path) -> None:
    """What the rows of a cluster with GPUs ask for; the test cluster's own row is a CPU's."""
    slurm = Slurm(cluster.environ, row="clusters.toml: cluster[north]")
    log = tmp_path / "log"

    def submit(gres: str) -> str:
        place = replace(PLACE, nodes=1, gres=gres, gpus_per_node=3)
        words = ("sh", "-c", "echo GPUs $ROCR_VISIBLE_DEVICES")
        argv = sbatch_argv(place, words, name="gpus", token="0", log=str(log))
        return slurm.submit(argv, cwd=tmp_path, environ=cluster.environ)

    with pytest.raises(SlurmError, match=r"clusters.toml: cluster\[north\]") as caught:
        submit("gpu:nosuch")
    assert "Requested node configuration is not available" in caught.value.cause
    cluster.wait_for_state(int(submit(f"gpu:{GPU_TYPE}")), "COMPLETED")
    assert log.read_text() == "GPUs 0,1,2\n"


@pytest.mark.parametrize(
    ("what", "node"), [("runs", "n2"), ("checkout", "n2"), ("runs", "n1"), ("checkout", "n1")]
)
def test_a_node_without_the_shared_folder(project: Project, what: str, node: str) -> None:
    """The batch script runs on n1, a worker alone on n2."""
    project.set_tests(TESTS)
    project.runs.mkdir()
    folder = project.runs if what == "runs" else project.repository
    project.cluster.hide(node, folder)
    text = refused(project, project.run("--nodes", "2"))
    assert str(folder) in text
    assert node in text


@pytest.mark.parametrize("skew_s", [120, -120])
def test_clocks_that_differ(project: Project, skew_s: int) -> None:
    project.set_tests(TESTS)
    project.cluster.set_clock("n2", skew_s)
    text = refused(project, project.run("--nodes", "2"))
    assert "n1" in text
    assert "n2" in text
    assert "120" in text or "119" in text


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_folder_that_a_node_cannot_write(project: Project, node: str) -> None:
    """Slurm itself writes the log of the batch script, on n1; a worker alone runs on n2."""
    project.set_tests(TESTS)
    project.runs.mkdir()
    project.cluster.make_read_only(node, project.runs)
    run = project.run("--nodes", "2")
    text = refused(project, run)
    why = {
        "n1": f"did not begin on node n1: {project.repository} must be there, and {run.folder} be writable",
        "n2": "Read-only file system",
    }
    assert why[node] in text


def test_a_folder_that_becomes_full(project: Project) -> None:
    """While tests run. When there is room again, what has ended is in the record, and what has not is said; nothing is run twice."""
    names = [f"t{number}" for number in range(10)]
    with project.cluster.small_folder(4000) as folder:
        own = replace(project, runs=folder / "runs")
        own.set_tests(dict.fromkeys(names, "time.sleep(0.5)"))
        run = own.start("--nodes", "2")
        run.wait_for_notes(4)
        before = run.settled()
        with contextlib.suppress(OSError):
            (folder / "fill").write_bytes(bytes(4_096_000))
        assert run.wait() == 4, run.text
        assert "No space left on device" in run.text
        assert "Traceback" not in run.text
        own.wait_until_nothing_is_left()
        (folder / "fill").unlink()
        attached = own.verb("slurm.attach", run.folder.name)
        assert attached.returncode == 130, attached
        outcomes, ended = run.outcomes(), set(own.counts("end"))
        passed = {name for name, verdict in outcomes.items() if verdict == "passed"}
        assert outcomes == {name: "passed" if name in passed else "cancelled" for name in names}
        assert before <= passed <= ended
        # the last one of each worker, which could not write its end
        assert len(ended - passed) <= 2
        assert max(own.counts("begin").values()) == 1


def test_torn_files_in_the_run_folder(project: Project) -> None:
    """As of a node that loses power while it writes."""
    names = [f"t{number}" for number in range(8)]
    project.set_tests(dict.fromkeys(names, "time.sleep(0.6)"))
    run = project.start("--nodes", "2")
    run.wait_for_notes(1, on="n1")
    run.wait_for_notes(1, on="n2")
    slurm = run.folder / "slurm"
    lost = next(name for name, node in project.cluster.nodes.items() if not node.processes("slurm_head"))
    project.cluster.vanish(lost)
    (worker,) = (
        hello.parent
        for hello in slurm.glob("workers/*/hello.json")
        if json.loads(hello.read_text())["node"] == lost
    )
    with (worker / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"test-end')
    (slurm / "queue/claims/junk").write_bytes(b"\0\0")
    (slurm / "queue/again/.nfs0001").write_bytes(b"")
    assert run.wait(90) == 0, run.text
    assert run.outcomes() == dict.fromkeys(names, "passed")
    assert [event["node"] for event in run.of("worker-lost")] == [lost]
    assert project.begun_twice() <= run.given_again()
    project.wait_until_nothing_is_left()
