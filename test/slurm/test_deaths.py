"""What dies while a run goes on: slurmd, a node, a worker, the head, the job, the controller; no test is lost, none is run twice, nothing is left."""

import signal
from pathlib import Path

import pytest

from support.files import wait_for
from support.slurm_runs import Project, Run

NAMES = [f"t{number}" for number in range(8)]
LONG = "time.sleep(1)"


def started(project: Project, body: str = LONG) -> Run:
    """A run of which both nodes have begun a test."""
    project.set_tests(dict.fromkeys(NAMES, body))
    run = project.start("--nodes", "2")
    for node in ("n1", "n2"):
        run.wait_for_notes(1, on=node)
    return run


def head_node(project: Project) -> str:
    """Where the batch script runs."""
    return next(name for name, node in project.cluster.nodes.items() if node.processes("slurm_head"))


def other_node(project: Project) -> str:
    return "n1" if head_node(project) == "n2" else "n2"


def all_done(project: Project, run: Run, before: set[str]) -> None:
    """Every test has a verdict, and none but a lost worker's was begun twice; none at all that was settled `before`."""
    assert run.outcomes() == dict.fromkeys(NAMES, "passed"), run.text
    twice, again = project.begun_twice(), run.given_again()
    assert twice <= again
    assert not before & (again | twice)
    assert set(project.counts("end")) == set(NAMES)


@pytest.mark.parametrize("how", ["worker", "agent", "slurmd", "down", "power"])
def test_the_other_node_runs_what_a_lost_one_had(project: Project, tmp_path: Path, how: str) -> None:
    # a node whose slurmd is gone works on until Slurm misses it
    slow = tmp_path / "slow"
    slow.mkdir()
    run = started(project, f"time.sleep(60 if platform.node() in os.listdir({str(slow)!r}) else 1)")
    lost = other_node(project)
    (slow / lost).touch()
    run.wait_for_notes(2, on=lost)
    before = run.settled()
    machine = project.cluster.nodes[lost]
    match how:
        case "worker":
            assert machine.kill("slurm_worker")
        case "agent":
            assert machine.kill("agent.pyz")
        case "slurmd":
            project.cluster.kill_slurmd(lost)
        case "down":
            project.cluster.set_node(lost, "down")
        case _:
            project.cluster.vanish(lost)
    assert run.wait(90) == 0, run.text
    all_done(project, run, before)
    assert [event["node"] for event in run.of("worker-lost")] == [lost]
    if machine.on:
        wait_for(f"the end of tests on {lost}", lambda: not machine.processes("registered"), 10)


@pytest.mark.parametrize("how", ["power", "head"])
def test_the_end_of_the_head_ends_the_run_with_slurms_reason(project: Project, how: str) -> None:
    run = started(project)
    head = head_node(project)
    if how == "power":
        project.cluster.vanish(head)
    else:
        assert project.cluster.nodes[head].kill("slurm_head")
    assert run.wait(90) == 4, run.text
    outcomes = run.outcomes()
    assert set(outcomes) == set(NAMES)
    assert max(project.counts("begin").values()) == 1
    error = run.error
    assert f"job {run.job}" in error
    assert (f"lost its head: node {head} is down" if how == "power" else "FAILED") in error
    project.wait_until_nothing_is_left()


def test_a_run_without_submitter_whose_head_node_was_lost_is_ended_by_who_follows_it(
    project: Project,
) -> None:
    run = started(project)
    head = head_node(project)
    run.send(signal.SIGHUP)
    run.wait(15)
    project.cluster.vanish(head)
    wait_for("Slurm's miss of it", lambda: project.cluster.node_state(head).startswith("down"), 60)
    attached = project.verb("slurm.attach", run.folder.name)
    assert attached.returncode == 4, attached
    assert f"lost its head: node {head} is down" in run.error
    project.wait_until_nothing_is_left()


def test_a_job_that_somebody_cancels(project: Project) -> None:
    run = started(project)
    project.cluster.ask("scancel", str(run.job))
    assert run.wait() == 130, run.text
    outcomes = run.outcomes()
    assert set(outcomes) == set(NAMES)
    assert "cancelled" in outcomes.values()
    assert set(outcomes.values()) <= {"passed", "cancelled"}
    assert max(project.counts("begin").values()) == 1
    project.wait_until_nothing_is_left()


def test_a_job_whose_time_is_over(project: Project) -> None:
    project.set_tests({"long": "time.sleep(100)", "later": "pass"})
    run = project.start("--nodes", "1")
    run.wait_for_notes(1)
    project.cluster.end_time_limit(run.job)
    assert run.wait(60) == 5, run.text
    assert "timeout" in run.outcomes().values()
    project.wait_until_nothing_is_left()


@pytest.mark.parametrize(("how", "code"), [("interrupt", 130), ("time", 5)])
def test_a_stop_after_a_worker_was_lost_has_its_own_reason(project: Project, how: str, code: int) -> None:
    project.set_tests(dict.fromkeys(NAMES[:2], "time.sleep(100)"))
    run = project.start("--nodes", "2")
    for node in ("n1", "n2"):
        run.wait_for_notes(1, on=node)
    assert project.cluster.nodes[other_node(project)].kill("slurm_worker")
    wait_for("the loss in the record", lambda: run.of("worker-lost"), 15)
    if how == "time":
        project.cluster.end_time_limit(run.job)
    else:
        run.send(signal.SIGINT)
    assert run.wait(60) == code, run.text
    assert set(run.outcomes()) == set(NAMES[:2])
    project.wait_until_nothing_is_left()


def test_a_job_that_has_to_give_way(project: Project) -> None:
    project.set_tests({"long": "time.sleep(100)"})
    run = project.start("--nodes", "2")
    run.wait_for_notes(1)
    higher = project.cluster.submit("sleep 1", "-N2", "--exclusive", "-p", "hi")
    assert run.wait(60) == 4, run.text
    assert "PREEMPTED" in run.error
    project.cluster.wait_for_state(higher, "RUNNING", "COMPLETED")


@pytest.mark.parametrize("how", ["scontrol", "node"])
def test_a_job_that_is_put_back_into_the_queue_goes_on(project: Project, how: str) -> None:
    project.set_row(requeue=True)
    run = started(project)
    before, head = run.settled(), head_node(project)
    if how == "scontrol":
        project.cluster.ask("scontrol", "requeue", str(run.job))
    else:
        project.cluster.set_node(head, "down")
        wait_for(
            "the end of the tests there", lambda: not project.cluster.nodes[head].processes("registered"), 15
        )
        project.cluster.set_node(head, "resume")
    assert run.wait(120) == 0, run.text
    all_done(project, run, before)
    project.wait_until_nothing_is_left()


def test_a_run_goes_on_while_no_controller_answers(project: Project) -> None:
    run = started(project)
    project.cluster.stop_controller()
    wait_for("the news of it", lambda: "Slurm does not answer, the run goes on" in run.text, 20)
    wait_for("the end of all tests", lambda: set(project.counts("end")) == set(NAMES), 30)
    project.cluster.start_controller()
    assert run.wait(60) == 0, run.text
    assert run.outcomes() == dict.fromkeys(NAMES, "passed")
    assert not project.begun_twice()
    assert "Slurm answers again" in run.text
    project.wait_until_nothing_is_left()
