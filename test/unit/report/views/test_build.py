"""What `./inv image.build` prints: steps for people on standard error, the result on standard output."""

import json

import pytest

from ci.record.events import Note, PhaseProgress
from ci.report.views.build import BuildView, show_built
from support.containers import DIGEST, image

BUILT = image(
    reference="amd-ci/rehearsal:x", labels={"ci.python": "3.11", "maintainer": "y"}, size_bytes=3 << 20
)


@pytest.mark.parametrize(("as_json", "log"), [(False, "    step 1\n"), (True, "")])
def test_steps_are_lines_on_standard_error_and_the_builders_own_only_for_people(
    capsys: pytest.CaptureFixture[str], *, as_json: bool, log: str
) -> None:
    view = BuildView(json=as_json)
    view.show(Note(text="base: x\ny"))
    view.log("\x1b[31mstep 1\x1b[0m")
    view.show(PhaseProgress(phase="image-build", text="step", done=1, total=3))
    view.close()
    out, err = capsys.readouterr()
    assert out == ""
    first, *rest = err.splitlines(keepends=True)
    assert "base: x" in first
    assert "y" in first
    assert "".join(rest[:-1]) == log
    assert "1" in rest[-1]
    assert "3" in rest[-1]


def test_the_result_has_our_labels_and_the_line_that_runs_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_built({}, BUILT, as_json=False)
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert f"image amd-ci/rehearsal:x digest {DIGEST}" in words
    assert "size 3 MiB" in words
    assert "ci.python 3.11" in words
    assert "maintainer" not in words
    assert (
        out.splitlines()[-1]
        == "run on it: nox -s stage_a_amd -- --executor docker --image amd-ci/rehearsal:x"
    )


def test_for_machines_it_is_one_object_with_all_labels(capsys: pytest.CaptureFixture[str]) -> None:
    show_built({}, BUILT, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert (data["reference"], data["config_digest"]) == ("amd-ci/rehearsal:x", DIGEST)
    assert data["labels"] == dict(BUILT.labels)
