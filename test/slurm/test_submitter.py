"""The submitting process: how it is interrupted, how a run goes on without it, and the verbs for such a run."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from support.files import wait_for
from support.slurm_runs import Project, Run

NAMES = [f"t{number}" for number in range(6)]


def started(project: Project, body: str = "time.sleep(1)") -> Run:
    project.set_tests(dict.fromkeys(NAMES, body))
    run = project.start("--nodes", "2")
    run.wait_for_notes(2)
    return run


def test_ctrl_c_ends_the_tests_and_then_the_job(project: Project) -> None:
    run = started(project, "time.sleep(60)")
    run.send(signal.SIGINT)
    assert run.wait(15) == 130, run.text
    outcomes = run.outcomes()
    assert outcomes == dict.fromkeys(NAMES, "cancelled")
    assert (run.folder / "report.html").exists()
    project.wait_until_nothing_is_left()


def test_a_second_ctrl_c_has_slurm_end_it_at_once(project: Project) -> None:
    project.set_tests(
        {"stubborn": "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(60)", "later": "pass"}
    )
    run = project.start("--nodes", "1")
    run.wait_for_notes(1)
    run.send(signal.SIGINT)
    wait_for("its answer", lambda: "stopping" in run.text, 10)
    run.send(signal.SIGINT)
    assert run.wait(10) == 130, run.text
    project.wait_until_nothing_is_left()


def test_a_job_that_waits_is_taken_back(project: Project) -> None:
    for node in project.cluster.nodes:
        project.cluster.set_node(node, "drain")
    project.set_tests({"one": "pass"})
    run = project.start("--nodes", "2")
    assert run.job in project.cluster.allocations()
    wait_for("Slurm's reason", lambda: "Resources" in run.text or "Nodes" in run.text, 15)
    run.send(signal.SIGINT)
    assert run.wait(15) == 130, run.text
    assert not project.cluster.allocations()


def behind_sbatch(folder: Path, then: str) -> dict[str, str]:
    """Do this as soon as the controller has taken the job, before the submitter knows of it."""
    sbatch = folder / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" >/dev/null\n{then}\n')
    sbatch.chmod(0o755)
    return {"PATH": f"{sbatch.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("then", ["exit 1", "exec sleep 60"])
def test_a_job_whose_submission_brought_no_answer_is_taken_back(
    project: Project, tmp_path: Path, then: str
) -> None:
    for node in project.cluster.nodes:
        project.cluster.set_node(node, "drain")
    project.set_tests({"one": "pass"})
    run = project.run("--nodes", "2", environ=behind_sbatch(tmp_path, then))
    assert run.wait() == 4, run.text
    assert run.outcomes() == {"one": "infra"}
    assert not project.cluster.allocations()


def test_a_job_that_its_submitter_did_not_write_down_is_found_by_its_name(
    project: Project, tmp_path: Path
) -> None:
    for node in project.cluster.nodes:
        project.cluster.set_node(node, "drain")
    project.set_tests({"one": "pass"})
    run = project.run("--nodes", "2", environ=behind_sbatch(tmp_path, "kill -KILL $PPID"))
    (job,) = project.cluster.allocations()
    assert not (run.folder / "slurm/job.json").exists()
    listed = project.verb("slurm.list")
    assert str(job) in listed.stdout, listed
    done = project.verb("slurm.cancel", run.folder.name)
    assert done.returncode == 0, done
    assert not project.cluster.allocations()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_goes_on_without_its_submitter(project: Project, number: signal.Signals) -> None:
    run = started(project)
    run.send(number)
    code = run.wait(15)
    if number is signal.SIGHUP:
        assert code == 130, run.text
        assert f"the run goes on as job {run.job}: ./inv slurm.attach {run.folder.name}" in run.text
    assert run.job in project.cluster.allocations()
    listed = project.verb("slurm.list")
    assert run.folder.name in listed.stdout, listed
    assert str(run.job) in listed.stdout
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 0, attached
    assert run.outcomes() == dict.fromkeys(NAMES, "passed")
    assert project.counts("end") == dict.fromkeys(NAMES, 1)
    assert run.events()[-1]["type"] == "run-ended"
    seen = [(event["worker"], event["seq"]) for event in run.events() if event.get("seq")]
    assert len(seen) == len(set(seen)), "an event stands twice in the record"
    assert (run.folder / "report.html").exists()
    project.wait_until_nothing_is_left()


def test_a_lost_terminal_does_not_end_the_run(project: Project) -> None:
    """As when a connection by ssh is cut: every process of the session gets SIGHUP."""
    run = started(project)
    os.killpg(run.process.pid, signal.SIGHUP)
    run.wait(15)
    assert run.job in project.cluster.allocations()
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 0, attached
    assert project.counts("end") == dict.fromkeys(NAMES, 1)


def test_a_run_that_ended_unseen_gets_its_reports_and_exit_code_later(project: Project) -> None:
    project.set_tests({"bad": "time.sleep(0.5); sys.exit(1)", "good": "time.sleep(1)"})
    run = project.start("--nodes", "2")
    run.wait_for_notes(2)
    run.send(signal.SIGKILL)
    wait_for("the end of the job", lambda: not project.cluster.allocations(), 30)
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 1, attached
    assert run.outcomes() == {"bad": "product", "good": "passed"}
    assert (run.folder / "junit.xml").exists()


def test_another_run_does_not_sweep_one_without_submitter(project: Project) -> None:
    run = started(project, "time.sleep(2)")
    run.send(signal.SIGKILL)
    run.wait(10)
    other = project.run("--nodes", "1", "--test", "test_t0.py")
    assert other.wait() == 0, other.text
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 0, attached
    assert run.outcomes() == dict.fromkeys(NAMES, "passed")


def test_a_run_can_be_cancelled_by_its_name(project: Project) -> None:
    run = started(project, "time.sleep(60)")
    run.send(signal.SIGKILL)
    run.wait(10)
    done = project.verb("slurm.cancel", run.folder.name)
    assert done.returncode == 0, done
    project.wait_until_nothing_is_left()
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 130, attached
    assert set(run.outcomes()) == set(NAMES)


def test_a_run_is_followed_by_one_process(project: Project) -> None:
    run = started(project)
    refused = project.verb("slurm.attach", run.folder.name)
    assert refused.returncode == 2, refused
    assert (
        f"another process follows {run.folder.name}: pid {run.process.pid}" in refused.stdout + refused.stderr
    )
    assert run.wait() == 0, run.text
