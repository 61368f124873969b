"""What is shown while an engine's environment is made."""

from ci.engine.make import Progress
from ci.report.console import say
from ci.report.text import duration, one_line

__all__ = ["EngineBuildView"]

# a log needs to show that it goes on, not every package
_SAY_EVERY_S = 5.0


class EngineBuildView:
    """Lines on standard error: each step when it begins and ends, and every few seconds how far it is."""

    def __init__(self) -> None:
        """Nothing was shown."""
        self._step = ""
        self._said_s = 0.0

    def show(self, progress: Progress) -> None:
        """Take the progress of a step."""
        words = f"{progress.step}, {duration(progress.elapsed_s)}"
        if progress.known_mib:
            words += f", {progress.done_mib:.0f} of {progress.known_mib:.0f} MiB that uv has announced"
        if progress.ended:
            say(f"{words}: done")
        elif progress.step != self._step:
            say(progress.step)
        elif progress.elapsed_s - self._said_s >= _SAY_EVERY_S:
            say(f"  {words}{'; ' + one_line(progress.line) if progress.line else ''}")
        else:
            return
        self._step, self._said_s = progress.step, progress.elapsed_s
