"""The spec and the events on both sides: what the host writes the agent and the harness read, and the other way round."""

import json
import re
import secrets
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.agent.entries import entries_of
from ci.agent.messages import MESSAGES
from ci.agent.slots import slots_for
from ci.agent.spec import parse_spec
from ci.catalog.executors import ExecutorKind
from ci.catalog.limits import AgentLimits
from ci.catalog.stages import RetryGpu
from ci.catalog.verdicts import CAUSES, Gates, Verdict
from ci.errors import InfrastructureError
from ci.execute.agent_file import AGENT_NAME, agent_file
from ci.execute.spec import (
    SCHEMA,
    ClaimsSpec,
    HarnessSpec,
    MetricSpec,
    NodeSpec,
    RoleSpec,
    ServerLimits,
    Spec,
    SuiteSpec,
    TestSpec,
    VerdictSpec,
    agent_environ,
    make_spec,
    write_spec,
)
from ci.plan.makespan import expected
from ci.plan.model import (
    BoundWork,
    CapabilityWork,
    CpuTestsWork,
    ErrorWork,
    ModelWork,
    NotJudgedWork,
    RetryWork,
    RuleWork,
    StandInWork,
)
from ci.record.event_json import event_from
from ci.record.events import (
    AgentEnded,
    AgentStarted,
    Case,
    Event,
    Metric,
    Note,
    Output,
    Progress,
    Retry,
    SuiteEnded,
    SuiteStarted,
    TestEnded,
    TestNotRun,
    TestStarted,
)
from ci.system.codec import decode, encode
from harness.spec import _parse
from support.planning import STAGE_B_SMALL, catalog, facts, on_cluster, planned, registration, request

words = st.text(min_size=1, max_size=8)
texts = st.lists(words, max_size=2).map(tuple)
paths = st.from_regex(r"/[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True)
seconds = st.floats(0, 1e6) | st.integers(0, 10**6)
env = st.dictionaries(words, words, max_size=2)
sizes = st.dictionaries(
    words,
    st.dictionaries(words, st.integers(0, 9) | st.floats(0.25, 9) | st.lists(st.integers(0, 9)).map(tuple)),
    max_size=2,
)
bounds = st.builds(BoundWork, limit=seconds, ceiling=st.none())
tests = st.builds(
    TestSpec,
    path=st.sampled_from(["test_a.py", "amd/test_b.py"]),
    kind=st.sampled_from(["pytest", "script"]),
    cases=texts,
    est_s=seconds,
    timeout_s=seconds,
    env=env,
    metrics=st.lists(st.builds(MetricSpec, limit=seconds, measured_by=texts), max_size=2).map(tuple),
    quarantine=texts,
)
errors = st.lists(st.builds(ErrorWork, message=words.map(re.escape), raised_in=texts), max_size=2).map(tuple)
roles = st.builds(
    RoleSpec,
    order=st.integers(0, 3),
    node=st.integers(0, 3),
    gpus=st.integers(0, 8),
    args=texts,
    ports=st.dictionaries(words, st.integers(1, 65535), max_size=2),
    ready_s=seconds,
)
suites = st.builds(
    SuiteSpec,
    roles=st.lists(roles, max_size=2).map(tuple),
    timeout_s=seconds,
    gpus=st.just(0),
    attempts=st.integers(1, 3),
    retry_wait_s=seconds,
    retries=st.lists(st.builds(RetryWork, attempts=st.integers(1, 3)), max_size=2).map(tuple),
    env=env,
    tests=st.lists(tests, max_size=2, unique_by=lambda test: test.id).map(tuple),
)
specs = st.builds(
    Spec,
    schema=st.just(SCHEMA),
    root=paths,
    run_dir=paths,
    pythonpath=texts,
    jobs=st.integers(1, 4),
    gpu_ids=texts,
    gpu_groups=st.dictionaries(words, texts, max_size=2),
    claims=st.just(ClaimsSpec()) | st.builds(ClaimsSpec, folder=paths, worker=st.just("2"), look_s=seconds),
    node=st.builds(NodeSpec, number=st.integers(0, 9), start=st.integers(0, 9)),
    pytest_args=texts,
    limits=st.builds(
        AgentLimits,
        **{row.name: st.integers(0, 10**9) if row.type is int else seconds for row in fields(AgentLimits)},
    ),
    verdicts=st.just(
        tuple(VerdictSpec(id=each, cause=each.row.cause, gates=each.row.gates) for each in Verdict)
    ),
    verdict_rules=st.lists(
        st.builds(RuleWork, verdict=st.sampled_from(tuple(CAUSES)), pattern=words.map(re.escape)), max_size=2
    ).map(tuple),
    cpu_tests=st.builds(
        CpuTestsWork,
        gpu_proofs=errors,
        wrappers=errors,
        server_ends=errors,
        not_judged=st.lists(st.builds(NotJudgedWork), max_size=2).map(tuple),
    ),
    suites=st.lists(suites, max_size=2, unique_by=lambda suite: suite.id).map(tuple),
    harness=st.builds(
        HarnessSpec,
        features=texts,
        known_features=texts,
        models=st.dictionaries(
            words,
            st.builds(ModelWork, stand_in=st.none() | st.builds(StandInWork, sizes=sizes)),
            max_size=2,
        ),
        bounds=st.dictionaries(
            words,
            st.dictionaries(
                words, st.builds(BoundWork, limit=seconds, ceiling=st.none() | bounds), max_size=2
            ),
            max_size=2,
        ),
        capabilities=st.dictionaries(words, st.builds(CapabilityWork, args=texts), max_size=2),
        limits=st.builds(ServerLimits, **{row.name: seconds for row in fields(ServerLimits)}),
    ),
)


def plain(value: Any) -> Any:
    """A value of either side as JSON-like values; what only one side has stays in."""
    if is_dataclass(value):
        return {row.name: plain(getattr(value, row.name)) for row in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, Enum | Path):
        return str(value)
    return value


def within(part: Any, whole: Any) -> bool:
    """Whether every key of `part`, at every depth, is in `whole` with the same value."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(item, whole[key]) for key, item in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


@settings(max_examples=50)
@given(specs)
def test_every_side_reads_the_same_spec(spec: Spec) -> None:
    text = json.dumps(encode(spec))
    assert decode(Spec, json.loads(text)) == spec
    assert within(plain(parse_spec(text)), plain(spec))
    theirs = plain(_parse(json.loads(text), "test"))
    for model_id, model in theirs["models"].items():
        assert model.pop("id") == model_id
    ours = plain(spec.harness) | {"test": "test", "run_dir": spec.run_dir}
    for name in ("features", "known_features"):
        ours[name] = sorted(set(ours[name]))
    assert within(theirs, ours)


def test_the_agent_knows_every_way_of_gating() -> None:
    spec = make_spec(
        planned(catalog(), facts([registration("test_a.py")]), request()),
        run="r",
        run_dir="/r",
        token="t",
        known_features=(),
    )
    read = parse_spec(json.dumps(encode(spec)))
    assert [(row.id, row.gates) for row in read.verdicts] == [(each, each.row.gates) for each in Verdict]
    assert {row.gates for row in read.verdicts} == set(Gates)


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind not in ("collected", "session")])
def test_what_a_test_process_says_is_an_event_of_the_host(kind: str) -> None:
    values = {key: default for key, (_, default) in MESSAGES[kind].items()}
    if kind == "case":
        values["outcome"] = "passed"
        del values["failures"], values["lacks"]  # the agent keeps them
    event = event_from({"type": kind, "suite": "s", "test": "t", "attempt": 1, **values})
    assert isinstance(event, Case | Metric | Note | Progress)
    assert not event.more


TEST_A = """
import json, os, socket

def send(**message):
    with socket.socket(fileno=os.dup(int(os.environ["AMD_CI_EVENTS_FD"]))) as agent:
        agent.send(json.dumps(message).encode())

def test_a():
    bound = {"ok": False, "op": "<", "limit": 1, "source": "s", "report_only": True}
    send(type="metric", metric="m", value=2, unit="s", bound=bound)
    send(type="progress", text="half", done=1, total=2)
    send(type="note", text="hello")
    print("output")
    assert 1 == 2
"""


@pytest.mark.processes
def test_every_event_of_the_agent_is_one_of_the_host(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for name, text in (("test_a.py", TEST_A), ("test_b.py", "print('a script')\n")):
        (root / name).write_text(text)
    made = planned(catalog(), facts([registration("test_a.py"), registration("test_b.py")]), request())
    # the agent ends whatever has its token, also what another run of this test has started
    token = secrets.token_hex(8)
    spec = make_spec(made, run="r", run_dir=str(tmp_path / "run"), token=token, known_features=())
    (suite,) = spec.suites
    suite = replace(
        suite,
        # which would be most of the time
        env={**suite.env, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        attempts=2,
        retry_wait_s=0,
        retries=(RetryWork(verdict=Verdict.PRODUCT, attempts=2, gpu=RetryGpu.SAME),),
        tests=tuple(
            replace(
                test,
                kind="script" if test.path == "test_b.py" else test.kind,
                metrics=(),
                quarantine=("test_a.py::test_a",),
            )
            for test in suite.tests
        ),
    )
    spec = replace(spec, root=str(root), fail_fast=True, suites=(suite,))
    (tmp_path / "spec.json").write_text(json.dumps(encode(spec)))
    (tmp_path / AGENT_NAME).write_bytes(agent_file().data)
    argv = [sys.executable, str(tmp_path / AGENT_NAME), str(tmp_path / "spec.json")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        events = [event_from(json.loads(line)) for line in agent.stdout]
    assert agent.returncode == 0, signal.strsignal(-agent.returncode)
    assert all(not event.more for event in events)
    kinds: set[type[Event]] = {type(event) for event in events}
    attempts = {TestStarted, Case, Metric, Note, Progress, Output, TestEnded, Retry}
    assert kinds >= {AgentStarted, SuiteStarted, *attempts, SuiteEnded, AgentEnded}
    ended = [event for event in events if isinstance(event, TestEnded)]
    assert [(event.test, event.verdict, event.gates) for event in ended] == [
        ("test_a.py", Verdict.PRODUCT, False),
        ("test_a.py", Verdict.PRODUCT, False),
        ("test_b.py", Verdict.PASSED, False),
    ]
    assert not any(isinstance(event, TestNotRun) for event in events), "what gates nothing stops nothing"
    (first, *_) = (event for event in events if isinstance(event, Case))
    assert first.quarantine == ("test_a.py::test_a",)


FILE = "test/registered/amd/test_score.py"


def specified(**asked: Any) -> TestSpec:
    plan = planned(catalog(), facts([registration(FILE)]), request(**asked))
    bound = BoundWork(
        op="<=", limit=1, unit="s", ceiling=None, source="test", report_only=False, measured_by=("test_x",)
    )
    bounded = replace(plan.work, bounds={FILE: {"b_metric": bound, "a_metric": bound}})
    rows = (f"{FILE}::test_x", FILE, f"{FILE}x")
    plan = replace(plan, work=replace(bounded, quarantine=rows))
    spec = make_spec(plan, run="r", run_dir="/r", token="t", known_features=())
    return spec.suites[0].tests[0]


def test_a_test_gets_its_rows_with_the_cases_that_would_measure_them() -> None:
    for asked in ({}, {"tests": (f"{FILE}::test_x",)}, {"pytest_args": ("-k", "x")}):
        assert [(row.metric, row.measured_by) for row in specified(**asked).metrics] == [
            ("a_metric", ("test_x",)),
            ("b_metric", ("test_x",)),
        ]


def test_a_test_gets_the_rows_in_quarantine_that_are_about_it() -> None:
    assert specified().quarantine == (f"{FILE}::test_x", FILE)


def test_a_spec_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    plan = planned(catalog(), facts([registration(FILE)]), request())
    spec = make_spec(plan, run="r", run_dir="/r", token="t", known_features=())
    write_spec(tmp_path / "spec.json", spec)
    assert stat.S_IMODE((tmp_path / "spec.json").stat().st_mode) == 0o600
    for path in (tmp_path / "spec.json", tmp_path / "none" / "spec.json"):
        with pytest.raises(InfrastructureError, match="cannot write"):
            write_spec(path, spec)


def test_the_agent_gets_what_the_plan_passes_through_and_the_token() -> None:
    plan = planned(catalog(), facts([registration(FILE)]), request())
    plan = replace(plan, placement=replace(plan.placement, pass_through=("PATH", "UNSET")))
    found = agent_environ(plan, {"PATH": "/bin", "SECRET": "x"}, token="t")
    assert found == {"PATH": "/bin", "AMD_CI_TOKEN": "t", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_agent_takes_the_tests_in_the_order_by_which_the_plan_says_how_long_they_take(nodes: int) -> None:
    rows = [
        registration("test/registered/long.py", STAGE_B_SMALL, est_time_s=60),
        registration("test/registered/perf/test_bench.py", STAGE_B_SMALL, est_time_s=30),
        registration("test/registered/test_roles.py", "stage-b-test-8-gpu-fabric-amd", est_time_s=10),
    ]
    asked = request("stage-b-amd", executor=ExecutorKind.SLURM, nodes=nodes, jobs="2")
    plan = planned(catalog(), on_cluster(rows, "laptop"), asked)
    spec = replace(
        make_spec(plan, run="r", run_dir="/r", token="amdci-1", known_features=()),
        claims=ClaimsSpec(folder="/r/queue", worker="1", look_s=1),
        node=NodeSpec(number=1, host="h", start=0),
    )
    slots = slots_for(plan.placement.gpu_ids, plan.work.jobs, plan.placement.gpu_groups)
    queue = entries_of(parse_spec(json.dumps(encode(spec))), slots)
    assert [entry.number for entry in queue] == list(expected(plan).starts)
