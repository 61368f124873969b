"""`./inv deps.plan` without a container: what is known from rows, an image's name and a checkout."""

import json
from pathlib import Path

import pytest

from ci.cli.deps import check_verb, plan_verb
from ci.cli.verb_options import DepsOptions
from ci.errors import UsageError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/rocm.Dockerfile").write_text(
        'FROM x AS gfx950-rocm720\nENV AITER_COMMIT_DEFAULT="46e6c92b3e"\nFROM y\nARG MORI_COMMIT="99990000"\n'
    )
    return tmp_path


@pytest.mark.processes
def test_an_images_name_says_flavour_and_family(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = "org/engine:v0.5.12-rocm720-mi35x-20260529"
    plan_verb({}, DepsOptions(image=image, checkout=str(checkout), json=True))
    printed = json.loads(capsys.readouterr().out)
    assert (printed["flavour"], printed["stage"]) == ("rocm720", "gfx950-rocm720")
    steps = {step["id"]: step for step in printed["steps"]}
    assert steps["aiter"]["env"]["GPU_ARCHS"] == "gfx950"
    assert printed["decision"] is None
    assert any("AITER is wanted at 46e6c92b3e" in note for note in printed["notes"])
    assert "the checkout has no kernel_dir" in steps["kernels"]["skip"]


@pytest.mark.processes
def test_reasons_and_sources_are_shown(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_verb({}, DepsOptions(rocm="720", family="mi35x", checkout=str(checkout)))
    out = capsys.readouterr().out
    assert "fixture#2" in out
    assert "eval: left out, the checkout has no pin eval" in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (DepsOptions(), "an image flavour is required"),
        (DepsOptions(rocm="999"), "unknown flavour 'rocm999'"),
        (DepsOptions(rocm="720", family="mi99"), "unknown family 'mi99'"),
        (DepsOptions(rocm="720", checkout="/no/such/tree"), "is not a folder"),
    ],
)
def test_invalid_options_are_refused(options: DepsOptions, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_verb({}, options)


def test_a_check_needs_a_container() -> None:
    with pytest.raises(UsageError, match="a container is required"):
        check_verb({}, DepsOptions())
