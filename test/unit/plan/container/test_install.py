"""What is installed in a container: which steps, with which commands, and when a step is done again."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci.catalog.dependencies import Dependencies
from ci.errors import InfrastructureError, UsageError
from ci.plan.container.aiter import AiterFact
from ci.plan.container.inside import CheckoutFacts, InsideFacts
from ci.plan.container.install import InstallSteps, Step, install_of, steps
from ci.plan.container.work import InstallWork
from ci.system.codec import canonical
from support.planning import catalog

PIN = "46e6c92b3e5f00112233445566778899aabbccdd"
AITER = AiterFact(version=f"0.1.6.dev3+g{PIN[:9]}", head=PIN, installed="", modified=False)
CHECKOUT = CheckoutFacts(
    tree="tree1",
    tree_source="git",
    files=frozenset({"kernels/setup_rocm.py"}),
    pins={"aiter@gfx942-rocm720": PIN, "aiter@gfx950-rocm720": PIN, "mori": "99990000"},
)
INSIDE = InsideFacts(
    python="/opt/venv/bin/python3",
    python_version="3.10.12",
    hip="7.2.1",
    torch_lib="/opt/torch/lib",
    stamp="gfx942-rocm720",
    variables={},
    programs={},
    dirs=frozenset({"/cache/pip"}),
    aiter=AITER,
)


def rows() -> Dependencies:
    return catalog().dependencies


def plan(**changes: Any) -> InstallWork:
    values = {"flavour": "rocm720", "family": "mi30x", "checkout": CHECKOUT, "overrides": {}, **changes}
    return install_of(rows(), **values)


def made(install: InstallWork | None = None, **inside: Any) -> InstallSteps:
    return steps(
        rows(),
        plan() if install is None else install,
        replace(INSIDE, **inside),
        limits=catalog().limits.deps,
    )


def by_id(found: InstallSteps) -> dict[str, Step]:
    return {step.id: step for step in found.steps}


def taken(found: InstallSteps) -> list[str]:
    return [step.id for step in found.steps if not step.skip]


def test_an_image_that_fits_gets_the_checkout_and_keeps_its_aiter() -> None:
    found = made()
    assert taken(found) == [
        "git-safe",
        "cache-owner",
        "pip",
        "remove-old",
        "kernels",
        "engine",
        "bench",
        "tiny-config",
        "extra",
        "last",
    ]
    step = by_id(found)
    assert step["kernels"].cwd == "/sglang-checkout/kernels"
    assert step["engine"].commands[-1] == (
        *("/opt/venv/bin/python3", "-m", "pip", "install"),
        *("-e", "/sglang-checkout/python[hip,tracing]"),
    )
    assert step["engine"].env == {"PIP_CACHE_DIR": "/cache/pip"}
    assert step["kernels"].product
    assert step["kernels"].attempts == 1
    assert step["aiter"].skip == f"the container has the pin {PIN[:12]} ({AITER.version})"
    assert step["eval"].skip == "the checkout has no pin eval"
    assert step["mori"].skip == "the container has no /sgl-workspace/mori"
    assert found.steps[-1].id == "last"


def test_a_moved_pin_builds_aiter_with_both_protections() -> None:
    old = replace(AITER, version="0.1.6.dev3+gc16d44b93", head="")
    step = by_id(made(aiter=old))
    assert step["aiter-source"].commands[1][-1] == PIN
    assert step["aiter"].env["AITER_USE_SYSTEM_TRITON"] == "1"
    assert step["aiter"].env["GPU_ARCHS"] == "gfx942"
    assert {"editable_mode=compat", "--no-build-isolation"} <= set(step["aiter"].commands[0])
    assert "triton" not in step["aiter"].announces


def test_uv_is_used_where_the_image_has_it_and_gets_the_images_constraints() -> None:
    found = made(programs={"uv": "/usr/bin/uv"}, variables={"PIP_CONSTRAINT": "/etc/torch.txt"})
    step = by_id(found)["last"]
    assert step.commands == (
        ("/usr/bin/uv", "pip", "install", "--python", INSIDE.python, "--upgrade", "last>=1.0"),
    )
    assert step.env == {"UV_CONSTRAINT": "/etc/torch.txt"}
    assert step.index_variable == "UV_DEFAULT_INDEX"
    assert by_id(found)["pip"].skip == "the image has uv"


def test_without_a_checkout_nothing_of_sglang_is_touched() -> None:
    found = made(plan(checkout=None))
    assert taken(found) == []
    assert "the image's own SGLang is tested" in by_id(found)["engine"].skip
    assert all(step.skip for step in found.steps)


def test_an_override_alone_builds_aiter() -> None:
    found = made(plan(checkout=None, overrides={"AITER_COMMIT_OVERRIDE": "abcdef123"}))
    assert taken(found) == ["aiter-remove", "aiter-source", "aiter"]


def test_a_rehearsal_image_has_no_steps() -> None:
    found = made(plan(flavour="rehearsal", family=""), stamp="", hip="")
    assert taken(found) == []
    assert {step.skip for step in found.steps} == {"not for rehearsal images"}


@pytest.mark.parametrize(
    ("inside", "flavour"),
    [
        ({"stamp": "gfx950-rocm720"}, "rocm720"),
        ({"stamp": "", "hip": "7.2.53211"}, "rocm720"),
        ({"stamp": "", "hip": "7.0.0"}, "rocm700"),
        ({"stamp": "", "hip": "7.2.4", "variables": {"PIP_CONSTRAINT": "/x"}}, "rocm724"),
        ({"stamp": "", "hip": "7.2.4", "variables": {"HSA_ENABLE_IPC_MODE_LEGACY": "1"}}, "rocm724"),
    ],
)
def test_an_image_whose_name_says_nothing_is_asked(*, inside: dict[str, Any], flavour: str) -> None:
    pins = {
        f"aiter@{gfx}{suffix}": PIN for gfx in ("gfx942", "gfx950") for suffix in ("", "-rocm720", "-rocm724")
    }
    found = made(plan(flavour="", checkout=replace(CHECKOUT, pins=pins)), **inside)
    assert found.flavour == flavour
    assert bool(found.notes) == (not inside["stamp"])


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ({"stamp": "gfx950-rocm720"}, "built by stage gfx950-rocm720, its name says gfx942-rocm720"),
        ({"stamp": "gfx1250-rocm1000"}, "a stage that no row has"),
    ],
)
def test_an_image_that_contradicts_its_name_is_refused(*, inside: dict[str, Any], says: str) -> None:
    with pytest.raises(InfrastructureError, match=says):
        made(plan(), **inside)


def test_nothing_says_what_an_image_is() -> None:
    with pytest.raises(InfrastructureError, match="nothing says which flavour"):
        made(plan(flavour="", checkout=None), stamp="", hip="6.4")


def test_a_stage_without_a_pin_is_a_usage_error_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="has no AITER_COMMIT_DEFAULT in its stage gfx942-rocm724"):
        plan(flavour="rocm724")
    assert plan(flavour="rocm724", overrides={"AITER_COMMIT_OVERRIDE": "abcdef1"}).overrides == {
        "aiter": "abcdef1"
    }


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"AMD_CI_AITER_REF": "abcdef1"}, {"aiter": "abcdef1"}),
        ({"AMD_CI_AITER_REF": ""}, {}),
        ({"AMD_CI_AITER_REF": "abcdef1", "AITER_COMMIT_OVERRIDE": "1234567"}, {"aiter": "1234567"}),
        ({"AMD_CI_AITER_REF": "abcdef1", "AITER_COMMIT_OVERRIDE": ""}, {"aiter": "abcdef1"}),
    ],
)
def test_an_input_of_the_workflows_overrides_as_the_variable_does(
    given: dict[str, str], taken: dict[str, str]
) -> None:
    assert plan(overrides=given).overrides == taken


def test_an_override_without_a_target_is_refused() -> None:
    install = plan(family="", checkout=None, overrides={"AITER_COMMIT_OVERRIDE": "abcdef1"})
    with pytest.raises(UsageError, match="nothing says by which Dockerfile stage"):
        made(install, stamp="")


def test_values_that_could_be_options_are_refused() -> None:
    with pytest.raises(UsageError, match="AITER_COMMIT_OVERRIDE"):
        plan(overrides={"AITER_COMMIT_OVERRIDE": "--force"})
    with pytest.raises(UsageError, match="which is an option"):
        plan(checkout=replace(CHECKOUT, pins={**CHECKOUT.pins, "mori": "--mirror"}))
    with pytest.raises(UsageError, match="unknown flavour 'rocm999'"):
        plan(flavour="rocm999")


def test_a_plan_of_other_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="other rows"):
        made(replace(plan(), rows="0123"))


def test_what_a_plan_says_is_the_same_every_time_and_names_no_secret() -> None:
    assert canonical(plan()) == canonical(plan())
    assert plan().alternative_index == "AMD_CI_ALTERNATIVE_INDEX"


@settings(max_examples=25)
@given(tree=st.text(min_size=1), pin=st.sampled_from([PIN, PIN[::-1]]), cache=st.booleans())
def test_equal_inputs_have_equal_digests_and_other_inputs_others(*, tree: str, pin: str, cache: bool) -> None:
    checkout = replace(CHECKOUT, tree=tree, pins={"aiter@gfx942-rocm720": pin})
    dirs = frozenset({"/cache/pip"} if cache else ())
    old = replace(AITER, version="0.1.5", head="")
    one, two = by_id(made(plan(checkout=checkout), dirs=dirs, aiter=old)), by_id(made(aiter=old))
    same_pin, same_cache = pin == PIN, cache
    assert (one["engine"].digest == two["engine"].digest) == (tree == "tree1" and same_cache)
    assert (one["aiter-source"].digest == two["aiter-source"].digest) == same_pin
    assert (one["aiter"].digest == two["aiter"].digest) == (same_pin and same_cache)


def test_an_unknown_tree_makes_its_steps_run_every_time() -> None:
    found = by_id(made(plan(checkout=replace(CHECKOUT, tree="", tree_source="git refuses"))))
    assert found["engine"].digest == ""


@settings(max_examples=40)
@given(
    family=st.sampled_from(["mi30x", "mi35x"]),
    uv=st.booleans(),
    dirs=st.frozensets(st.sampled_from(["/cache/pip", "/sgl-workspace/mori"])),
    version=st.sampled_from(["", "0.1.5", AITER.version]),
    checkout=st.booleans(),
)
def test_every_step_is_whole_or_says_why_it_is_left_out(
    *, family: str, uv: bool, dirs: frozenset[str], version: str, checkout: bool
) -> None:
    found = made(
        plan(family=family, checkout=CHECKOUT if checkout else None),
        stamp="",
        programs={"uv": "/uv"} if uv else {},
        dirs=dirs,
        aiter=AiterFact(version=version, head="", installed="", modified=False),
    )
    assert [step.id for step in found.steps] == [row.id for row in rows().steps]
    for step in found.steps:
        if not step.skip:
            texts = [step.cwd, *step.env.values(), *step.files.values(), *(word for argv in step.commands for word in argv)]  # fmt: skip
            assert all(texts)
            assert not [
                text for text in texts if "{python}" in text or "{pin" in text or "{repository" in text
            ]
            assert step.commands or step.files
