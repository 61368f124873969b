"""The roles of a suite in a plan: what they are is work, where they are is not."""

from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.roles import Role
from ci.errors import UsageError
from ci.execute.spec import make_spec
from ci.plan.compare import capsule
from ci.plan.compare.replay import verified
from ci.plan.facts import Known
from ci.plan.model import Plan
from ci.plan.roles import homes_of, places_of
from support.planning import catalog, facts, planned, registration, request

ROWS = [registration("test/registered/a/test_roles.py", "stage-b-test-8-gpu-fabric-amd")]


def plan_of(rows: Catalog | None = None) -> Plan:
    return planned(rows or catalog(), facts(ROWS), request("stage-b-amd"))


def changed(role: Role, **values: Any) -> Catalog:
    """The catalog with other values in the row of a role."""
    rows = tuple(replace(row, **values) if row.role is role else row for row in catalog().roles)
    return replace(catalog(), roles=rows)


def test_what_a_role_is_given_is_in_the_digest_and_where_it_is_is_not() -> None:
    plan = plan_of()
    (suite,) = plan.work.suites
    assert [role.role for role in suite.roles] == [Role.PREFILL, Role.DECODE, Role.ROUTER]
    assert suite.roles[0].ready_s == plan.work.limits.launch_s
    assert plan_of(changed(Role.DECODE, ports={"http": 29999})).digest == plan.digest
    assert plan_of(changed(Role.DECODE, args=("--other",))).digest != plan.digest
    assert plan_of(changed(Role.ROUTER, ready_s=8)).digest != plan.digest


def test_a_run_on_one_node_has_all_roles_there() -> None:
    assert {place.node for place in plan_of().placement.roles} == {1}


def test_an_engine_that_cannot_be_in_a_role_gets_none() -> None:
    llamacpp = catalog().engines["llamacpp"]
    without = {name: replace(each, features=("chat",)) for name, each in llamacpp.services.items()}
    engines = {**catalog().engines, "llamacpp": replace(llamacpp, services=without)}
    plan = plan_of(replace(catalog(), engines=engines))
    assert plan.work.suites[0].roles == ()
    assert plan.placement.roles == ()
    with pytest.raises(UsageError, match="cannot be run as it is") as caught:
        verified(plan_of(), plan, as_saved=True)
    assert "the role prefill has no node and ports here" in caught.value.render()


def test_the_tests_of_a_checkout_start_their_servers_themselves() -> None:
    here = facts(ROWS, checkout=Known(value="/tree", source="--checkout"))
    assert all(not suite.roles for suite in planned(catalog(), here, request("stage-b-amd")).work.suites)


def test_the_spec_says_who_waits_for_whom_and_which_ports_are_whose() -> None:
    spec = make_spec(plan_of(), run="run", run_dir="/run", token="t", known_features=())
    (suite,) = spec.suites
    orders = {role.role: role.order for role in suite.roles}
    assert orders[Role.PREFILL] == orders[Role.DECODE] < orders[Role.ROUTER]
    assert suite.roles[0].ports == {"http": 21000, "bootstrap": 21001}
    assert (spec.node.number, spec.node.host) == (0, "127.0.0.1")


def test_the_capsule_brings_them_back() -> None:
    plan = plan_of()
    found = capsule.decode(capsule.encode(plan), limit_bytes=1 << 20)
    assert found.plan is not None, found.problem
    assert found.plan.placement.roles == plan.placement.roles
    assert found.plan.work == plan.work


def test_tests_run_beside_the_role_that_starts_last_when_roles_are_on_several_nodes() -> None:
    plan = plan_of()
    (suite,) = plan.work.suites
    places = places_of(catalog(), [suite], nodes=2)
    assert {place.role: place.node for place in places} == {Role.PREFILL: 1, Role.DECODE: 2, Role.ROUTER: 1}
    assert homes_of(places) == {suite.id: 1}
    assert homes_of(plan.placement.roles) == {}
