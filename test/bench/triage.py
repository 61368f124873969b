"""The triage of a long log: a job of 60 MB with two failed tests, made up here, read and judged from beginning to end.

Measured in seconds of the CPU, for a machine that does other work as well; exit 1 above the limit.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from ci.catalog.catalog import load_catalog  # noqa: E402
from ci.repro.triage.gather import TriageOptions, triage_sources  # noqa: E402
from support.sglang_log import job_log  # noqa: E402  # the path is set above

_BYTES = 60_000_000
_LIMIT_S = 6.0
_TIME = "2026-08-20T09:09:00.0000000Z "
# what servers and tests print; the first kinds are most of a real log
_LINES = (
    "[2026-08-20 09:09:00 TP0] Decode batch, #running-req: 12, #token: 34567, token usage: 0.12, gen throughput (token/s): 1234.56",
    '[2026-08-20 09:09:00] INFO:     127.0.0.1:54321 - "POST /generate HTTP/1.1" 200 OK',
    "[2026-08-20 09:09:00 TP1] Prefill batch, #new-seq: 1, #new-token: 512, token usage: 0.00, #running-req: 0, #queue-req: 0",
    "[aiter] import [module_rmsnorm] under /sgl-workspace/aiter/aiter/jit/module_rmsnorm.so",
    "Capturing batches (bs=8 avail_mem=101.12 GB):  45%|####      | 12/26 [00:12<00:14,  1.02s/it]",
    "test_something (__main__.TestX.test_something) ... ok",
)


def long_log(size: int) -> str:
    """A job's log with as many bytes, between the lines of a short one."""
    chosen = random.Random(1)
    short = job_log("whole-job").splitlines()
    begins = sum("python3 /sglang-checkout" in line for line in short)
    lines: list[str] = []
    for line in short:
        lines.append(line)
        if "python3 /sglang-checkout" in line:
            left = size // begins
            while left > 0:
                lines.append(_TIME + chosen.choice(_LINES))
                left -= len(lines[-1]) + 1
    return "\n".join(lines) + "\n"


def main() -> int:
    """Make the log, read it, and say how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "job.log"
        log.write_text(long_log(_BYTES))
        size_mb = log.stat().st_size / 1e6
        began, began_cpu = time.perf_counter(), time.process_time()
        (job,) = triage_sources(TriageOptions(sources=(str(log),)), load_catalog(), {})
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    words = ", ".join(f"{test.file} {test.status} {test.verdict}" for test in job.tests)
    sys.stdout.write(f"{size_mb:.0f} MB in {cpu_s:.1f} s of the CPU, {wall_s:.1f} s: {words}\n")
    return 0 if cpu_s <= _LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
