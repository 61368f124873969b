"""The main process of a container: it runs until the run that made it has ended, but not for ever.

    PYTHON container_init.py SECONDS held|kept

`held`: the end of standard input ends it; the engine holds the other end open for the run that made the container, also
when that run is killed. `kept`: only the time ends it. Standard library of Python 3.10 and later; exit code 124 when the
time is over.
"""

import os
import select
import sys
import time

READ_BYTES = 65536
TIME_IS_OVER = 124


def keep(seconds: float, *, held: bool) -> int:
    """Wait; 0 when standard input has ended."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([0] if held else [], [], [], left)
        if ready and not os.read(0, READ_BYTES):
            return 0
    return TIME_IS_OVER


if __name__ == "__main__":
    sys.exit(keep(float(sys.argv[1]), held=sys.argv[2] == "held"))
