"""The rows of verdicts.toml against lines of real logs: what proves a cause, and what must prove nothing."""

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.judge import FailedCase, Judgement, Rule
from ci.agent.spec import Verdict
from ci.agent.verdict import AttemptFacts, classify
from ci.catalog import verdicts
from support.catalog_files import repository_catalog

pytestmark = pytest.mark.live_rows

VERDICTS = [Verdict(id=row, cause=row.row.cause, gates=row.row.gates) for row in verdicts.Verdict]

# What they prove, and the lines; hardware that is suspected may have a verdict of its own.
PROOFS = {
    "hardware": (
        "HW Exception by GPU node-4 (Agent handle: 0x1ebc04e0) reason :GPU Hang",
        "Memory access fault by GPU node-2 (Agent handle: 0x1) on address 0x7f. Reason: Unknown.",
        ":0:rocdevice.cpp :3586: Callback: Queue 0x7f aborting with error : HSA_STATUS_ERROR_EXCEPTION: ...",
        "RuntimeError: HIP error: hipErrorNoDevice",
        "torch.AcceleratorError: HIP error: uncorrectable ECC error encountered",
    ),
    "oom": (
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 80.00 MiB.",
        "OSError: [Errno 12] Cannot allocate memory",
    ),
    "infra": (
        "cp: error writing 'x': No space left on device",
        "x: Fatal Python error: Bus error (sglang/srt/managers/load_snapshot.py:340, __init__)",
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://x",
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't",
        "OSError: We couldn't connect to 'offline://models.toml' to load the files, and couldn't",
        "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "code: -98, name: EADDRINUSE, message: address already in use",
        "Get https://x/v2/: dial tcp 127.0.0.1:5055: connect: connection refused",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
    ),
}

# Lines of healthy or simply broken tests. SGLang's own patterns take them for an OOM or for something worth a retry.
TRAPS = (
    "AssertionError: accuracy 0.41 not greater than 0.75",
    "AssertionError: score 3 not greater than 7",
    "the latency is over its threshold, throughput 12 tok/s",
    "TimeoutError: timeout while waiting for the answer",
    "ZOOM level, BLOOM filter, headroom and room for 12 requests, OOM score adjusted",
    "we ran out of memory slots for the bloom filter; MyHIP out of memoryless",
    "RuntimeError: shapes do not match",
    "the process ended first: Fatal Python error: Bus error (sglang/srt/layers/linear.py:9, forward)",
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "AttributeError: 'NoneType' object has no attribute 'shape'",
    "RuntimeError: HIP error: invalid argument",
    "HIP error: invalid device function",
    "HSA_STATUS_ERROR_INVALID_ISA: The instruction set architecture is invalid.",
    "HSA_STATUS_ERROR_OUT_OF_REGISTERS: Kernel has requested more VGPRs than are available",
    "hsa_status_error, gpu hang, memory access fault by gpu node (in small letters)",
    "NCCL INFO Bootstrap : Using eth0; NCCL error: invalid usage",
    "WARNING HTTP Error 429 thrown while requesting HEAD https://huggingface.co/gpt2; Retrying in 1s [Retry 1/5].",
    "Server process exited with code -9",
    "Segmentation fault (core dumped)",
)


@cache
def rules() -> tuple[Rule, ...]:
    return tuple(
        Rule(id=row.id, verdict=row.verdict, pattern=re.compile(row.pattern, re.MULTILINE), why=row.why)
        for row in repository_catalog().verdict_rules
    )


def judge(log: str) -> Judgement:
    case = FailedCase(case="test_a.py::test_a", message="what it said")
    facts = AttemptFacts(path="test_a.py", kind="pytest", exit_code=1, session_code=1, failed=[case])
    return classify(facts, VERDICTS, rules(), lambda: log)


@pytest.mark.parametrize(
    ("verdict", "line"), [(verdict, line) for verdict, lines in PROOFS.items() for line in lines]
)
def test_a_line_that_proves_a_cause_is_found_and_shown(verdict: str, line: str) -> None:
    judgement = judge(f"before\n\x1b[31m{line}\x1b[0m\nafter\n")
    assert judgement.rule is not None
    assert judgement.verdict in {verdict, "device"} if verdict == "hardware" else judgement.verdict == verdict
    assert judgement.evidence[0] == line


@pytest.mark.parametrize("line", TRAPS)
def test_a_line_that_proves_nothing_leaves_the_failure_with_the_product(line: str) -> None:
    judgement = judge(f"start\n{line}\nend\n")
    assert (judgement.verdict, judgement.rule) == ("product", None)


@given(st.lists(st.sampled_from(TRAPS), max_size=6), st.text(alphabet="abcxyzOM \n", max_size=60))
def test_no_mixture_of_harmless_lines_excuses_the_product(lines: list[str], more: str) -> None:
    assert judge("\n".join([*lines, more])).verdict == "product"


def test_a_server_whose_model_is_missing_names_it_and_the_row_to_add() -> None:
    launch = "CI_OFFLINE: Launching server HF_HUB_OFFLINE={} model={}\n"
    missing = "Traceback ...\nOSError: We couldn't connect to 'offline://models.toml' to load the files\n"
    other = "RuntimeError: shapes do not match\n"
    log = launch.format(1, "org/there") + other + launch.format(0, "org/there") + other
    assert judge(log).verdict == "product"
    judgement = judge(log + launch.format(1, "org/missing") + missing)
    assert judgement.verdict == "infra"
    assert 'id = "org/missing"' in judgement.evidence[1]
    assert "org/there" not in " ".join(judgement.evidence)
