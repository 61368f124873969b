"""The judge over logs and what else is known: what is evidence, and what is not."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.agent.judge import Ended, Facts, FailedCase, Judgement
from ci.agent.judge.judge import judge_log
from ci.agent.judge.tracebacks import Frame, RaisedError
from ci.catalog.verdicts import CAUSES
from ci.repro.log.judging import judge_rules
from support.catalog_files import repository_catalog
from support.verdict_corpus import CORPUS, load_corpus

pytestmark = pytest.mark.live_rows

RULES = judge_rules(repository_catalog().verdict_rules)
LABELLED = load_corpus(CORPUS)

# What a program prints that has nothing to do with why it failed.
UNRELATED = (
    "[2026-05-29 07:12:03 TP0] Decode batch, #running-req: 12, headroom: 3.1 GB",
    'INFO:     127.0.0.1:41022 - "POST /generate HTTP/1.1" 200 OK',
    "score: 0.913, accuracy 0.87, latency 3.1 s",
    "Loading safetensors checkpoint shards: 100%",
    "room for 12 requests, OOM score adjusted, the bloom filter of the zoom level",
    "{'a': 1, 'b': [2, 3]}",
    "  a report that is indented",
    "",
)
ABORT = "Memory access fault by GPU node-2 (Agent handle: 0x1) on address 0x7f. Reason: Unknown.\nAborted (core dumped)\n"
ECC = "[ 12.3] amdgpu 0000:05:00.0: amdgpu: 1 uncorrectable hardware errors detected in umc block\n"
HUB = "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x"


def judge(log: str = "", **keys: object) -> Judgement:
    return judge_log(Facts(log=log, **keys), RULES, tuple(CAUSES))  # type: ignore[arg-type]  # values by name


def error(raises: str, message: str = "", *, caused: bool = False, function: str = "test") -> RaisedError:
    frame = Frame(file="/tree/test_a.py", line=3, function=function)
    return RaisedError(raises=raises, message=message, frames=(frame,), caused=caused)


def case(*chain: RaisedError) -> FailedCase:
    return FailedCase(case="test_a.py::test_a", message=chain[0].words, chains=(chain,))


noise = st.lists(st.sampled_from(UNRELATED), max_size=30).map("\n".join)


@given(st.sampled_from(LABELLED), noise, noise)
@settings(max_examples=150, deadline=None)
def test_unrelated_text_around_the_evidence_changes_nothing(
    labelled: object, before: str, after: str
) -> None:
    facts: Facts = labelled.facts  # type: ignore[attr-defined]  # sampled from a list of them
    alone = judge_log(facts, RULES, tuple(CAUSES))
    among = judge_log(replace(facts, log=f"{before}\n{facts.log}\n{after}\n"), RULES, tuple(CAUSES))
    assert (among.verdict, among.rule) == (alone.verdict, alone.rule)


class TestErrorsThatWereRaisedOverOthers:
    """An error that was handled counts only where the next one is about it."""

    def test_an_error_of_the_code_after_a_failed_download_is_the_codes(self) -> None:
        refused = error("requests.exceptions.ConnectionError", HUB)
        assert judge(failed=(case(refused),)).verdict == "infra"
        assert judge(failed=(case(error("KeyError", "'scale'"), refused),)).verdict == "product"
        assert (
            judge(failed=(case(error("RuntimeError", "shapes do not match"), refused),)).verdict == "product"
        )

    def test_what_was_raised_from_it_is_about_it(self) -> None:
        refused = error("requests.exceptions.ConnectionError", HUB)
        wrapped = error("RuntimeError", "cannot prepare the data", caused=True)
        assert judge(failed=(case(wrapped, refused),)).verdict == "infra"

    def test_a_retry_stands_for_what_it_tried(self) -> None:
        retry = error("Exception", "retry() exceed maximum number of retries.")
        found = judge(failed=(case(retry, error("AssertionError", "3 != 4")),))
        assert (found.verdict, found.rule) == ("product", None)
        assert "AssertionError: 3 != 4" in found.evidence[0]

    def test_the_worst_of_several_failures_of_one_case_counts(self) -> None:
        several = FailedCase(
            case="a",
            chains=((error("requests.exceptions.ConnectionError", HUB),), (error("TypeError", "x"),)),
        )
        assert judge(failed=(several,)).verdict == "product"


class TestADeviceAbort:
    """It proves that the GPU stopped, and nothing else."""

    def test_alone_it_is_undecided(self) -> None:
        assert judge(ABORT).verdict == "device"

    def test_an_error_of_the_gpus_memory_makes_it_the_hardwares(self) -> None:
        assert judge(ABORT, kernel_log=ECC).verdict == "hardware"
        assert judge(ABORT + ECC).verdict == "hardware"

    def test_a_named_kernel_makes_it_the_products_and_a_reset_does_not_change_that(self) -> None:
        named = ABORT + "Kernel Name: _fwd_grouped_kernel_stage1\n"
        reset = "[ 13.1] amdgpu 0000:05:00.0: amdgpu: GPU reset begin!\n"
        assert judge(named).verdict == "product"
        assert judge(named, kernel_log=reset).verdict == "product"
        assert judge(ABORT, kernel_log=reset).verdict == "hardware"

    def test_another_gpu_makes_it_the_products(self) -> None:
        before = (Ended(test="test_a.py", verdict="device", gpu_ids=("0",)),)
        assert judge(ABORT, test="test_a.py", earlier=before, gpu_ids=("1",)).verdict == "product"
        assert judge(ABORT, test="test_a.py", earlier=before, gpu_ids=("0",)).verdict == "device"

    def test_an_assertion_of_a_case_beside_it_is_the_products(self) -> None:
        assert judge(ABORT, failed=(case(error("AssertionError", "1 != 2")),)).verdict == "product"

    def test_words_of_a_prompt_are_no_abort(self) -> None:
        log = f"prompt: 'Explain: {ABORT.splitlines()[0]}'\nValueError: the answer is not JSON\n"
        assert judge(log).verdict == "product"


class TestMemory:
    """Whose it is, by figures."""

    TEXT = "torch.OutOfMemoryError: HIP out of memory. Tried to allocate {tried} GiB. GPU 0 has a total capacity of 192.00 GiB of which {free} GiB is free. Of the allocated memory {own} GiB is allocated by PyTorch, and 0.50 GiB is reserved by PyTorch but unallocated."

    @pytest.mark.parametrize(
        ("tried", "free", "own", "verdict"),
        [(8, 1, 188, "product"), (8, 1, 2, "oom"), (300, 1, 2, "product"), (8, 1, 150, "product")],
    )
    def test_torchs_figures_decide(self, tried: int, free: int, own: int, verdict: str) -> None:
        assert judge(self.TEXT.format(tried=tried, free=free, own=own)).verdict == verdict

    def test_without_figures_it_is_that_of_known_holders_or_its_own(self) -> None:
        plain = "RuntimeError: HIP error: out of memory"
        assert judge(plain).verdict == "product"
        assert judge(plain, holders=("process 7 of another container",)).verdict == "oom"


class TestHosts:
    """The test's own server is not another host."""

    @pytest.mark.parametrize(
        ("host", "verdict"),
        [
            ("huggingface.co", "infra"),
            ("example.org", "infra"),
            ("127.0.0.1", "product"),
            ("localhost", "product"),
        ],
    )
    def test_the_same_message_is_another_verdict(self, host: str, verdict: str) -> None:
        raised = error("requests.exceptions.ConnectionError", HUB.replace("huggingface.co", host))
        assert judge(failed=(case(raised),)).verdict == verdict

    def test_no_host_is_a_host_elsewhere_only_where_something_is_fetched(self) -> None:
        raised = error("httpx.ConnectTimeout", "timed out")
        assert judge(failed=(case(raised),)).verdict == "product"
        fetched = error("httpx.ConnectTimeout", "timed out", function="snapshot_download")
        assert judge(failed=(case(fetched),)).verdict == "infra"

    def test_an_answer_of_a_service_is_the_servers_own_where_there_is_one(self) -> None:
        answer = error("urllib.error.HTTPError", "HTTP Error 503: Service Unavailable")
        assert judge(failed=(case(answer),)).verdict == "infra"
        assert judge(failed=(case(answer),), serves=True).verdict == "product"


@pytest.mark.parametrize("before", ["", ".", "test_a.py ..", "test_a.py::test_a "])
def test_a_crash_shows_the_tests_own_innermost_line(before: str) -> None:
    log = f"""{before}Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3.10/ctypes/__init__.py", line 9 in call
  File "/tree/test_a.py", line 3 in test_b
  File "/run/agent.pyz/amd_ci_agent/bodies.py", line 65 in call
  File "/venv/site-packages/_pytest/python.py", line 187 in pytest_pyfunc_call
"""
    found = judge(log, signal="SIGSEGV")
    assert found.verdict == "product"
    assert found.evidence[0].endswith("Fatal Python error: Segmentation fault (/tree/test_a.py:3, test_b)")


def test_members_of_an_exception_group_are_judged() -> None:
    group = """  + Exception Group Traceback (most recent call last):
  |   File "/tree/a.py", line 9, in <module>
  |     asyncio.run(main())
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/tree/b.py", line 1, in fetch
    |     raise
    | {error}
    +------------------------------------
"""
    unreachable = (
        "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host example.org:443 ssl:default"
    )
    assert judge(group.format(error=unreachable)).verdict == "infra"
    assert judge(group.format(error="KeyError: 'x'")).verdict == "product"


def test_a_long_log_of_many_kinds_of_lines_is_read_in_time() -> None:
    """One search from every place of a line, or one pass over all that was found for each line, would take minutes."""
    floods = (
        "RuntimeError: x y z failed\n" * 20000,
        "=== FAILURES ===\n" + "".join(f"___ t{i} ___\nE   KeyError: 'a{i}'\n" for i in range(2000)),
        "".join(f"FAILED a.py::t{i} - KeyError: 'a'\n" for i in range(5000)),
        "".join(f"[rank{i}]: Traceback (most recent call last):\n" for i in range(5000)),
        "(" * 2_000_000 + "\n" + "[2026-" * 500_000 + "\n" + "x Traceback " * 200_000,
    )
    began = time.process_time()
    for flood in floods:
        judge(flood)
    assert time.process_time() - began < 20
