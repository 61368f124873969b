"""Plans for an engine whose environment is made here."""

from dataclasses import replace

import pytest

from ci.errors import UsageError
from ci.plan.compare import capsule
from ci.plan.engine_build import EngineBuild, EnginePlace, EngineSource, EngineWork
from ci.plan.facts import EngineFact, Facts, Known
from ci.plan.model import Plan
from support.planning import catalog, facts, planned, registration, request

RUNS, NEEDS_GPU = "test/registered/a.py", "test/registered/known_gpu.py"
ROWS = [registration(RUNS), registration(NEEDS_GPU)]
BUILD = EngineBuild(
    work=EngineWork(
        source=EngineSource.CHECKOUT,
        environment="e" * 64,
        requirements=("transformers==9.9.9 --hash=sha256:00",),
        kernels="k" * 64,
        weights="w" * 64,
    ),
    place=EnginePlace(path=("/made/bin",), pythonpath=(), hf_home="/made/hub", folders=("/made",)),
    ready=True,
    notes=("not pinned here: the layer",),
)
FACT = EngineFact(python="/made/bin/python3", python_version="3.12", engine_version="", source="made here")
TREE = Known(value="c" * 40, source="git")


def on_sglang(**changes: object) -> Facts:
    given = facts(ROWS, engine_build=BUILD, engines={"sglang": FACT}, checkout=TREE)
    return replace(given, **changes)  # type: ignore[arg-type]  # the keywords are those of Facts


def test_what_stands_in_is_part_of_the_work_and_its_digest() -> None:
    plan = planned(catalog(), on_sglang(), request(engine="sglang"))
    other = replace(BUILD, work=replace(BUILD.work, weights="x" * 64))
    assert plan.work.engine_build == BUILD.work
    assert "not pinned here: the layer" in plan.notes
    assert planned(catalog(), on_sglang(engine_build=other), request(engine="sglang")).digest != plan.digest
    elsewhere = replace(BUILD, place=replace(BUILD.place, path=("/other/bin",)))
    assert (
        planned(catalog(), on_sglang(engine_build=elsewhere), request(engine="sglang")).digest == plan.digest
    )


def test_servers_get_the_arguments_and_tests_the_variables_of_the_engines_service() -> None:
    plan = planned(catalog(), on_sglang(), request(engine="sglang"))
    assert plan.work.engine_args == ("--device", "cpu")
    assert plan.work.limits.launch_s == 90
    assert {suite.env["SGLANG_ON_CPU"] for suite in plan.work.suites} == {"1"}
    assert "sglang_cpu.SERVER" in plan.sources["work.suites.1-gpu-small.env.SGLANG_ON_CPU"]


def test_servers_get_what_this_version_needs_after_the_arguments_of_its_service() -> None:
    build = replace(BUILD, arguments=("--grammar-backend", "other"))
    plan = planned(catalog(), on_sglang(engine_build=build), request(engine="sglang"))
    assert plan.work.engine_args == ("--device", "cpu", "--grammar-backend", "other")
    assert "sglang.toml" in plan.sources["work.engine_args"]


def test_models_are_asked_for_by_their_own_names_and_sized_as_their_stand_ins() -> None:
    models = planned(catalog(), on_sglang(), request(engine="sglang")).work.models
    assert models["org/small-model"].path == "org/small-model"
    assert models["org/small-model"].stand_in is not None


def test_only_runnable_leaves_out_what_is_known_to_need_a_gpu_with_the_reason() -> None:
    rows = catalog()
    known = rows.cpu_tests.needs_gpu[0]
    listed = [registration(RUNS), registration(known.test)]
    given = on_sglang(tests=facts(listed).tests)
    plan = planned(rows, given, request(engine="sglang", only_runnable=True))
    assert [test.id for suite in plan.work.suites for test in suite.tests] == [RUNS]
    (left,) = [row for row in plan.left_out if row.test == known.test]
    assert known.why in left.because
    assert planned(rows, given, request(engine="sglang")).work.tests == 2


def test_a_file_that_waits_without_end_is_left_out_unless_it_is_named() -> None:
    rows = catalog()
    endless = next(row for row in rows.cpu_tests.needs_gpu if row.endless)
    given = on_sglang(tests=facts([registration(RUNS), registration(endless.test)]).tests)
    plan = planned(rows, given, request(engine="sglang"))
    assert [test.id for suite in plan.work.suites for test in suite.tests] == [RUNS]
    (left,) = [row for row in plan.left_out if row.test == endless.test]
    assert left.because == f"waits without end for a GPU: {endless.why}; --test {endless.test} runs it"
    named = planned(rows, given, request(engine="sglang", tests=(endless.test,)))
    assert [test.id for suite in named.work.suites for test in suite.tests] == [endless.test]


@pytest.mark.parametrize(
    ("asked", "option"), [({"sglang": "0.5.23"}, "--sglang"), ({"only_runnable": True}, "--only runnable")]
)
def test_an_option_of_the_made_environment_is_invalid_without_one(
    asked: dict[str, object], option: str
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(catalog(), facts(ROWS), replace(request(), **asked))  # type: ignore[arg-type]  # as above
    assert f"{option}: has no effect with engine llamacpp on cpu" in caught.value.render()


def test_the_capsule_brings_it_back() -> None:
    plan = planned(catalog(), on_sglang(), request(engine="sglang"))
    found: Plan | None = capsule.decode(capsule.encode(plan), limit_bytes=1 << 20).plan
    assert found is not None
    assert found.work == plan.work
