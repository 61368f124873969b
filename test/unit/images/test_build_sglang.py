"""SGLang's images from a checkout's Dockerfile."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import UsageError
from ci.images.build_sglang import wanted_image
from ci.plan.facts import Known

SHA = "6e9bd8271a3f" + "0" * 28


class TestFromDockerfile:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker/rocm.Dockerfile").write_text("FROM scratch\n")
        return tmp_path

    def test_the_stage_and_the_commit_under_test_are_its_arguments(
        self, catalog: Catalog, checkout: Path
    ) -> None:
        commit = Known(value=SHA, source="git")
        wanted = wanted_image(catalog, checkout, commit, flavour="rocm720", family="mi35x")
        assert dict(wanted.arguments) == {"ARCH": "gfx950-rocm720", "COMMIT": SHA}
        assert wanted.tag.startswith("sglang-amd-ci/sglang:gfx950-rocm720-6e9bd8271a3f-")
        assert wanted.notes == ()

    def test_another_dockerfile_is_another_image(self, catalog: Catalog, checkout: Path) -> None:
        commit = Known(value=SHA, source="git")
        before = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        (checkout / "docker/rocm.Dockerfile").write_text("FROM scratch\n# changed\n")
        after = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        assert before.tag != after.tag

    def test_what_is_not_committed_is_not_in_it_and_that_is_reported(
        self, catalog: Catalog, checkout: Path
    ) -> None:
        commit = Known(value=f"{SHA}+dirty.0123456789ab", source="git")
        wanted = wanted_image(catalog, checkout, commit, flavour="rocm700", family="mi30x")
        assert wanted.arguments["COMMIT"] == SHA
        assert "changes that are not committed" in wanted.notes[0]

    @pytest.mark.parametrize(
        ("commit", "family", "words"),
        [
            ("", "mi30x", "unknown, because"),
            (SHA, "", "a machine without an AMD GPU"),
            (SHA, "mi99x", "no stage of"),
        ],
    )
    def test_what_cannot_be_built(
        self, catalog: Catalog, checkout: Path, commit: str, family: str, words: str
    ) -> None:
        known = Known(value=commit, source="unknown, because git says no")
        with pytest.raises(UsageError, match=words):
            wanted_image(catalog, checkout, known, flavour="rocm700", family=family)

    def test_a_tree_without_a_dockerfile(self, catalog: Catalog, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot read .*rocm\.Dockerfile"):
            wanted_image(catalog, tmp_path, Known(value=SHA, source=""), flavour="rocm700", family="mi30x")
