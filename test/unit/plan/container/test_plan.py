"""Planning a container run: which profile, what is in the plan, what is refused."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import CiError, InfrastructureError, UsageError
from ci.plan import docker as planning
from ci.plan.container.inside import CheckoutFacts
from ci.plan.container.needs import (
    Device,
    Need,
    environment_of,
    needs_of,
    nofile_of,
    one_need,
)
from ci.plan.draft import draft_plan
from ci.plan.facts import DockerFacts, Known
from ci.plan.model import Plan
from ci.plan.registry import decide_executor
from support.containers import contained, docker_facts, image
from support.planning import again, catalog, facts, mi300x, planned, registration, request


def require(found: DockerFacts, *, strict: bool) -> None:
    here = mi300x([registration("test/a.py")])
    asked = request(executor=ExecutorKind.DOCKER, strict=strict)
    planning.require(catalog(), here, draft_plan(catalog(), here, asked).needs, found)


class TestTheExecutor:
    @pytest.mark.parametrize(
        ("asked", "hardware", "engine_here", "executor"),
        [
            (ExecutorKind.DOCKER, "cpu", True, ExecutorKind.DOCKER),
            (ExecutorKind.HOST, "mi300x", False, ExecutorKind.HOST),
            (None, "cpu", False, ExecutorKind.HOST),
            (None, "mi300x", True, ExecutorKind.HOST),
            (None, "mi355x", False, ExecutorKind.DOCKER),
        ],
    )
    def test_it_is_what_was_requested_or_the_rows(
        self,
        asked: ExecutorKind | None,
        hardware: str,
        engine_here: bool,  # noqa: FBT001  # a parameter
        executor: ExecutorKind,
    ) -> None:
        found, source = decide_executor(catalog().containers, asked, hardware, engine_here=engine_here)
        assert found == executor
        assert source


class TestOneContainerForARun:
    def needs(self, stage: str, hardware: str) -> dict[str, Need]:
        return needs_of(catalog().containers, catalog().suites_of(stage), hardware)

    def test_a_rehearsal_takes_all_suites_of_a_stage(self) -> None:
        assert one_need(self.needs("stage-b-amd", "cpu")).profile.id == "rehearsal"

    def test_the_fabrics_suite_is_refused_beside_others_with_the_lines_to_use(self) -> None:
        with pytest.raises(UsageError) as raised:
            one_need(self.needs("stage-b-amd", "mi355x"))
        text = raised.value.render()
        assert "a rdma container" in text
        assert "--suite 8-gpu-fabric" in text
        assert "--suite 1-gpu-small " in text

    def test_a_suite_of_another_rocm_has_its_own_image(self) -> None:
        assert one_need(self.needs("nightly-big-amd", "mi355x")).rocm == "720"


class TestThePlan:
    def test_the_host_and_the_container_differ_in_two_fields_alone(self) -> None:
        rows = [registration("test/a.py")]
        docker = docker_facts(image(labels={}), flavour="rehearsal", mounts=(), devices=())
        host = planned(catalog(), facts(rows), request())
        inside = planned(catalog(), facts(rows), request(executor=ExecutorKind.DOCKER, image="x:y"), docker)
        one, two = (plan.to_json()["work"] for plan in (host, inside))
        assert {key for key in one if one[key] != two[key]} == {"image", "container"}
        assert host.digest != inside.digest

    def test_the_flags_are_those_of_the_row(self) -> None:
        plan = contained()
        assert plan.work.container is not None
        assert plan.work.container.options.shm_bytes == 16 << 30
        assert plan.work.container.options.init is True
        assert plan.work.container.env["HF_HOME"] == "/cache/hf"
        assert plan.placement.container is not None
        assert plan.placement.container.groups == (44, 110)
        assert "placement.container.nofile" in plan.sources

    def test_a_suite_that_needs_more_gpus_than_the_container_gets_is_left_out(self) -> None:
        rows = [
            registration("test/a.py", "stage-b-test-1-gpu-small-amd"),
            registration("test/b.py", "stage-b-test-2-gpu-amd"),
        ]
        asked = request("stage-b-amd", executor=ExecutorKind.DOCKER)
        plan = planned(catalog(), mi300x(rows, render_nodes=1), asked, docker_facts(image()))
        assert plan.placement.gpu_ids == ("0",)
        assert [suite.id for suite in plan.work.suites] == ["1-gpu-small"]
        assert any("needs 2 GPUs, this machine has 1" in row.because for row in plan.left_out)

    def test_a_variable_of_an_absent_mount_is_left_out(self) -> None:
        assert "HF_HOME" not in environment_of(catalog().containers, "standard", ())
        assert "PYTHONPATH" not in environment_of(catalog().containers, "rehearsal", ())

    def test_the_callers_paths_stay_outside(self) -> None:
        names = {"PATH": "/x", "HOME": "/x", "HF_TOKEN": "secret", "HIP_VISIBLE_DEVICES": "3"}
        here, found = mi300x([registration("test/a.py")], environ=names), docker_facts(image())
        plan = planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found)
        assert plan.placement.pass_through == ("HF_TOKEN",)
        assert "secret" not in json.dumps(plan.to_json())

    def test_an_unresolved_image_makes_the_digest_partial(self) -> None:
        lost = image(config_digest="", problem="the registry does not answer")
        here, found = mi300x([registration("test/a.py")]), docker_facts(lost)
        plan = planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found)
        assert plan.work.image == ""
        assert any("image unresolved: the registry does not answer" in text for text in plan.partial)

    def test_a_plan_for_another_machine_says_what_is_found_there(self) -> None:
        docker = docker_facts(image(), elsewhere=True, devices=(Device(path="/dev/kfd", gid=None),))
        here, found = mi300x([registration("test/a.py")]), docker
        plan = planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found)
        assert any("the plan is for another machine" in note for note in plan.notes)
        assert plan.placement.container is not None
        assert (plan.placement.container.devices, plan.placement.container.groups) == (("/dev/kfd",), ())

    def test_what_overrides_a_pin_is_named(self) -> None:
        environ = {"AMD_CI_AITER_REF": "abcdef1", "AITER_COMMIT_OVERRIDE": ""}
        here, found = mi300x([registration("test/a.py")], environ=environ), docker_facts(image())
        plan = planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found)
        assert plan.work.container is not None
        assert plan.work.container.install.overrides == {"aiter": "abcdef1"}
        assert plan.sources["work.container.install"] == "dependencies.toml; aiter by AMD_CI_AITER_REF"

    def test_a_plan_of_a_container_comes_back_from_json(self) -> None:
        plan = contained()
        again = Plan.from_json(json.loads(json.dumps(plan.to_json())), where="test")
        assert again == plan

    @pytest.mark.parametrize(
        ("wanted", "most", "granted"),
        [
            (65536, 20000, 20000),
            (65536, None, 65536),
            (65536, 1 << 20, 65536),
            (None, 20000, None),
            (-1, 500, 500),
        ],
    )
    def test_open_files_stay_below_what_the_engine_can_grant(
        self, wanted: int | None, most: int | None, granted: int | None
    ) -> None:
        profile = replace(catalog().containers.profiles["standard"], nofile=wanted)
        assert nofile_of(profile, most) == granted


class TestRefusals:
    @pytest.mark.parametrize(
        ("docker", "strict", "expected"),
        [
            (docker_facts(image(), problem="no such socket"), False, "no such socket"),
            (docker_facts(image(config_digest="", problem="nobody answers")), False, "nobody answers"),
            (docker_facts(image(age_days=9)), True, "9 days old"),
        ],
    )
    def test_what_only_a_plan_can_be_made_of(self, docker: DockerFacts, strict: bool, expected: str) -> None:  # noqa: FBT001  # a parameter
        with pytest.raises(InfrastructureError, match=expected):
            require(docker, strict=strict)

    def test_a_stale_image_is_a_note_otherwise(self) -> None:
        require(docker_facts(image(age_days=9)), strict=False)
        here, found = mi300x([registration("test/a.py")]), docker_facts(image(age_days=9))
        notes = planned(catalog(), here, request(executor=ExecutorKind.DOCKER), found).notes
        assert any(note.startswith("STALE IMAGE") for note in notes)

    @pytest.mark.parametrize(
        ("change", "executor", "expected"),
        [
            ({}, ExecutorKind.HOST, "the tests run without a container, those of the plan run in one"),
            ({"mounts": ()}, None, "container.env"),
        ],
    )
    def test_a_saved_plan_in_another_place(
        self, change: Mapping[str, Any], executor: ExecutorKind | None, expected: str
    ) -> None:
        saved = contained()
        here, found = mi300x([registration("test/a.py")]), docker_facts(image(), **change)
        with pytest.raises(CiError) as raised:
            again(catalog(), here, request(executor=executor), saved, found)
        assert expected in raised.value.render()

    def test_a_saved_plan_is_placed_here(self) -> None:
        saved = contained()
        here, found = mi300x([registration("test/a.py")]), docker_facts(image(), docker="tcp://127.0.0.1:1")
        placed = again(catalog(), here, request(), saved, found)
        assert placed.work == saved.work
        assert placed.placement.container is not None
        assert placed.placement.container.docker == "tcp://127.0.0.1:1"


class TestPreflights:
    """Of an SGLang tree on real hardware; the row is of stage-c-amd's eight GPUs."""

    SUITE = "stage-c-test-8-gpu-amd"

    def planned(self, *, executor: ExecutorKind, tree: bool, cpu: bool = False) -> Plan:
        rows = [registration("test/a.py", suite=self.SUITE)]
        checkout = Known(value="b" * 40, source="test") if tree else None
        pins = {"aiter@gfx942": "abcdef1"}
        found = CheckoutFacts(tree="b", tree_source="test", files=frozenset(), pins=pins) if tree else None
        docker = replace(docker_facts(image(), flavour="rehearsal" if cpu else "rocm700"), tree=found)
        base = facts(rows, checkout=checkout) if cpu else mi300x(rows, checkout=checkout)
        return planned(catalog(), base, request("stage-c-amd", executor=executor, image="x:y"), docker)

    def test_they_are_the_containers_work(self) -> None:
        plan = self.planned(executor=ExecutorKind.DOCKER, tree=True)
        assert plan.work.container is not None
        (row,) = plan.work.container.preflights
        assert row.argv[0] == "torchrun"
        assert (row.timeout_s, row.env["NCCL_DEBUG"]) == (240, "INFO")
        assert not [note for note in plan.notes if "preflight" in note]
        again = Plan.from_json(json.loads(json.dumps(plan.to_json())), where="test")
        assert again == plan

    @pytest.mark.parametrize(
        ("executor", "tree", "expected"),
        [
            (ExecutorKind.DOCKER, False, "add --checkout PATH"),
            (ExecutorKind.HOST, True, "run it by hand first"),
        ],
    )
    def test_one_that_is_not_run_is_reported_with_the_reason(
        self,
        executor: ExecutorKind,
        tree: bool,  # noqa: FBT001  # a parameter
        expected: str,
    ) -> None:
        plan = self.planned(executor=executor, tree=tree)
        assert plan.work.container is None or plan.work.container.preflights == ()
        assert any("all-reduce is not run" in note and expected in note for note in plan.notes)

    def test_a_rehearsal_has_none(self) -> None:
        plan = self.planned(executor=ExecutorKind.DOCKER, tree=True, cpu=True)
        assert plan.work.container is not None
        assert plan.work.container.preflights == ()
        assert not [note for note in plan.notes if "preflight" in note]
