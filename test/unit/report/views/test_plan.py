"""What a plan looks like: every value with its source, and what is not in it said too."""

import json
import sys
from dataclasses import replace

import pytest

from ci.catalog.executors import ExecutorKind
from ci.plan.compare.classes import ClassDifference
from ci.plan.compare.diff import compare
from ci.plan.facts import PartitionFact
from ci.plan.model import BoundWork, CapabilityWork, Plan
from ci.plan.shards import Shard
from ci.report.console import plain_console
from ci.report.views.plan import list_tests, print_plan, show_class_differences, show_differences
from support.containers import contained, docker_facts, image
from support.planning import (
    STAGE_B_SMALL,
    catalog,
    facts,
    mi300x,
    on_cluster,
    planned,
    registration,
    request,
)

ROWS = [registration(f"test/registered/b/test_{n}.py", STAGE_B_SMALL, est_time_s=60 * n) for n in (1, 2, 3)]


def shard(index: int, count: int) -> Plan:
    asked = request("stage-b-amd", suites=("1-gpu-small",), shard=Shard(index=index, count=count))
    return planned(catalog(), facts(ROWS), asked)


def whole() -> Plan:
    return planned(catalog(), facts(ROWS), request("stage-b-amd", suites=("1-gpu-small",)))


def with_work(plan: Plan, **changes: object) -> Plan:
    return replace(plan, work=replace(plan.work, **changes))  # type: ignore[arg-type]  # the fields of the work


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> "Shown":
    return Shown(capsys)


class Shown:
    """A plan as it is printed for people, with single spaces."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, plan: Plan) -> str:
        print_plan(plan, {}, as_json=False)
        return self.words()

    def words(self) -> str:
        return " ".join(self._capsys.readouterr().out.split())


class TestTheTables:
    def test_a_rehearsal_says_so_in_the_head(self, shown: Shown) -> None:
        plan = whole()
        assert f"plan {plan.digest[:12]} stage-b-amd REHEARSAL, not a pass of the real stage" in shown(plan)
        assert "REHEARSAL" not in shown(planned(catalog(), mi300x(ROWS), request("stage-b-amd")))

    def test_each_value_has_its_source_and_an_empty_one_a_dash(self, shown: Shown) -> None:
        words = shown(whole())
        assert f"commit {'a' * 40} git" in words
        assert "hardware_class cpu no GPU in /sys/class/kfd" in words
        assert "pytest_args -" in words

    def test_the_tests_of_a_suite_have_estimate_limit_and_their_cases(self, shown: Shown) -> None:
        file = ROWS[2].file
        asked = request("stage-b-amd", tests=(f"{file}::test_x", f"{file}::test_y", ROWS[0].file))
        words = shown(planned(catalog(), facts(ROWS), asked))
        assert f"{STAGE_B_SMALL}: 2 tests, 4 min estimated on its hardware" in words
        assert f"{file} (2 cases) pytest 3 min" in words
        assert f"{ROWS[0].file} pytest 1 min" in words

    def test_an_empty_shard_is_said(self, shown: Shown) -> None:
        words = shown(shard(9, 9))
        assert f"{STAGE_B_SMALL} shard 9/9: 0 tests" in words
        assert "nothing in this shard: there are more shards than tests" in words

    def test_a_whole_suite_shows_how_it_fits_its_shards_and_a_shard_does_not(self, shown: Shown) -> None:
        words = shown(whole())
        assert "in 5 shards as SGLang splits: longest 3 min, lower bound 3 min, gap 0.0%" in words
        assert f"{ROWS[2].file} alone sets it: split it to gain" in words
        assert "2 shards take as long" in words
        assert "lower bound" not in shown(shard(1, 5))

    def test_a_long_suite_is_cut_with_the_way_to_all_of_it(self, shown: Shown) -> None:
        rows = [registration(f"test/registered/b/test_{n:02}.py", STAGE_B_SMALL) for n in range(45)]
        words = shown(planned(catalog(), facts(rows), request("stage-b-amd", suites=("1-gpu-small",))))
        assert "test_39.py" in words
        assert "test_40.py" not in words
        assert "and 5 more: --list or --json has all" in words

    def test_the_environment_of_one_test_has_a_table_of_its_own(self, shown: Shown) -> None:
        plan = whole()
        (suite,) = plan.work.suites
        tests = (replace(suite.tests[0], env={"ONLY_HERE": "7"}), *suite.tests[1:])
        path = f"work.suites.{suite.id}.tests.{tests[0].id}.env.ONLY_HERE"
        made = with_work(plan, suites=(replace(suite, tests=tests),))
        words = shown(replace(made, sources={**made.sources, path: "its row"}))
        assert f"{tests[0].id} ONLY_HERE 7 its row" in words
        assert "only some tests have" not in shown(plan)

    def test_bounds_are_shown_with_the_ceiling_and_the_source(self, shown: Shown) -> None:
        def bound(op: str, limit: float, ceiling: BoundWork | None = None) -> BoundWork:
            return BoundWork(
                op=op, limit=limit, unit="ms", source=f"row {limit:g}", report_only=False, ceiling=ceiling
            )

        plan = with_work(whole(), bounds={ROWS[0].file: {"latency": bound("<", 5, bound("<", 9))}})
        words = shown(plan)
        assert f"{ROWS[0].file} latency < 5 ms row 5" in words
        assert f"{ROWS[0].file} latency < 9 ms row 9" in words

    def test_server_arguments_are_given_or_left_out_with_the_reason(self, shown: Shown) -> None:
        rows = {
            "memory": CapabilityWork(args=("--mem", "0.7"), allowed=True, why="it fits", issue=""),
            "exact": CapabilityWork(args=("--exact",), allowed=False, why="aiter", issue="#7"),
        }
        words = shown(with_work(whole(), capabilities=rows))
        assert "memory given --mem 0.7 it fits" in words
        assert "exact left out --exact aiter (#7)" in words

    def test_notes_and_a_partial_digest_come_last(self, shown: Shown) -> None:
        words = shown(replace(whole(), notes=("one thing",), partial=("image unresolved",)))
        assert words.endswith("note: one thing partial digest: image unresolved")

    def test_a_container_shows_image_devices_mounts_and_cache(self, shown: Shown) -> None:
        words = shown(contained())
        assert f"image {image().pinned.partition('@')[0]}@sha256:" in words.replace("\n", "")
        assert "devices /dev/kfd, /dev/dri/renderD128" in words
        assert "mounts /srv/cache at /cache" in words
        assert "cache /srv/cache, 0.0 GiB free" in words
        assert "keep False default: removed after the run" in words
        assert "devices" not in shown(whole()), "nothing of a container on the host"

    def test_a_container_whose_image_is_unresolved_says_of_which(self, shown: Shown) -> None:
        lost = image(config_digest="", problem="the registry does not answer")
        asked = request(executor="docker", image="x:y")
        here = mi300x([registration("test/a.py")])
        words = shown(planned(catalog(), here, asked, docker_facts(lost, cache="", cache_free_bytes=None)))
        assert "container.image unresolved, of" in words
        assert "cache absent" in words


class TestLists:
    def test_a_list_is_a_test_a_line_and_what_people_need_is_on_standard_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        list_tests(replace(whole(), notes=("a note",)), as_json=False)
        out, err = capsys.readouterr()
        assert out.splitlines() == [f"{row.file}\t{row.est_time_s:g}\t1-gpu-small" for row in reversed(ROWS)]
        assert err == "note: a note\n"

    def test_for_machines_it_is_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        list_tests(whole(), as_json=True)
        first, *_ = json.loads(capsys.readouterr().out)
        assert first == {"suite": "1-gpu-small", "test": ROWS[2].file, "est_s": 180, "kind": "pytest"}

    def test_an_empty_shard_is_said_on_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        list_tests(shard(9, 9), as_json=False)
        out, err = capsys.readouterr()
        assert out == ""
        assert "1-gpu-small: nothing in shard 9/9" in err

    def test_json_of_a_plan_is_what_plan_reads(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_plan(whole(), {}, as_json=True)
        assert Plan.from_json(json.loads(capsys.readouterr().out), where="stdout") == whole()


class TestDifferences:
    def test_two_plans_are_compared_field_by_field(self, shown: Shown) -> None:
        left = whole()
        right = planned(
            catalog(), facts(ROWS, host="other"), request("stage-b-amd", env=(("SGLANG_X", "1"),))
        )
        show_differences(plain_console(sys.stdout), compare(left, right), left=left, right=right)
        words = shown.words()
        assert f"{left.digest[:12]} and {right.digest[:12]}: different work" in words
        assert "placement.host laptop" in words
        assert "SGLANG_X" in words

    def test_what_only_one_has_is_one_line_each(self, capsys: pytest.CaptureFixture[str]) -> None:
        left, right = whole(), planned(catalog(), facts(ROWS[1:]), request("stage-b-amd", env=(("X", "1"),)))
        show_differences(plain_console(sys.stdout), compare(left, right), left=left, right=right)
        lines = capsys.readouterr().out.splitlines()
        removed = [line for line in lines if ROWS[0].file in line]
        assert len(removed) == 1
        assert lines.index("only left:") < lines.index(removed[0]) < lines.index("only right:")
        assert any(line.startswith("  work.suites.1-gpu-small.env.X = 1  (--env") for line in lines)

    def test_equal_plans_are_the_same_work(self, shown: Shown) -> None:
        show_differences(plain_console(sys.stdout), (), left=whole(), right=whole())
        words = shown.words()
        assert "the same work" in words
        assert words.endswith("nothing differs")

    def test_classes_are_columns_and_a_group_is_named_once(self, shown: Shown) -> None:
        def row(name: str, one: str, two: str) -> ClassDifference:
            values = {"mi300x": one, "mi325x": two}
            return ClassDifference(path=name, group="bounds of a.py", name=name, values=values, sources={})

        plans = {"mi300x": whole(), "mi325x": whole()}
        rows = [row("latency", "< 5", "< 4"), row("rate", "> 1", "> 2")]
        show_class_differences(plain_console(sys.stdout), "stage-b-amd", list(plans), plans, rows)
        words = shown.words()
        assert "stage-b-amd: 2 fields differ" in words
        assert words.endswith("bounds of a.py latency < 5 < 4 rate > 1 > 2")
        show_class_differences(plain_console(sys.stdout), "stage-b-amd", list(plans), plans, [])
        assert shown.words().endswith("nothing differs but the hardware class")


class TestACluster:
    def test_what_is_asked_of_slurm_is_in_the_table_with_its_source(self, shown: Shown) -> None:
        here = on_cluster(ROWS, "north")
        asked = request("stage-b-amd", executor=ExecutorKind.SLURM, nodes=2, suites=("1-gpu-small",))
        words = shown(planned(catalog(), here, asked, docker_facts(image())))
        for part in (
            "slurm.cluster north --cluster",
            "slurm.nodes 2 --nodes",
            "slurm.partition gpu clusters.toml: cluster[north]",
            "slurm.gpus_per_node 1, asked for as gpu:mi300x:1",
            "slurm.cpus_per_node all, the node for itself",
            "slurm.requeue True",
            "on 2 nodes of north, on each one test at a time: ",
        ):
            assert part in words

    def test_a_runtime_that_was_never_run_is_marked(self, shown: Shown) -> None:
        asked = request("stage-b-amd", executor=ExecutorKind.SLURM, suites=("1-gpu-small",))
        words = shown(planned(catalog(), on_cluster(ROWS, "south"), asked, docker_facts(image())))
        assert "slurm.runtime apptainer, NEVER RUN" in words
        assert "note: runtime apptainer has NEVER BEEN RUN" in words

    def test_what_would_keep_a_job_from_starting_is_a_note(self, shown: Shown) -> None:
        short = PartitionFact(name="ci", default=True, up=True, limit_min=1, nodes=9)
        asked = request("stage-b-amd", executor=ExecutorKind.SLURM, suites=("1-gpu-small",))
        words = shown(planned(catalog(), on_cluster(ROWS, "laptop", partitions=[short]), asked))
        assert "min, ci has MaxTime 1 min" in words
