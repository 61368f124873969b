"""The agent itself: the first mode of its program, which runs the tests."""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

from .attempt import RunContext
from .events import Emitter, complain
from .processes import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, Children, prctl, signal_name
from .queue import Queue
from .refusal import refusal
from .spec import SpecError, parse_spec
from .stop import Stop

READ_BYTES = 65536
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _watch_standard_input(stop: Stop) -> None:
    try:
        while os.read(0, READ_BYTES):
            continue
    except OSError as error:
        complain(f"cannot read standard input: {error}")
    stop.request("interrupted")


def be_the_agent(spec_path: Path, *, tries: bool) -> int:
    """Run the tests of a spec; its exit code. `tries`: only print the refusal of the arguments for pytest as JSON, null where they can be honoured."""
    try:
        spec = parse_spec(spec_path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SpecError) as error:
        for problem in getattr(error, "problems", (str(error),)):
            complain(f"invalid spec {spec_path}: {problem}")
        return 2
    program = Path(sys.argv[0]).resolve()
    # Whatever prints by mistake prints on standard error: standard output is for events alone.
    output = os.dup(1)
    os.dup2(2, 1)
    stop = Stop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.request(f"interrupted by {signal_name(number)}")

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if tries:
        # nothing of it lasts longer than who asks
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_standard_input, args=(stop,), daemon=True).start()
    emitter, children = Emitter(output, stop), Children()
    try:
        context = RunContext(
            program=program,
            spec=spec,
            spec_path=spec_path,
            emitter=emitter,
            children=children,
            stop=stop,
            log_names=set(),
            ended=[],
        )
        if tries:
            os.write(output, json.dumps(refusal(context)).encode())
        else:
            Queue(context).run()
    except BaseException:  # noqa: BLE001 - shown, and `agent-ended` is missing for the reader
        complain(traceback.format_exc())
        return 1
    return 1 if emitter.broken else 0
