"""The capsule: a plan as one line, whole, cut at every place and damaged at every character."""

import string
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.executors import ExecutorKind
from ci.plan.compare.capsule import MARK, decode, encode, find
from ci.plan.model import SCHEMA, Plan, TestWork
from ci.plan.shards import Shard
from support.planning import STAGE_B_SMALL, catalog, facts, mi300x, on_cluster, planned, registration, request

LIMIT = 1 << 20
ROWS = tuple(
    registration(f"test/registered/x/test_{number}.py", STAGE_B_SMALL, est_time_s=60 + number)
    for number in range(20)
)


@cache
def small() -> Plan:
    """One shard with a variable of its own."""
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=Shard(index=3, count=14),
        env=(("SGLANG_X", "ü\ud800"),),
        command=("nox", "-s", "stage_b_amd", "--", "--shard", "3/14"),
    )
    plan = planned(catalog(), mi300x(ROWS), asked)
    # short, because the tests below read it once for each of its characters
    work = replace(plan.work, verdict_rules=plan.work.verdict_rules[:1], models={})
    return replace(plan, work=work)


texts = st.text(max_size=30)
tests = st.builds(
    TestWork,
    id=texts,
    path=texts,
    kind=st.sampled_from(["pytest", "script"]),
    cases=st.lists(texts, max_size=3).map(tuple),
    est_s=st.floats(0, 1e6),
    timeout_s=st.integers(1, 10**6),
    env=st.dictionaries(texts, texts, max_size=3),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans that differ in what a capsule could lose: text of any kind, floats, empty and missing values."""
    plan = small()
    suite = plan.work.suites[0]
    suites = tuple(
        replace(
            suite,
            id=draw(texts),
            shard=draw(st.none() | st.builds(Shard, index=st.integers(1, 9), count=st.integers(9, 20))),
            env=draw(st.dictionaries(texts, texts, max_size=3)),
            tests=tuple(draw(st.lists(tests, max_size=3))),
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    work = replace(
        plan.work,
        commit=draw(texts),
        image=draw(st.none() | texts),
        suites=suites,
        quarantine=tuple(draw(st.lists(texts, max_size=2))),
        pytest_args=tuple(draw(st.lists(texts, max_size=2))),
        limits=replace(plan.work.limits, launch_s=draw(st.floats(-1e9, 1e9))),
    )
    return replace(plan, work=work, partial=tuple(draw(st.lists(texts, max_size=1))))


@given(plan=plans())
def test_what_goes_in_comes_out(plan: Plan) -> None:
    line = encode(plan)
    assert line.isascii()
    assert "\n" not in line
    back = decode(line, limit_bytes=LIMIT)
    assert back.problem == ""
    assert back.missing == ()
    assert back.plan is not None
    assert back.plan.work == plan.work
    assert back.plan.digest == plan.digest
    assert back.plan.partial == plan.partial
    assert back.plan.placement.command == plan.placement.command
    assert back.plan.placement.runner_labels == plan.placement.runner_labels


def test_it_says_nothing_of_the_machine() -> None:
    back = decode(encode(small()), limit_bytes=LIMIT).plan
    assert back is not None
    assert (back.placement.host, back.placement.user, back.placement.root) == ("", "", "")


def test_the_cluster_is_in_it_without_its_folder() -> None:
    asked = request(executor=ExecutorKind.SLURM)
    plan = planned(catalog(), on_cluster([registration("test/a.py")], "laptop"), asked)
    assert plan.placement.slurm is not None
    folder = replace(plan.placement.slurm, shared="/shared/x")
    line = encode(replace(plan, placement=replace(plan.placement, slurm=folder)))
    found = decode(line, limit_bytes=LIMIT).plan
    assert found is not None
    assert found.placement.slurm == replace(folder, shared="")


def test_a_line_that_is_cut_anywhere_is_not_a_plan_and_loses_nothing_that_came_before() -> None:
    line = encode(small())
    known = 0
    for length in range(len(MARK), len(line)):
        cut = decode(line[:length], limit_bytes=LIMIT)
        assert cut.plan is None, length
        assert cut.problem, length
        assert "verdict_rules" in cut.missing, length
        assert not set(cut.parts) & set(cut.missing)
        assert len(cut.parts) >= known or "suites" in cut.parts, length
        known = len(cut.parts)
    most = decode(line[:-1], limit_bytes=LIMIT)
    assert most.stage == "stage-b-amd"
    assert most.digest == small().digest[:12]
    assert most.parts["commit"] == "a" * 40
    (suite,) = most.parts["suites"]
    assert suite["shard"] == {"count": 14, "index": 3}
    assert [test["id"] for test in suite["tests"]] == [test.id for test in small().work.suites[0].tests]


def test_what_stands_first_survives_a_cut_in_the_middle() -> None:
    whole = encode(small())
    half = decode(whole[: len(whole) // 4], limit_bytes=LIMIT)
    assert half.parts["commit"] == "a" * 40
    assert half.parts["hardware_class"] == "mi300x"
    assert half.problem.startswith("it was cut after")


def test_every_damaged_character_is_noticed() -> None:
    line = encode(small())
    alphabet = string.ascii_letters + string.digits + "-_ .\x00"
    for position in range(len(line)):
        other = alphabet[(position * 7) % len(alphabet)]
        if other == line[position]:
            other = chr(ord(line[position]) ^ 1)
        found = find([line[:position] + other + line[position + 1 :]])
        assert not found or decode(found[0], limit_bytes=LIMIT).plan is None, (position, other)


@given(data=st.data())
def test_damage_of_any_kind_is_never_a_plan_and_never_an_exception(data: st.DataObject) -> None:
    line = encode(small())
    start = data.draw(st.integers(len(MARK), len(line) - 1))
    end = data.draw(st.integers(start, len(line)))
    text = line[:start] + data.draw(st.text(max_size=20)) + line[end:]
    back = decode(text, limit_bytes=LIMIT)
    assert back.plan is None or text.startswith(line)


def test_a_wrong_checksum_shows_what_was_read_and_that_it_is_not_sure() -> None:
    line = encode(small())
    back = decode(line[:-3] + ("A" if line[-3] != "A" else "B") + line[-2:], limit_bytes=LIMIT)
    assert "no value of it is sure" in back.problem
    assert back.parts["commit"] == "a" * 40


def test_a_plan_of_another_schema_is_shown_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ci.plan.compare.capsule.SCHEMA", SCHEMA - 1)
        line = encode(small())
    found = decode(line, limit_bytes=LIMIT)
    assert found.plan is None
    assert f"is a plan of schema {SCHEMA - 1}; this version reads {SCHEMA}" in found.problem
    assert found.parts["commit"] == small().work.commit


def test_a_newer_version_shows_the_header() -> None:
    back = decode(encode(small()).replace(f"{MARK} 1 ", f"{MARK} 2 "), limit_bytes=LIMIT)
    assert "version 2" in back.problem
    assert (back.stage, back.digest) == ("stage-b-amd", small().digest[:12])
    assert back.parts == {}


def test_a_payload_that_unpacks_without_end_is_stopped() -> None:
    back = decode(encode(small()), limit_bytes=1000)
    assert back.plan is None
    assert back.problem


@pytest.mark.parametrize("around", ["{}", "2026-05-29T07:12:03.1234567Z {}", 'x {"text":"{}"}', "a\tb\t{}  "])
def test_it_is_found_in_the_middle_of_a_line_and_once(around: str) -> None:
    line = encode(small())
    log = ["start", around.replace("{}", line), "between", around.replace("{}", line), "end"]
    (found,) = find(log)
    back = decode(found, limit_bytes=LIMIT)
    assert back.plan is not None
    assert back.plan.digest == small().digest


def test_an_empty_shard_has_a_capsule_too() -> None:
    plan = planned(
        catalog(),
        facts(ROWS[:1]),
        request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=9, count=14)),
    )
    assert plan.work.tests == 0
    back = decode(encode(plan), limit_bytes=LIMIT)
    assert back.plan is not None
    assert back.plan.digest == plan.digest
