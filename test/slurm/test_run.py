"""A run on Slurm: two workers share one queue, one record, and nothing is left."""

import json
import os
import shlex
import sys
from pathlib import Path

from ci.execute.run_folder import read_plan
from support.nox_project import tool
from support.slurm_runs import Project

HUNDREDS = 200


def test_a_stage_through_nox_on_two_nodes(project: Project) -> None:
    project.set_tests({f"t{number}": "time.sleep(0.3)" for number in range(8)})
    envdir = Path(__file__).parents[2] / ".nox"
    words = ("--envdir", str(envdir), "-s", "stage_a_amd", "--", "--executor", "slurm", "--nodes", "2")
    # what uv needs to reach an index
    outer = {
        name: value for name, value in os.environ.items() if name.startswith(("HOME", "UV_", "SSL_CERT"))
    }
    run = project.start(argv=(tool("nox"), *words), environ=outer)
    assert run.wait(180) == 0, run.text
    assert project.counts("end") == dict.fromkeys((f"t{number}" for number in range(8)), 1)
    assert {node for _, node in project.noted("end")} == {"n1", "n2"}
    assert set(run.outcomes().values()) == {"passed"}
    assert f"job {run.job}" in run.text
    states = [event["state"] for event in run.of("job")]
    assert states[-1] in ("RUNNING", "COMPLETING", "COMPLETED")
    for name in ("junit.xml", "summary.md", "report.html"):
        assert (run.folder / name).is_file(), name
    project.wait_until_nothing_is_left()


def test_the_work_is_that_of_the_host(project: Project) -> None:
    project.set_tests({"one": "pass"})
    plans = {
        executor: project.command(
            *(sys.executable, "-m", "ci", "run", "stage-a-amd", "--executor", executor, "--hardware", "cpu"),
            *("--dry-run", "--json"),
        )
        for executor in ("host", "slurm")
    }
    digests = {executor: json.loads(done.stdout)["digest"] for executor, done in plans.items()}
    assert digests["host"] == digests["slurm"], plans


def test_each_of_many_tests_is_run_exactly_once_though_a_worker_dies(project: Project) -> None:
    names = [f"t{number}" for number in range(HUNDREDS)]
    project.set_tests(dict.fromkeys(names, "pass"))
    run = project.start("--nodes", "2", "--jobs", "2")
    run.wait_for_notes(HUNDREDS // 8, "end", on="n2")
    assert project.cluster.nodes["n2"].kill("slurm_worker")
    assert run.wait(180) == 0, run.text
    assert run.outcomes() == dict.fromkeys(names, "passed")
    (lost,) = run.of("worker-lost")
    assert lost["node"] == "n2"
    again = run.given_again()
    ends = project.counts("end")
    assert set(ends) == set(names)
    # each slot had one under way at most; the others had ended, and the news of it was lost with the worker
    assert len({name for name in again if ends[name] == 1}) <= 2
    # one that was lost between its end and the news of it
    assert {name for name, count in ends.items() if count > 1} <= again
    assert project.begun_twice() <= again
    project.wait_until_nothing_is_left()


def test_two_runs_at_once_do_not_disturb_each_other(project: Project) -> None:
    names = [f"t{number}" for number in range(6)]
    project.set_tests(dict.fromkeys(names, "time.sleep(0.5)"))
    runs = [project.start("--nodes", "2")]
    runs[0].wait_for_notes(1)
    runs.append(project.start("--nodes", "2"))
    assert [run.wait() for run in runs] == [0, 0], [run.text for run in runs]
    assert project.counts("end") == dict.fromkeys(names, 2)
    first, second = project.run_folders()
    assert first != second
    for folder in (first, second):
        ended = [
            json.loads(line)["test"]
            for line in (folder / "events.jsonl").read_text().splitlines()
            if '"test-ended"' in line
        ]
        assert len(ended) == len(set(ended)) == len(names), folder
    project.wait_until_nothing_is_left()


def test_a_test_that_fails_on_a_node_fails_the_run(project: Project) -> None:
    project.set_tests({"bad": "sys.exit(3)", "good": "pass"})
    run = project.run("--nodes", "2")
    assert run.wait() == 1, run.text
    assert run.outcomes() == {"bad": "product", "good": "passed"}


def test_processes_that_leave_their_parents_are_ended_on_each_node(project: Project) -> None:
    orphan = "os.fork() or (os.setsid(), os.fork() and os._exit(0), os.execvp('sleep', ['sleep', '617']))"
    project.set_tests({f"t{number}": f"{orphan}; time.sleep(0.5)" for number in range(4)})
    run = project.run("--nodes", "2")
    assert run.wait() == 0, run.text
    assert {node for _, node in project.noted("end")} == {"n1", "n2"}
    project.wait_until_nothing_is_left()


def test_a_red_run_is_repeated_on_the_host_and_on_its_cluster(project: Project) -> None:
    project.set_tests({"bad": "sys.exit(3)", "good": "pass"})
    red = project.run("--nodes", "2")
    assert red.wait() == 1, red.text
    stage = (sys.executable, "-m", "ci", "run", "stage-a-amd")
    listed = project.command(*stage, "--last-failed", "--executor", "host", "--list")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["test/registered/amd/test_bad.py"]
    repro = project.verb("repro", str(red.folder), "--json")
    assert repro.returncode == 0, repro
    lines = json.loads(repro.stdout)["lines"]
    for line, executor in (("the same plan", "host"), ("the same plan, there", "slurm")):
        again = project.start(argv=(*stage, *shlex.split(lines[line].partition(" -- ")[2])))
        assert again.wait() == 1, again.text
        assert again.outcomes() == red.outcomes()
        plan = read_plan(again.folder)
        assert (plan.placement.executor, plan.digest) == (executor, read_plan(red.folder).digest)
    assert project.counts("end") == {"good": 3}
    project.wait_until_nothing_is_left()
