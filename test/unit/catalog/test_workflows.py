"""The rows of actions.toml: every bad row."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.catalog.decode import Reader
from ci.catalog.workflows import ActionsCatalog, load_actions
from support.catalog_files import CATALOG_DIR


class TestRows:
    """What is wrong with `actions.toml` is named, all of it."""

    def load(self, folder: Path, edit: Mapping[str, str]) -> tuple[ActionsCatalog, str]:
        text = (CATALOG_DIR / "actions.toml").read_text()
        for old, new in edit.items():
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "actions.toml").write_text(text)
        reader = Reader(folder)
        found = load_actions(reader, families=("mi30x", "mi35x"))
        return found, "\n".join(map(str, reader.problems))

    @pytest.mark.parametrize(
        ("old", "new", "shown"),
        [
            ('hash = "1111', 'hash = "v6 # 1111', "action[actions/checkout].hash: invalid value 'v6 #"),
            ('crons = ["0 12 * * *"]', 'crons = ["noon"]', "workflow[amd-images].crons[0]: invalid value 'noon' (five fields"),
            ('kind = "own"', 'kind = "mine"', "workflow[ci].kind: unknown value 'mine' (known: docs, images, own"),
            ('options = ["700", "720", "724"]', "options = []", "input[rocm]: options do not fit type 'choice'"),
            ('kinds = ["stage"]', 'kinds = ["stages"]', "secret[HF_TOKEN].kinds[0]: unknown value 'stages' (did you mean 'stage'"),
            ('families = ["mi30x", "mi35x"]', 'families = ["mi40x"]', "image[700].families: unknown hardware family 'mi40x'"),
            ('id = "set_up_min"', 'id = "setup_min"', "number[setup_min].id: unknown value 'setup_min' (did you mean 'set_up_min'"),
            ("value = 30", "value = 0", "number[set_up_min].value: is 0"),
            ('files = ["amd-images.yml"]', 'files = ["amd-image.yml"]', "ignore[secrets-outside-env].files"),
            ('why = "gated models"', "", "secret[HF_TOKEN].why: is missing"),
            ('id = "control"', 'id = "image-mirror"', "appears twice"),
            ("[[tree]]", "[[trees]]", "tree: has 0 rows (write exactly one [[tree]])"),
            ('kind = "stage"', 'kind = "own"', "workflow: no row of kind stage"),
            ('id = "astral-sh/setup-uv"', 'id = "astral/setup-uv"', "id: unknown value 'astral/setup-uv' (did you mean 'astral-sh/setup-uv'?)"),
            ('why = "a finding', 'why = "one\\na finding', "ignore[self-repository].why: invalid value"),
        ],
    )  # fmt: skip
    def test_a_fault_is_named(self, tmp_path: Path, old: str, new: str, shown: str) -> None:
        _, problems = self.load(tmp_path, {old: new})
        assert shown in problems

    def test_all_at_once(self, tmp_path: Path) -> None:
        _, problems = self.load(tmp_path, {"value = 30": "value = 0", 'kind = "own"': 'kind = "mine"'})
        assert len(problems.splitlines()) == 2

    def test_limits_of_a_job_hold_set_up_suite_and_clean_up(self, catalog: Catalog) -> None:
        rows = catalog.actions
        assert rows.step_limit_min(3600) == 60 + 30
        assert rows.job_limit_min(3600) == 60 + 30 + 8
