"""How well a terminal knows the time that is left: saved runs are replayed, `nox -s bench -- time_left RUN...`.

At 25, 50 and 75 % of the time between the first test's start and the last one's end, what was shown is compared with what
was left; beside it stands what the estimates alone would show.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from ci.record.event_log import read_events  # noqa: E402
from ci.record.events import Event, TestEnded, TestStarted  # noqa: E402
from ci.report.live.progress import LiveRun  # noqa: E402

SHARES = (0.25, 0.5, 0.75)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def shown_at(events: list[Event], moment_s: float) -> tuple[float, float, bool]:
    """Seconds left by the pace and by the estimates alone, and whether the pace was known."""
    clock = _Clock()
    live = LiveRun(clock)
    for event in events:
        if event.at_s is not None and event.at_s > moment_s:
            break
        clock.now_s = event.at_s or clock.now_s
        live.take(event)
    clock.now_s = moment_s
    waiting_s = sum(est_s for key, est_s in live.state.waiting_s().items() if key not in live.running)
    running_s = sum(max(0.0, item.est_s - live.running_s(item)) for item in live.running.values())
    return live.left_s(), (waiting_s + running_s) / max(1, len(live.running)), live.is_paced


def main(runs: list[str]) -> int:
    """Show a line for each run and moment."""
    if not runs:
        sys.stderr.write("usage: nox -s bench -- time_left RUN...\n")
        return 2
    for run in runs:
        events = read_events(Path(run) / "events.jsonl")
        began_s = min(event.at_s or 0.0 for event in events if isinstance(event, TestStarted))
        ended_s = max(event.at_s or 0.0 for event in events if isinstance(event, TestEnded))
        whole_s = ended_s - began_s
        for share in SHARES:
            moment_s = began_s + share * whole_s
            paced_s, plain_s, known = shown_at(events, moment_s)
            left_s = ended_s - moment_s
            sys.stdout.write(
                f"{Path(run).name} at {share:.0%} of {whole_s:.0f} s: {left_s:.0f} s left, "
                f"shown {'' if known else '~'}{paced_s:.0f} s (off by {abs(paced_s - left_s) / whole_s:.0%} of the run), "
                f"by estimates alone {plain_s:.0f} s (off by {abs(plain_s - left_s) / whole_s:.0%})\n"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
