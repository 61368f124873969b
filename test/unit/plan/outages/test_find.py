"""Findings about workflows of any shape: what is strange is passed over or named, never a traceback."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Registration
from ci.errors import Problem
from ci.facts.tree.jobs import Launchers
from ci.facts.tree.workflow_file import load_workflows
from ci.facts.tree.workflows import read_workflows
from ci.plan.outages.find import find_outages
from ci.plan.outages.lost import find_lost
from ci.plan.outages.model import KINDS, CheckedTree
from ci.plan.tree.model import Partition, Registry, RunnerDefaults, Stated, TreeFacts

KEYS = (
    "steps",
    "run",
    "runs-on",
    "needs",
    "strategy",
    "matrix",
    "with",
    "jobs",
    "if",
    "permissions",
    "uses",
    "timeout-minutes",
)
TEXTS = (
    "${{ matrix.a }}",
    "python3 run_suite.py --hw amd --suite small --auto-partition-id ${{ matrix.a }} --auto-partition-size 2",
    "linux-mi300-1gpu",
    "./.github/workflows/w.yml",
    '[{"prefix": "a", "expected_count": 1}]',
    "write-all",
    "a",
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 9), st.sampled_from(TEXTS), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*KEYS, "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
jobs_of_any_shape = st.dictionaries(
    st.sampled_from(["a", "stage-a-one", "stage-b-one"]),
    st.dictionaries(st.sampled_from(KEYS), values, max_size=7),
)


def checked(catalog: Catalog, jobs: dict[str, Any]) -> CheckedTree:
    unread: list[Problem] = []
    launchers = Launchers(workdir="", rocm={}, defaults=RunnerDefaults(), hardware=catalog.hardware)
    text = json.dumps({"on": ["pull_request", "workflow_call"], "jobs": jobs}).encode()
    registry = Registry(
        registrars=(),
        positional=(),
        keyword_only=(),
        roots=(),
        exempt=(),
        suites=(),
        checked=(),
        options=(),
        defaults=RunnerDefaults(),
        partition=Stated(value=Partition.UNKNOWN, source=""),
    )
    documents = load_workflows([(".github/workflows/w.yml", text)], unread)
    workflows = read_workflows(documents, launchers, unread)
    facts = TreeFacts(root="/", registry=registry, workflows=workflows, unread=tuple(unread))
    row = Registration(
        file="test/registered/a.py",
        backend="amd",
        suite="small",
        est_time_s=9.0,
        nightly=False,
        disabled=None,
        line=3,
    )
    return CheckedTree(facts=facts, registered=(row,), files=frozenset({row.file}))


@settings(max_examples=40)
@given(jobs_of_any_shape, jobs_of_any_shape)
def test_no_shape_of_a_workflow_ends_in_a_traceback(
    catalog: Catalog, before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = checked(catalog, before), checked(catalog, after)
    found = [*find_outages(old), *find_outages(new), *find_lost(old, new)]
    assert all(finding.line > 0 and finding.what and finding.kind in KINDS for finding in found)
