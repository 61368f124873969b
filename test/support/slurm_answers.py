"""What Slurm's programs answer, for tests without a Slurm."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from ci.system.process import Completed

__all__ = ["FORGOTTEN", "NO_SLURM", "Controller", "answer", "shown"]


def answer(out: str = "", *, err: str = "", code: int | None = 0, why: str = "") -> Completed:
    """A program that ended."""
    return Completed(argv=(), code=code, stdout=out.encode(), stderr=err.encode(), why=why)


def shown(state: str, exit_code: str = "0:0") -> Completed:
    """Job 7 by `scontrol show job`."""
    return answer(f"JobId=7 JobState={state} Reason=None ExitCode={exit_code} NodeList=n1 BatchHost=n1\n")


FORGOTTEN = answer(err="slurm_load_jobs error: Invalid job id specified\n", code=1)
NO_SLURM = answer(code=None, why="No such file or directory")


class Controller:
    """Slurm's programs about job 7: what they were asked, and the state that it has. `silent` says how often a program brings no answer."""

    def __init__(self, state: str = "RUNNING", *, nodes: Sequence[str] = ("n1",)) -> None:
        self.state = state
        self.nodes = nodes
        self.node_state = "mixed none"
        self.silent: Counter[str] = Counter()
        self.asked: list[tuple[str, ...]] = []
        self.on_ask: Callable[[str], None] = lambda _program: None

    def __call__(self, argv: Sequence[str], **_: object) -> Completed:
        program = argv[0]
        self.asked.append(tuple(argv))
        self.on_ask(program)
        if self.silent[program]:
            self.silent[program] -= 1
            return replace(NO_SLURM, argv=tuple(argv))
        if program == "scancel":
            self.state = "CANCELLED"
        if program == "sinfo":
            return replace(answer(self.node_state), argv=tuple(argv))
        said = answer("\n".join(self.nodes)) if "hostnames" in argv else shown(self.state)
        return replace(said, argv=tuple(argv))

    def of(self, program: str) -> list[tuple[str, ...]]:
        """How a program was called, each time."""
        return [argv for argv in self.asked if argv[0] == program]
