"""A copy of this repository whose stage fails in many ways: for the tests of the report and for its picture."""

from pathlib import Path

from support.files import copy_repository, git, only_tests, registered

__all__ = ["CASES_OF_BOUNDS", "HOSTILE", "red_repository"]

STAGE_B = "stage-b-test-1-gpu-small-amd"

# what a page, a script or a terminal could take for something else than text
HOSTILE = "</script></pre><img src=x onerror=alert(1)>\"'`{{7*7}}${7*7}&lt;\x1b[31mred\x07\u202eend"

CASES_OF_BOUNDS = ("accuracy", "output_tokens_per_s", "ttft_s", "never_measured")

# path below test/registered: estimate in seconds and body
_TESTS: dict[str, tuple[float, str]] = {
    "moe/test_fused_moe.py": (
        40,
        """
def close(got: list[float], wanted: list[float], tolerance: float) -> None:
    worst = max(abs(one - other) for one, other in zip(got, wanted))
    assert worst <= tolerance, f"greatest absolute difference: {worst} (up to {tolerance} allowed)"


@pytest.mark.parametrize("topk", [2, 4, 8])
def test_matches_reference(topk: int) -> None:
    got = [0.5 * topk, 1.0, 0.0625 * (topk == 8)]
    close(got, [0.5 * topk, 1.0, 0.0], 0.01)


def test_shapes() -> None:
    pass
""",
    ),
    "moe/test_fused_moe_bf16.py": (
        30,
        """
from pathlib import Path


def close(got: float, wanted: float) -> None:
    raise RuntimeError(f"kernel moe_align_block_size: no config for {got} of {wanted}")


def test_align() -> None:
    close(64, 128)
""",
    ),
    "moe/test_fused_moe_fp8.py": (
        30,
        """
def close(got: float, wanted: float) -> None:
    raise RuntimeError(f"kernel moe_align_block_size: no config for {got} of {wanted}")


def test_align() -> None:
    close(16, 256)
""",
    ),
    "perf/test_serving.py": (
        25,
        """
from harness.bounds import check_all


def test_throughput() -> None:
    check_all({"accuracy": 0.8125, "output_tokens_per_s": 171.5, "ttft_s": 0.31})
    if not __file__:
        check_all({"never_measured": 1.0})
""",
    ),
    "amd/test_hangs.py": (
        15,
        """
import time


def test_before() -> None:
    pass


def wait_for_the_scheduler() -> None:
    time.sleep(3600)


def test_disaggregation() -> None:
    wait_for_the_scheduler()
""",
    ),
    "amd/test_crashes.py": (
        10,
        """
import os
import signal


def test_a() -> None:
    print("loading weights", flush=True)


def test_b() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
""",
    ),
    "amd/test_gpu_stops.py": (
        20,
        """
import os


def test_attention() -> None:
    print("Memory access fault by GPU node-2 (Agent handle: 0x5581c0) on address 0x7f2c00000000.", flush=True)
    os.abort()
""",
    ),
    "amd/test_full_disk.py": (
        12,
        """
def test_save() -> None:
    raise OSError(28, "No space left on device", "/sgl-data/hub/models--Qwen--Qwen3-8B/blobs/1f2e")
""",
    ),
    "amd/test_taken_memory.py": (
        12,
        """
class OutOfMemoryError(RuntimeError):
    pass


def test_load() -> None:
    raise OutOfMemoryError(
        "HIP out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 191.98 GiB of which 1.02 GiB is free. "
        "Of the allocated memory 11.50 GiB is allocated by PyTorch."
    )
""",
    ),
    "amd/test_flaky.py": (
        8,
        """
import os
from pathlib import Path

BEEN_HERE = Path(os.environ["HOME"]) / "been-here"


def test_download() -> None:
    if not BEEN_HERE.exists():
        BEEN_HERE.write_text("")
        print("Memory access fault by GPU node-2 (Agent handle: 0x5581c0) on address 0x7f2c00000000.", flush=True)
        os.abort()
""",
    ),
    "sampling/test_greedy.py": (
        6,
        """
def test_same_text_twice() -> None:
    assert ["Paris", "Paris."] == ["Paris", "Paris"], "2 different replies to the same request"


def test_other() -> None:
    pass
""",
    ),
    "tokenizer/test_odd_text.py": (
        5,
        """
ODD = HOSTILE_TEXT


@pytest.mark.parametrize("text", [ODD], ids=["</script><b>"])
def test_round_trip(text: str) -> None:
    print(ODD, flush=True)
    raise ValueError(ODD)
""".replace("HOSTILE_TEXT", ascii(HOSTILE)),
    ),
    "kernel/test_needs_flashinfer.py": (
        4,
        """
def test_attention() -> None:
    pytest.skip("needs flashinfer, which ROCm has not")
""",
    ),
    "lora/test_unload.py": (
        4,
        """
@pytest.mark.xfail(strict=True, reason="unload leaves the adapter's memory, sgl-project/sglang#24990")
def test_unload() -> None:
    assert False
""",
    ),
    **{
        f"passing/test_{name}.py": (
            estimate,
            "\n".join(f"\ndef test_{number}() -> None:\n    pass\n" for number in range(count)),
        )
        for name, estimate, count in (("chat", 5, 4), ("completions", 4, 9), ("embeddings", 4, 2))
    },
    "amd/test_server.py": (
        20,
        """
from harness.server import ServerSpec, launch


def test_capital() -> None:
    with launch(ServerSpec(model="meta-llama/Llama-3.1-8B-Instruct", needs=("completions",))) as server:
        text = server.client.completions("The capital of France is", max_tokens=8, temperature=0).text
    assert "Lyon" in text
""",
    ),
}

_BOUNDS = """
[[bound]]
test = "test/registered/perf/test_serving.py"
metric = "accuracy"
hardware = ["cpu"]
op = ">="
limit = 0.78
unit = "share"
why = "for the report"
source = "measured three times"

[[bound]]
test = "test/registered/perf/test_serving.py"
metric = "output_tokens_per_s"
hardware = ["cpu"]
op = ">="
limit = 190
unit = "tok/s"
why = "for the report"
source = "measured three times"

[[bound]]
test = "test/registered/perf/test_serving.py"
metric = "ttft_s"
hardware = ["cpu"]
report_only = true
unit = "s"
why = "for the report"
source = "nobody knows yet"

[[bound]]
test = "test/registered/perf/test_serving.py"
metric = "never_measured"
hardware = ["cpu"]
op = "<"
limit = 2
unit = "s"
why = "for the report"
source = "measured three times"
"""

_QUARANTINE = """
[[quarantine]]
test = "test/registered/sampling/test_greedy.py::test_same_text_twice"
hardware = ["cpu"]
reason = "kernels jitter numerically"
issue = "https://github.com/sgl-project/sglang/pull/23156"
since = 2026-04-21
expires = 2099-01-01
"""


def red_repository(folder: Path, *, timeout_per_file_s: int = 40) -> Path:
    """The copy; its hanging test is ended after `timeout_per_file_s`."""
    repository = copy_repository(folder)
    only_tests(
        repository,
        {path: registered(body.strip(), est_time=estimate) for path, (estimate, body) in _TESTS.items()},
    )
    (repository / "ci/catalog/bounds.toml").write_text(_BOUNDS)
    (repository / "ci/catalog/quarantine.toml").write_text(_QUARANTINE)
    stages = repository / "ci/catalog/stages.toml"
    limit = "timeout_per_file_s = 1200"
    stages.write_text(stages.read_text().replace(limit, f"timeout_per_file_s = {timeout_per_file_s}"))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "tests that fail")
    return repository
