"""Capabilities: which server arguments a test's server gets on which hardware, and what a plan says of the others."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.catalog import read_catalog
from ci.catalog.registrations.parse import Registration
from ci.catalog.registrations.test_requirements import Wishes
from ci.catalog.stages import CATALOG_DIR
from ci.errors import UsageError
from ci.execute.spec import make_spec
from ci.plan.facts import Facts
from ci.plan.make import make_plan
from ci.plan.model import Plan
from support.planning import STAGE_B_SMALL, catalog, discovery, facts, mi300x, registration, request

MLA = "test/registered/mla/test_mla_fp8.py"
ROWS = [registration(MLA, STAGE_B_SMALL), registration("test/registered/b/test_other.py", STAGE_B_SMALL)]


def asking(world: Callable[..., Facts], *asks: str) -> Facts:
    rows: list[Registration] = ROWS
    tests = replace(discovery(rows), wishes={MLA: Wishes(asks=asks)})
    return world(rows, tests=tests)


def plan(world: Facts, **changes: object) -> Plan:
    return make_plan(catalog(), world, replace(request("stage-b-amd"), **changes))  # type: ignore[arg-type]  # its own keywords


@pytest.fixture
def edit(tmp_path: Path) -> Callable[[str, str], list[str]]:
    folder = tmp_path / "catalog"
    shutil.copytree(CATALOG_DIR, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))

    def change(old: str, new: str) -> list[str]:
        path = folder / "capabilities.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return [str(problem) for problem in read_catalog(folder)[1]]

    return change


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('issue = "https', 'issue = "', "does not fit https://"),
        (
            'issue = "https://github.com/sgl-project/sglang/issues/23536"\n',
            "",
            "issue: is missing (the URL of the issue that tracks why",
        ),
        (
            'hardware = ["mi300x", "mi325x", "mi355x"]',
            'hardware = ["mi300x"]',
            "has no row for sglang on mi325x",
        ),
        (
            'hardware = ["mi325x", "mi355x"]',
            'hardware = ["mi300x", "mi325x", "mi355x"]',
            "stands there twice",
        ),
        ('hardware = ["cpu"]', 'hardware = ["cpu", "mi300x"]', "llamacpp does not serve mi300x"),
        ('engine = "llamacpp"', 'engine = "llama"', "'llama', which is not known"),
        ("allowed = false\n", "", "allowed: is missing"),
        ('hardware = ["cpu"]', 'hardware = ["cuda"]', "names 'cuda', which is not known"),
        ("[[capability]]", "[[capabilty]]", "capabilty: unknown table"),
    ],
)
def test_a_bad_row_is_named(edit: Callable[[str, str], list[str]], old: str, new: str, found: str) -> None:
    problems = edit(old, new)
    assert any(
        found in problem and problem.startswith("catalog/capabilities.toml") for problem in problems
    ), problems


@pytest.mark.parametrize("hardware", ["mi300x", "mi325x", "mi355x"])
def test_deterministic_inference_is_left_out_on_amd_with_its_issue(hardware: str) -> None:
    world = replace(asking(mi300x, "deterministic_inference"), hardware_class=hardware)
    made = plan(world, compared=True)
    answer = made.work.capabilities["deterministic_inference"]
    assert answer.args == ("--enable-deterministic-inference",)
    assert not answer.allowed
    assert answer.issue.endswith("/23536")
    (note,) = [note for note in made.notes if note.startswith("--")]
    assert "--enable-deterministic-inference is left out: " in note
    assert "aiter" in note
    assert MLA in note


def test_a_rehearsal_says_that_its_engine_has_no_such_argument() -> None:
    answer = plan(asking(facts, "deterministic_inference")).work.capabilities["deterministic_inference"]
    assert not answer.allowed
    assert "llama.cpp" in answer.why


def test_an_allowed_argument_goes_by_the_class_and_has_no_note() -> None:
    world = asking(mi300x, "mori_ep_memory")
    values = {}
    for hardware in ("mi300x", "mi325x"):
        made = plan(replace(world, hardware_class=hardware))
        values[hardware] = made.work.capabilities["mori_ep_memory"].args
        assert not any("left out: " in note and "mem-fraction" in note for note in made.notes)
    assert values == {"mi300x": ("--mem-fraction-static", "0.72"), "mi325x": ("--mem-fraction-static", "0.6")}


def test_a_plan_has_only_what_its_tests_ask_for() -> None:
    assert plan(asking(facts, "mori_ep_memory"), tests=("test_other.py",)).work.capabilities == {}


def test_an_id_without_a_row_stops_the_plan_and_names_test_and_file() -> None:
    with pytest.raises(UsageError) as caught:
        plan(asking(facts, "deterministic_inferense"))
    text = caught.value.render()
    assert f"{MLA}: asks for 'deterministic_inferense', which has no row for llamacpp on cpu" in text
    assert "did you mean 'deterministic_inference'" in text
    assert "capabilities.toml" in text


def test_the_harness_gets_the_answers() -> None:
    made = plan(asking(facts, "deterministic_inference"))
    spec = make_spec(made, run="r", run_dir="/r", token="t", known_features=())
    answer = spec["harness"]["capabilities"]["deterministic_inference"]
    assert set(answer) == {"args", "allowed", "why", "issue"}
