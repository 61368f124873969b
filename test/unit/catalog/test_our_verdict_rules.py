"""The rows of verdicts.toml against lines of real logs: what proves a cause, and what must prove nothing."""

import pytest
from bench.verdicts import figures, judge_all
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.judge import ABOUT, CONDITIONS, Facts, FailedCase, Judgement
from ci.agent.judge.judge import judge_log
from ci.catalog.verdict_rules import About, OnlyIf
from ci.catalog.verdicts import CAUSES
from ci.repro.log.judging import judge_rules
from support.catalog_files import repository_catalog
from support.verdict_corpus import CORPUS, load_corpus

pytestmark = pytest.mark.live_rows


# What they prove, and the lines, each a log of its own.
PROOFS = {
    "device": (
        "HW Exception by GPU node-4 (Agent handle: 0x1ebc04e0) reason :GPU Hang",
        "Memory access fault by GPU node-2 (Agent handle: 0x1) on address 0x7f. Reason: Unknown.",
        ":0:rocdevice.cpp :3586: Callback: Queue 0x7f aborting with error : HSA_STATUS_ERROR_EXCEPTION: ...",
    ),
    "hardware": (
        "RuntimeError: HIP error: hipErrorNoDevice",
        "torch.AcceleratorError: HIP error: uncorrectable ECC error encountered",
    ),
    "oom": ("ValueError: The memory capacity is unbalanced. Some GPUs may be occupied by other processes.",),
    "infra": (
        "cp: error writing 'x': No space left on device",
        'Fatal Python error: Bus error\n\nCurrent thread 0x1 (most recent call first):\n  File "/x/sglang/srt/managers/load_snapshot.py", line 340 in __init__',
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://x",
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't",
        "OSError: We couldn't connect to 'offline://models.toml' to load the files, and couldn't",
        "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "RuntimeError: The server socket has failed to listen. code: -98, name: EADDRINUSE, message: address already in use",
        "Error response from daemon: Get https://x/v2/: dial tcp 127.0.0.1:5055: connect: connection refused",
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


def judge(log: str, *failed: FailedCase) -> Judgement:
    return judge_log(
        Facts(log=log, failed=failed), judge_rules(repository_catalog().verdict_rules), tuple(CAUSES)
    )


@pytest.mark.parametrize(
    ("verdict", "line"), [(verdict, line) for verdict, lines in PROOFS.items() for line in lines]
)
def test_a_line_that_proves_a_cause_is_found_and_shown(verdict: str, line: str) -> None:
    judgement = judge(f"before\n\x1b[31m{line}\x1b[0m\nafter\n")
    assert (judgement.verdict, judgement.rule is None) == (verdict, False)
    assert line.partition("\n")[0] in judgement.evidence[0]


@pytest.mark.parametrize("line", [*TRAPS, *(line for lines in PROOFS.values() for line in lines)])
def test_what_a_log_holds_does_not_excuse_a_case_that_failed_by_itself(line: str) -> None:
    judgement = judge(f"start\n{line}\nend\n", FailedCase(case="a", message="ValueError: 1 != 2"))
    assert (judgement.verdict, judgement.rule) == ("product", None)


@given(st.lists(st.sampled_from(TRAPS), max_size=6), st.text(alphabet="abcxyzOM \n", max_size=60))
def test_no_mixture_of_harmless_lines_is_an_excuse(lines: list[str], more: str) -> None:
    assert judge("\n".join([*lines, more])).verdict in {"product", "unknown"}


def test_a_missing_stand_in_names_the_row_to_add() -> None:
    error = "OSError: We couldn't connect to 'offline://models.toml' to load the files (wanted: org/missing)"
    judgement = judge("", FailedCase(case="a", message=error))
    assert (judgement.verdict, judgement.rule) == ("infra", "model-without-stand-in")
    assert "ci/catalog/models.toml" in judgement.evidence[1]


def test_a_server_without_a_stand_in_names_the_models_of_its_command() -> None:
    log = (
        "command=sglang serve --model-path org/known --speculative-draft-model-path org/draft --port 1\n"
        "OSError: We couldn't connect to 'offline://models.toml' to load the files\n"
    )
    assert "org/known, org/draft;" in judge(log).evidence[1]


def test_the_labelled_logs_are_judged_within_the_two_figures() -> None:
    found = figures(judge_all(load_corpus(CORPUS), judge_rules(repository_catalog().verdict_rules)))
    assert found.met, str(found)


def test_the_catalog_and_the_judge_know_the_same_kinds_of_evidence_and_conditions() -> None:
    assert tuple(About) == ABOUT
    assert [*OnlyIf] == [*CONDITIONS]
