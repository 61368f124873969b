"""The spec: what is read from it, and how what is wrong in it is named."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.agent.spec import SpecError, parse_spec
from support.agent_process import a_suite, a_test, agent_limits, cpu_tests, verdict_rules, verdicts

pytestmark = pytest.mark.in_container

SPEC: dict[str, Any] = {
    "schema": 5,
    "run": "run",
    "token": "0123",
    "root": "/tree",
    "run_dir": "/run",
    "pythonpath": ["/ours/test"],
    "jobs": 1,
    "gpu_ids": [],
    "gpu_groups": {"0": ["hive 1", "CPU node 0"]},
    "sharing": {"alone": [], "variables": [{"name": "TMPDIR", "kind": "folder-of-test"}]},
    "node": {"number": 2, "host": "n2", "start": 0},
    "claims": {"folder": "/run/slurm/queue", "worker": "1", "look_s": 1.0},
    "fail_fast": False,
    "pytest_args": [],
    "limits": agent_limits(),
    "verdicts": verdicts(),
    "verdict_rules": verdict_rules(),
    "cpu_tests": cpu_tests(),
    "shared_memory": ["psm_"],
    "suites": [a_suite([a_test("test_a.py"), a_test("test_b.py")])],
    "harness": {"anything": [1, None]},
}


def spec_with(path: str, value: object) -> str:
    """The spec with one value replaced; a path such as `suites.0.tests.1.path`."""
    spec = copy.deepcopy(SPEC)
    *way, last = path.split(".")
    place: Any = spec
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(spec)


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    return "\n".join(caught.value.problems)


def test_what_the_executor_writes_is_read() -> None:
    spec = parse_spec(json.dumps(SPEC))
    assert spec.root == Path("/tree")
    assert [test.id for test in spec.suites[0].tests] == ["test_a.py", "test_b.py"]
    assert spec.limits.log_head_bytes == SPEC["limits"]["log_head_bytes"]
    assert spec.verdict_rules[0].pattern.search("HW Exception by GPU node-1")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema", 1, "schema is 1; this agent reads schema 5"),
        ("root", "tree", "root is 'tree', not an absolute path"),
        ("jobs", 0, "jobs is 0"),
        (
            "sharing.variables",
            [{"name": "A", "kind": "b"}],
            "variable A: kind 'b' is not one of folder-of-test,",
        ),
        ("claims.folder", "queue", "claims.folder is 'queue', not an absolute path"),
        ("claims.worker", "../1", "claims.worker is '../1', not letters and digits"),
        ("jobs", True, "jobs is 'True', not a whole number"),
        ("fail_fast", "yes", "fail_fast is 'yes', not bool"),
        ("limits.settle_s", float("nan"), "limits.settle_s is 'nan', not a number of at least 0"),
        ("limits.log_head_bytes", 1.5, "limits.log_head_bytes is '1.5', not a whole number"),
        ("limits", [], "limits is '[]', not Limits"),
        ("verdict_rules.0.pattern", "(", "verdict_rules[0].pattern is not a valid regular expression"),
        ("verdicts.0.gates", "often", "verdict product: gates is 'often', not one of never,"),
        ("verdicts.0.id", "produce", "verdicts has no row 'product'"),
        ("verdicts.0.cause", False, "verdict product: cause is false"),
        ("verdict_rules.0.verdict", "passed", "verdict 'passed' is not one of"),
        ("suites.0.attempts", 0, "suite suite: attempts is 0"),
        ("suites.0.timeout_s", -1, "suites[0].timeout_s is '-1', not a number of at least 0"),
        ("suites.0.env", {"A": 1}, "suites[0].env.A is '1', not str"),
        ("suites.0.tests.1.id", "test_a.py", "suite suite: 2 tests have the id 'test_a.py'"),
        ("suites.0.tests.1.kind", "go", "kind 'go' is neither pytest nor script"),
        ("suites.0.tests.1.path", "/etc/passwd", "'/etc/passwd' is not a path inside the root"),
        ("suites.0.tests.1.path", "a/../../b", "'a/../../b' is not a path inside the root"),
        ("suites.0.tests.1", "test", "suites[0].tests[1] is 'test', not Test"),
        ("suites", [SPEC["suites"][0]] * 2, "2 suites have the id 'suite'"),
    ],
)
def test_a_wrong_value_is_named(path: str, value: object, says: str) -> None:
    assert says in problems(spec_with(path, value))


@pytest.mark.parametrize("key", [key for key in SPEC if key not in ("run", "harness")])
def test_a_missing_key_is_named(key: str) -> None:
    assert f"{key} is missing" in problems(json.dumps({name: SPEC[name] for name in SPEC if name != key}))


def test_every_problem_is_named_at_once() -> None:
    wrong = {**SPEC, "token": 1, "root": "here", "gpu_ids": "0"}
    assert len(problems(json.dumps(wrong)).splitlines()) == 3


def test_a_suite_that_needs_more_gpus_than_there_are_is_refused() -> None:
    wanting = {**SPEC, "gpu_ids": ["0"], "suites": [a_suite([], gpus=2)]}
    assert "needs 2 GPUs, gpu_ids has 1" in problems(json.dumps(wanting))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.text())
def test_anything_else_is_refused_and_never_a_crash(value: object) -> None:
    assert problems(value if isinstance(value, str) else json.dumps(value))
