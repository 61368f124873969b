"""What the image verbs print: the image and why no other, each hop of a pull, a mirror's copy, what was pruned."""

import json

import pytest

from ci.images.pull import Hop, Pulled
from ci.images.store import Mirrored, OldImage
from ci.plan.container.image import Candidate
from ci.record.events import Note, PhaseProgress, SuiteEnded
from ci.report.views.images import (
    show_image,
    show_mirrored,
    show_old_images,
    show_progress,
    show_pulled,
)
from support.containers import DIGEST, image

MIB = 1 << 20


def words(text: str) -> str:
    return " ".join(text.split())


class TestTheImage:
    def test_it_is_shown_with_what_was_refused_and_why(self, capsys: pytest.CaptureFixture[str]) -> None:
        candidates = (
            Candidate(tag="v2-rocm720", refused="another flavour", count=7),
            Candidate(tag="v1-rocm700", refused=""),
        )
        found = image(candidates=candidates, size_bytes=3 * MIB, age_days=2, local=("x:y would fit",))
        show_image({}, found, as_json=False)
        out = words(capsys.readouterr().out)
        assert "v2-rocm720 7 another flavour v1-rocm700 1 taken" in out
        assert f"image {found.reference}" in out
        assert f"pinned {found.pinned}" in out
        assert "size 3.0 MiB" in out
        assert "age 2 days, stale after 3" in out
        assert "local store: x:y would fit" in out
        assert "warning" not in out
        assert "unresolved" not in out

    def test_one_that_is_unresolved_has_the_reason_and_no_image(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lost = image(
            config_digest="", manifest_digest="", size_bytes=0, age_days=None, problem="the registry is down"
        )
        show_image({}, lost, as_json=False)
        out = words(capsys.readouterr().out)
        assert "unresolved the registry is down" in out
        for absent in (lost.reference, "pinned", "size", "age", "candidates"):
            assert absent not in out

    def test_its_notes_and_its_age_are_warnings(self, capsys: pytest.CaptureFixture[str]) -> None:
        show_image({}, image(notes=("no label",), age_days=9), as_json=False)
        out = words(capsys.readouterr().out)
        assert "warning: no label" in out
        assert "warning: STALE IMAGE" in out

    def test_for_machines_it_is_one_object_and_people_read_standard_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        show_image({}, image(age_days=9), as_json=True)
        out, err = capsys.readouterr()
        data = json.loads(out)
        assert (data["config_digest"], data["pinned"], data["stale"]) == (DIGEST, image().pinned, True)
        assert "STALE IMAGE" in err


class TestProgress:
    @pytest.mark.parametrize(
        ("event", "line"),
        [
            (Note(text="mirror: none"), "mirror: none\n"),
            (
                PhaseProgress(phase="pull", text="layers", done=3 * MIB, total=8 * MIB, rate=2 * MIB),
                "layers, 3.0 of 8.0 MiB, 2.0 MiB/s\n",
            ),
            (
                PhaseProgress(phase="pull", text="layers", done=None, total=None, rate=None),
                "layers, 0.0 MiB\n",
            ),
            (SuiteEnded(suite="s", duration_s=1), ""),
        ],
    )
    def test_a_step_is_a_line_on_standard_error(
        self, event: Note | PhaseProgress | SuiteEnded, line: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        show_progress(event)
        assert capsys.readouterr() == ("", line)


class TestPullsAndCopies:
    PULLED = Pulled(
        local_id="sha256:1",
        hop="registry",
        hops=(Hop(name="mirror", what="refused"), Hop(name="registry", what="pulled")),
    )

    def test_every_hop_of_a_pull_is_named_with_its_result(self, capsys: pytest.CaptureFixture[str]) -> None:
        show_pulled({}, image(), self.PULLED, as_json=False)
        assert capsys.readouterr().out.splitlines() == [
            "mirror: refused",
            "registry: pulled",
            "sha256:1 is in the local store",
        ]
        show_pulled({}, image(), self.PULLED, as_json=True)
        data = json.loads(capsys.readouterr().out)
        assert (data["local_id"], data["hop"], data["pinned"]) == ("sha256:1", "registry", image().pinned)

    @pytest.mark.parametrize(
        ("pushed", "how"), [(True, "pushed and verified"), (False, "already there, verified")]
    )
    def test_a_copy_is_named_with_its_digests(
        self, capsys: pytest.CaptureFixture[str], *, pushed: bool, how: str
    ) -> None:
        copy = Mirrored(
            reference="lan:5000/x:y", manifest_digest="sha256:m", config_digest="sha256:c", pushed=pushed
        )
        show_mirrored({}, copy, as_json=False)
        assert words(capsys.readouterr().out) == f"lan:5000/x:y: {how}, manifest sha256:m, config sha256:c"
        show_mirrored({}, copy, as_json=True)
        assert json.loads(capsys.readouterr().out)["pushed"] is pushed


class TestPruning:
    IMAGES = (
        OldImage(id="1", names=("x:a", "x:b"), age_days=40, size_bytes=5 * MIB, kept=""),
        OldImage(id="2", names=("x:c",), age_days=1, size_bytes=MIB, kept="one of the newest 2"),
    )

    def test_a_dry_run_says_what_would_go_and_a_real_one_what_went(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        show_old_images({}, self.IMAGES, 0, dry=True, as_json=False)
        assert capsys.readouterr().out.splitlines() == [
            "x:a, x:b (40 days, 5.0 MiB): would go",
            "x:c (1 days, 1.0 MiB): stays: one of the newest 2",
            "1 images would be removed, 5.0 MiB at most: layers are shared",
        ]
        show_old_images({}, self.IMAGES, 2 * MIB, dry=False, as_json=False)
        assert capsys.readouterr().out.splitlines()[::2] == [
            "x:a, x:b (40 days, 5.0 MiB): removed",
            "1 images were removed, 2.0 MiB are free again",
        ]

    def test_for_machines_both_kinds_are_in_one_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        show_old_images({}, self.IMAGES, 7, dry=True, as_json=True)
        data = json.loads(capsys.readouterr().out)
        assert [row["kept"] for row in data["images"]] == ["", "one of the newest 2"]
        assert (data["freed_bytes"], data["dry"]) == (7, True)
