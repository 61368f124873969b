"""What Slurm's programs answer, for tests without a Slurm."""

from ci.system.process import Completed

__all__ = ["FORGOTTEN", "NO_SLURM", "answer", "shown"]


def answer(out: str = "", *, err: str = "", code: int | None = 0, why: str = "") -> Completed:
    """A program that ended."""
    return Completed(argv=(), code=code, stdout=out.encode(), stderr=err.encode(), why=why)


def shown(state: str, exit_code: str = "0:0") -> Completed:
    """Job 7 by `scontrol show job`."""
    return answer(f"JobId=7 JobState={state} Reason=None ExitCode={exit_code} NodeList=n1\n")


FORGOTTEN = answer(err="slurm_load_jobs error: Invalid job id specified\n", code=1)
NO_SLURM = answer(code=None, why="No such file or directory")
