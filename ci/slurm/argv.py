"""What is asked of `sbatch` and `srun`, as argument lists."""

import re
from collections.abc import Iterator, Mapping, Sequence

from ci.catalog.clusters import RuntimeField
from ci.plan.slurm_place import SlurmPlace

__all__ = ["COMMENT_PREFIX", "SCRIPT", "runtime_words", "sbatch_argv", "srun_argv"]

# the batch script, for every job the same: its arguments are the command
SCRIPT = b'#!/bin/sh\nexec "$@"\n'
# before the run's token in the comment of its job
COMMENT_PREFIX = "amdci:"


def sbatch_argv(place: SlurmPlace, words: Sequence[str], *, name: str, token: str, log: str) -> list[str]:
    """Submit the command `words`, with SCRIPT as standard input.

    Args:
        place: the allocation.
        words: the command, which runs on the first node.
        name: the job's name.
        token: the run's token, which is no secret.
        log: the file that gets what the command prints.
    """
    return [
        "sbatch",
        "--parsable",
        f"--job-name={name}",
        f"--comment={COMMENT_PREFIX}{token}",
        f"--output={_plain(log)}",
        "--open-mode=append",
        f"--nodes={place.nodes}",
        f"--ntasks={place.nodes}",
        "--ntasks-per-node=1",
        *_cpus(place, whole=("--exclusive", "--mem=0")),
        *_gres(place),
        f"--time={place.time_limit_min}",
        f"--signal=B:TERM@{place.limits.stop_before_s:.0f}",
        # when a node is lost the job is started again, or the other nodes go on
        *(("--requeue",) if place.requeue else ("--no-requeue", "--no-kill")),
        *_named(place),
        "/dev/stdin",
        *words,
    ]


def srun_argv(place: SlurmPlace, words: Sequence[str], *, node: str) -> list[str]:
    """Run the command `words` on one node of the allocation; its standard input is that of `srun`."""
    return [
        "srun",
        "--nodes=1",
        "--ntasks=1",
        f"--nodelist={node}",
        # a step takes nothing away from the steps of other nodes, nor from the batch script
        "--overlap",
        *_cpus(place, whole=("--whole",)),
        *_gres(place),
        "--kill-on-bad-exit=0",
        "--unbuffered",
        *words,
    ]


def runtime_words(argv: Sequence[str], fields: Mapping[RuntimeField, str]) -> list[str]:
    """The words of a runtime's row with its fields filled in; nothing else in them is touched."""
    pattern = re.compile("|".join(map(re.escape, RuntimeField)))
    return [pattern.sub(lambda found: fields[RuntimeField(found[0])], word) for word in argv]


def _named(place: SlurmPlace) -> Iterator[str]:
    """What only some clusters ask for."""
    asked = {
        "partition": place.partition,
        "account": place.account,
        "qos": place.qos,
        "constraint": place.constraint,
    }
    return (f"--{name}={value}" for name, value in asked.items() if value)


def _cpus(place: SlurmPlace, *, whole: tuple[str, ...]) -> tuple[str, ...]:
    return (f"--cpus-per-task={place.cpus_per_node}",) if place.cpus_per_node else whole


def _gres(place: SlurmPlace) -> tuple[str, ...]:
    return (f"--gres={place.gres}:{place.gpus_per_node}",) if place.gres else ()


def _plain(path: str) -> str:
    """A path in which Slurm replaces nothing."""
    return path.replace("\\", "\\\\").replace("%", "%%")
