"""The same failure has the same symptom in another run; another failure has another."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.judge import Facts, FailedCase
from ci.agent.judge.judge import judge_log
from ci.agent.judge.symptom import normal_text, symptom_of
from ci.agent.judge.tracebacks import Frame, ProcessEnd, RaisedError

SGLANG = "/usr/lib/python3.10/site-packages/sglang/srt/managers/scheduler.py"


def error(raises: str, message: str = "", *places: tuple[str, str]) -> RaisedError:
    frames = tuple(Frame(file=file, line=7, function=function) for file, function in places)
    return RaisedError(raises=raises, message=message, frames=frames)


# One message as two runs print it, and what both are.
SAME = [
    ("score 0.31 is below 0.62", "score .305 is below 0.62", "score # is below #"),
    ("Tried to allocate 20.00 MiB. GPU 0", "Tried to allocate 1.25 GiB. GPU 3", "Tried to allocate #. GPU #"),
    ("no file /tmp/tmpab12/a.json", "no file /var/x/tmpzz9/a.json", "no file .../a.json"),
    ("cannot open /tmp/pytest-of-ci/x1", "cannot open /home/runner/_work", "cannot open PATH"),
    ("at 0x7f12ab cannot", "at 0x00ff cannot", "at # cannot"),
    ("[2026-05-29 07:12:03 TP0] no", "[2026-06-30 08:00:00 TP3] no", "no"),
    ("rank 3 timed out", "rank 0 timed out", "rank # timed out"),
    ("ranks [0, 3, 1] timed out", "ranks [2] timed out", "ranks [#] timed out"),
    ("TP0, TP1 did not answer", "TP3, TP0, TP2 did not answer", "TP# did not answer"),
    ("http://127.0.0.1:30000/health: 503", "http://127.0.0.1:21345/health: 502", "http://HOST #"),
    ("https://huggingface.co/a/b?x=1 refused", "https://huggingface.co/c refused", "https://huggingface.co refused"),
    ("10.0.0.1:1234 refused", "192.168.1.7:999 refused", "# refused"),
    ("request 8c1f0a9e-1111-4222-8333-abcdefabcdef", "request 00000000-1111-4222-8333-abcdefabcdee", "request #"),
    ("commit 055d74d1ab", "commit 3526464fed", "commit #"),
    ("took 12.5 s at 07:12:03.123", "took 3 ms at 17:00:00", "took # at #"),
    ("assert 'the cat sat' == 'the dog'", "assert 'a b' == 'c d e'", "assert '...' == '...'"),
    ("pid=123 exited", "pid=45 exited", "pid=# exited"),
    ("\x1b[31mred 1\x1b[0m", "red 2", "red #"),
    ("1,234,567 tokens", "12 tokens", "# tokens"),
    ("loss 1e-05", "loss -2.5E+3", "loss #"),
    ("layers.17.mlp is nan", "layers.3.mlp is nan", "layers.#.mlp is nan"),
]  # fmt: skip
# Messages of different failures.
DIFFERENT = [
    ("No module named 'aiter'", "No module named 'sgl_kernel'"),
    ("unsupported dtype float16", "unsupported dtype float8_e4m3fn"),
    ("built for gfx942", "built for gfx950"),
    ("model Qwen3-8B", "model Llama-3.1-8B"),
    ("score is nan", "score is inf"),
    ("no file /tmp/a/config.json", "no file /tmp/a/model.safetensors"),
    ("https://huggingface.co/x refused", "https://index.example.org/x refused"),
    ("unknown argument --tp-size", "unknown argument --dp-size"),
]


@pytest.mark.parametrize(("one", "other", "normal"), SAME, ids=[row[2] for row in SAME])
def test_what_changes_from_run_to_run_is_left_out(one: str, other: str, normal: str) -> None:
    assert (normal_text(one), normal_text(other)) == (normal, normal)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=[row[0] for row in DIFFERENT])
def test_another_failure_has_another_symptom(one: str, other: str) -> None:
    assert normal_text(one) != normal_text(other)


def test_the_place_is_the_innermost_of_the_test_or_the_product() -> None:
    library = ("/usr/lib/python3.10/site-packages/torch/nn/module.py", "_call_impl")
    standard = ("/usr/lib/python3.10/threading.py", "run")
    test = ("/home/x/test/registered/a/test_x.py", "test_x")
    harness = ("/home/x/test/harness/client.py", "_exchange")
    product = (SGLANG, "event_loop")
    assert symptom_of(error("a.b.Boom", "x", test, product, library)) == "Boom: x @ scheduler.py:event_loop"
    assert symptom_of(error("Boom", "", test, harness, standard)) == "Boom @ test_x.py:test_x"
    assert symptom_of(error("Boom", "x", library, standard)) == "Boom: x"
    moved = [
        Frame(file="/other/" + frame.file, line=99, function=frame.function)
        for frame in error("", "", test).frames
    ]
    assert (
        symptom_of(RaisedError(raises="Boom", message="", frames=tuple(moved))) == "Boom @ test_x.py:test_x"
    )


def test_without_an_error_a_line_about_the_end_is_the_symptom() -> None:
    assert symptom_of(None, "the test process was ended by SIGSEGV; running: a.py::test_x") == (
        "the test process was ended by SIGSEGV; running: a.py::test_x"
    )
    assert symptom_of(None) == ""


def test_a_long_symptom_is_told_apart_by_its_end() -> None:
    one, other = (symptom_of(error("E", "word " * 40 + end, ("a.py", "f"))) for end in ("x", "y"))
    assert one != other
    assert max(len(one), len(other)) <= 160
    assert one.endswith(" @ a.py:f")


NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(str), st.floats(allow_nan=False, allow_infinity=False).map(str)
)
PATHS = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
IDS = st.uuids().map(str)
HEX = st.integers(0, 2**64).map(hex)
RANKS = st.permutations(range(8)).map(lambda ranks: ", ".join(f"TP{rank}" for rank in ranks))


@given(st.tuples(NUMBERS, PATHS, IDS, HEX, RANKS), st.tuples(NUMBERS, PATHS, IDS, HEX, RANKS))
def test_other_numbers_paths_ids_and_ranks_are_the_same_symptom(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    texts = [
        "{4}: peer {3} of {2} wrote {0} to {1} before the end".format(*values) for values in (one, other)
    ]
    assert normal_text(texts[0]) == normal_text(texts[1])


@given(st.text(max_size=300))
def test_any_text_has_a_symptom_of_one_line_that_is_its_own_symptom(text: str) -> None:
    found = normal_text(text)
    assert len(found.splitlines()) <= 1
    assert len(symptom_of(None, text)) <= 160


CAUSES = ("product", "device", "bounds", "hardware", "oom", "infra")


def log_of_ranks(ranks: Sequence[int], number: int, root: str) -> str:
    """A server whose ranks all end by one failure, in this order."""
    return "".join(
        f"[2026-05-29 07:{number % 60:02}:0{rank} TP{rank}] Scheduler hit an exception: Traceback (most recent call last):\n"
        f'  File "{root}/site-packages/sglang/srt/managers/scheduler.py", line {number}, in run_scheduler\n'
        "    scheduler.event_loop()\n"
        f'  File "{root}/site-packages/torch/nn/module.py", line {number + 1}, in _call_impl\n'
        "    return forward(*args)\n"
        f"RuntimeError: rank {rank}: shape ({number}, {number + 7}) does not fit at {hex(number)}\n\n"
        for rank in ranks
    )


@given(
    ranks=st.permutations(range(4)),
    number=st.integers(10, 10**6),
    root=PATHS,
)
def test_order_of_ranks_lines_of_code_and_folders_are_the_same_symptom(
    ranks: list[int], number: int, root: str
) -> None:
    facts = Facts(log="Server is starting\n" + log_of_ranks(ranks, number, root))
    symptom = judge_log(facts, (), CAUSES).symptom
    assert symptom == "RuntimeError: shape (#) does not fit at # @ scheduler.py:run_scheduler"


def test_a_server_that_ended_gives_the_symptom_of_what_ended_it() -> None:
    client = error("RuntimeError", "Server process exited with code -9", ("/w/test/test_x.py", "test_x"))
    server = ProcessEnd(who="scheduler", errors=(error("KeyError", "'w_scale'", (SGLANG, "load")),))
    case = FailedCase(
        case="test_x", message="RuntimeError: Server process exited", chains=((client,),), ended=server
    )
    symptom = judge_log(Facts(log="", failed=(case,)), (), CAUSES).symptom
    assert symptom == "KeyError: 'w_scale' @ scheduler.py:load"


@pytest.mark.parametrize(
    ("facts", "symptom"),
    [
        (Facts(log="12 of 40", signal="SIGTERM"), "ended by SIGTERM"),
        (Facts(log="12 of 40\n"), "no reason in the log"),
        (Facts(log=""), "the log is empty"),
    ],
)
def test_without_a_reason_the_newest_line_is_no_symptom(facts: Facts, symptom: str) -> None:
    assert judge_log(facts, (), CAUSES).symptom == symptom
