"""`nox -s workflows`: files that somebody edits, loses or adds."""

from dataclasses import replace
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.main import main
from ci.github.workflows.render import (
    ACTIONLINT,
    WORKFLOWS,
    find_stale,
    render,
    write,
)


class TestStale:
    """What happens to a file that somebody edits, loses or adds."""

    @pytest.fixture
    def checkout(self, own_tree: Path) -> Path:
        return own_tree

    def test_writing_makes_every_file(self, tmp_path: Path, catalog: Catalog) -> None:
        assert sorted(write(catalog, tmp_path)) == sorted(render(catalog))

    def test_writing_again_changes_nothing(
        self, checkout: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert write(catalog, checkout) == ()
        assert main(["workflows"]) == 0
        assert "nothing to write" in capsys.readouterr().err
        assert main(["workflows", "--check"]) == 0

    @pytest.mark.parametrize(
        ("file", "old", "new"),
        [
            ("amd-stage.yml", "    timeout-minutes: ${{ matrix.timeout_minutes }}\n", ""),
            ("amd-stage.yml", "${{ matrix.runner }}", "linux-south-1gpu"),
            ("amd-stage.yml", "if: always()", "if: success()"),
            ("amd-pr.yml", "persist-credentials: false", "persist-credentials: true"),
            ("amd-pr.yml", "permissions: {}", "permissions: write-all"),
            ("amd-nightly.yml", "15 20 * * *", "30 18 * * *"),
            ("amd-images.yml", "family: mi35x", "family: mi30x"),
            ("ci.yml", "session: faults, ", "session: bench, "),
        ],
    )
    def test_an_edit_by_hand_is_exit_9_with_the_diff(
        self, checkout: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str
    ) -> None:
        path = checkout / WORKFLOWS / file
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        assert path.read_text() != text
        removed = next(line for line in text.splitlines() if old.strip() in line)
        for command in (["workflows", "--check"], ["check"]):
            assert main(command) == 9
            shown = capsys.readouterr().err
            assert "error (exit 9)" in shown
            assert f"--- {WORKFLOWS}/{file}" in shown
            assert f"      +{removed}" in shown
            assert "next:  nox -s workflows" in shown
        assert main(["workflows"]) == 0
        assert f"written: {WORKFLOWS}/{file}" in capsys.readouterr().err
        assert path.read_text() == text

    def test_lost_added_and_unreadable_files_are_named_together(
        self, checkout: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = checkout / WORKFLOWS
        (folder / "ci.yml").unlink()
        (folder / "extra.yaml").write_text("on: push\n")
        (folder / "amd-pr.yml").write_bytes(b"\xff\xfe\n")
        (checkout / ACTIONLINT).write_text((checkout / ACTIONLINT).read_text().replace("\n", "\r\n"))
        assert main(["workflows", "--check"]) == 9
        shown = capsys.readouterr().err
        assert f"{WORKFLOWS}/ci.yml: is missing" in shown
        assert f"{WORKFLOWS}/extra.yaml: no row of actions.toml renders it" in shown
        assert "-\\xff\\xfe" in shown
        assert f"{ACTIONLINT}: is not what the catalog says\n      only line endings differ" in shown

    def test_a_row_that_changes_makes_its_files_stale(self, checkout: Path, catalog: Catalog) -> None:
        rows = catalog.actions
        changed = replace(rows, numbers={**rows.numbers, "artifact_days": 30})
        stale = find_stale(replace(catalog, actions=changed), checkout)
        assert f"{WORKFLOWS}/amd-stage.yml" in [each.path for each in stale]
        for each in stale:
            assert "-          retention-days: 5\n+          retention-days: 30" in each.diff

    def test_an_option_that_is_not_known_is_a_usage_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["workflows", "--chek"]) == 2
        assert "--chek: unknown option (did you mean '--check'" in capsys.readouterr().err
