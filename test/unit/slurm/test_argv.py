"""What `sbatch` and `srun` are asked, from the rows of the fixture catalog."""

from dataclasses import replace

from ci.catalog.clusters import RuntimeField
from ci.plan.slurm_place import SlurmPlace, time_limit_min
from ci.slurm.argv import runtime_words, sbatch_argv, srun_argv
from support.planning import catalog
from support.slurm_places import PLACE

GPUS = replace(
    PLACE,
    partition="gpu,long",
    account="amd",
    qos="high",
    constraint="mi300x&ib",
    gres="gpu:mi300x",
    gpus_per_node=4,
    cpus_per_node=0,
    requeue=True,
)


def submit(place: SlurmPlace, log: str = "/runs/a/slurm/batch.log") -> list[str]:
    return sbatch_argv(place, ["python", "a b", "--x"], name="run-1", token="t0", log=log)  # no secret


def test_what_a_row_leaves_out_is_not_asked_for() -> None:
    argv = submit(PLACE)
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--time=90"} <= set(argv)
    assert {"--no-requeue", "--no-kill", "--job-name=run-1", "--comment=amdci:t0"} <= set(argv)
    left_out = ("--partition", "--account", "--qos", "--constraint", "--gres", "--exclusive", "--requeue")
    assert not [word for word in argv if word.startswith(left_out)]
    assert argv[-4:] == ["/dev/stdin", "python", "a b", "--x"]


def test_what_a_row_names_is_asked_for() -> None:
    argv = set(submit(GPUS))
    assert {"--partition=gpu,long", "--account=amd", "--qos=high", "--constraint=mi300x&ib"} <= argv
    assert {"--gres=gpu:mi300x:4", "--exclusive", "--mem=0", "--requeue"} <= argv
    assert "--no-requeue" not in argv


def test_slurm_replaces_nothing_in_the_path_of_the_log() -> None:
    assert "--output=/runs/100%%j/b\\\\c" in submit(PLACE, "/runs/100%j/b\\c")


def test_a_worker_gets_one_node_with_all_that_the_job_has_of_it() -> None:
    argv = srun_argv(GPUS, ["python", "-m", "x"], node="n2")
    assert {"--nodes=1", "--ntasks=1", "--nodelist=n2", "--overlap", "--whole", "--gres=gpu:mi300x:4"} <= set(
        argv
    )
    assert argv[-3:] == ["python", "-m", "x"]
    assert "--cpus-per-task=2" in srun_argv(PLACE, ["x"], node="n1")


def test_the_fields_of_a_runtime_are_filled_in_and_no_others() -> None:
    argv = ("run", "--bind={root}:{root}", "docker://{image}", "{other}", "{run}", "{tree}")
    fields = {
        RuntimeField.IMAGE: "a@sha256:b",
        RuntimeField.ROOT: "/t {run}",
        RuntimeField.RUN: "/r",
        RuntimeField.TREE: "/sgl",
    }
    # what a value holds is not filled in
    assert runtime_words(argv, fields) == [
        *("run", "--bind=/t {run}:/t {run}", "docker://a@sha256:b", "{other}", "/r", "/sgl")
    ]


def test_the_time_limit_is_that_of_the_suites_with_start_and_end_in_whole_minutes() -> None:
    limits = replace(catalog().limits.slurm, start_s=600, stop_before_s=60)
    assert time_limit_min(limits, 3600) == 71
    assert time_limit_min(limits, 3601) == 72
