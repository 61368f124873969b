"""The catalog: the repository's own rows are sound, and every kind of bad row is reported with all the others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ci.catalog.catalog import load_catalog, read_catalog
from ci.catalog.envsets import ENVS_DIR
from ci.catalog.menu import menu
from ci.catalog.stages import CATALOG_DIR
from ci.errors import UsageError

Edit = Callable[[str, str, str], None]

# The design's table: SGLang name -> family, GPUs, shards, minutes a shard, seconds a file.
TABLE = {
    "stage-a-test-1-gpu-small-amd": ("mi30x", 1, 1, 30, 1200),
    "stage-b-test-1-gpu-small-amd": ("mi30x", 1, 14, 60, 2400),
    "stage-b-test-1-gpu-small-amd-nondeterministic": ("mi30x", 1, 1, 45, 1800),
    "stage-b-test-1-gpu-small-amd-mi35x": ("mi35x", 1, 1, 30, 1200),
    "stage-b-test-1-gpu-large-amd": ("mi30x", 1, 3, 45, 2700),
    "stage-b-test-2-gpu-large-amd": ("mi30x", 2, 2, 45, 2700),
    "stage-b-test-large-8-gpu-mi35x-disaggregation-amd": ("mi35x", 8, 1, 60, 1800),
    "stage-c-test-4-gpu-amd": ("mi30x", 4, 1, 90, 5400),
    "stage-c-test-large-8-gpu-amd": ("mi30x", 8, 3, 120, 5400),
    "stage-c-test-large-8-gpu-amd-mi35x": ("mi35x", 8, 2, 60, 3600),
    "nightly-amd-8-gpu-mi35x-deepseek-v4-flash": ("mi35x", 8, 1, 300, 7200),
    "nightly-amd-8-gpu-mi35x-deepseek-v4-pro": ("mi35x", 8, 1, 480, 14400),
}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the catalog and of the env sets, to be broken."""
    shutil.copytree(CATALOG_DIR, tmp_path / "catalog", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copytree(ENVS_DIR, tmp_path / "envs")
    return tmp_path / "catalog", tmp_path / "envs"


@pytest.fixture
def edit(folders: tuple[Path, Path]) -> Edit:
    """Replace the first occurrence of a text in a file; a text that is not there is a broken test."""

    def change(file: str, old: str, new: str) -> None:
        path = folders[0].parent / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    return change


def problems(folders: tuple[Path, Path]) -> list[str]:
    return [str(problem) for problem in read_catalog(*folders)[1]]


def test_our_own_rows_are_sound() -> None:
    catalog = load_catalog()
    assert {stage.session for stage in catalog.stages} == {
        "stage_a_amd",
        "stage_b_amd",
        "stage_c_amd",
        "nightly_dsv4_amd",
    }


@pytest.mark.parametrize("name", TABLE)
def test_suites_are_the_tables(name: str) -> None:
    suite = next(suite for suite in load_catalog().suites if suite.name == name)
    row = (suite.family, suite.gpus, suite.shards, suite.timeout_s / 60, suite.timeout_per_file_s)
    assert row == TABLE[name]


def test_stage_c_on_four_gpus_has_two_attempts_two_minutes_apart() -> None:
    suite = next(suite for suite in load_catalog().suites if suite.name == "stage-c-test-4-gpu-amd")
    assert (suite.attempts, suite.retry_wait_s) == (2, 120)


def test_the_dsv4_sets_are_those_of_the_report() -> None:
    sets = load_catalog().env_sets
    common = sets["deepseek_v4.COMMON_ENV_VARS"].variables
    assert len(common) == 19
    assert all(variable.why for variable in common)
    values = {variable.name: variable.value for variable in common}
    assert values["SGLANG_HACK_FLASHMLA_BACKEND"] == "triton"
    assert values["AITER_BF16_FP8_MOE_BOUND"] == "0"
    fp4, fp8 = (sets[f"deepseek_v4.{name}_ENV_VARS"].variables for name in ("FP4", "FP8"))
    assert [(one.name, one.value) for one in fp4] == [("SGLANG_DSV4_FP4_EXPERTS", "true")]
    assert [(one.name, one.value) for one in fp8] == [("SGLANG_DSV4_FP4_EXPERTS", "false")]


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("catalog/stages.toml", "shards = 14", "shards = 0", "shards: is 0 (must be at least 1)"),
        (
            "catalog/stages.toml",
            "timeout_min = 30",
            "timeout_min = -30",
            "timeout_min: is -30 (must be above 0)",
        ),
        ("catalog/stages.toml", "shards = 14", "shard = 14", "shard: unknown key (did you mean 'shards'"),
        ("catalog/stages.toml", "gpus = 1\n", 'gpus = "1"\n', "gpus: is '1', not a whole number"),
        (
            "catalog/stages.toml",
            'stage = "stage-b-amd"',
            'stage = "stage-d-amd"',
            "'stage-d-amd', which is not known",
        ),
        (
            "catalog/stages.toml",
            '"stage_c.FOUR_GPU"',
            '"stage_c.FOR_GPU"',
            "names env set 'stage_c.FOR_GPU' (did you mean",
        ),
        (
            "catalog/stages.toml",
            'name = "stage-b-test-1-gpu-large-amd"',
            'name = "stage-a-test-1-gpu-small-amd"',
            "stands there twice",
        ),
        ("catalog/stages.toml", 'family = "mi35x"', 'family = "mi36x"', "family: is 'mi36x', not known"),
        (
            "catalog/stages.toml",
            "timeout_per_file_s = 1200",
            "timeout_per_file_s = 7200",
            "has to fit into its shard's",
        ),
        ("catalog/stages.toml", 'id = "1-gpu-large"', 'id = "1-gpu-small"', "stands there twice in stage"),
        ("catalog/stages.toml", "[[suite]]", "[[siute]]", "siute: unknown table (did you mean 'suite'"),
        ("catalog/stages.toml", "gpus = 4", "gpus = 3", "no runner label of family mi30x has 3 GPUs"),
        ("catalog/stages.toml", "[[stage]]", "[[stage]", "is not TOML"),
        ("catalog/stages.toml", "gpus = 1\n", "gpus = true\n", "gpus: is True, not a whole number"),
        ("catalog/stages.toml", "timeout_min = 30", "timeout_min = nan", "not a finite number"),
        (
            "catalog/runners.toml",
            "in_force = true",
            "in_force = false",
            "0 rows of family mi30x are in force",
        ),
        (
            "catalog/runners.toml",
            'schedule = "mi325"',
            'schedule = "mi326"',
            "'mi326', which is not known (did you mean",
        ),
        (
            "catalog/runners.toml",
            'hardware = "mi325x"',
            'hardware = "mi326x"',
            "'mi326x', which is not known",
        ),
        ("catalog/hardware.toml", 'id = "cuda"', 'id = "mi355x"', "is a hardware class as well"),
        ("catalog/limits.toml", "value = 5\n", "value = -5\n", "value: is -5 (must be at least 0)"),
        ("catalog/limits.toml", 'source = "', 'sauce = "', "source: is missing"),
        ("catalog/verdicts.toml", "pattern = ", "pattern = '(' # ", "is not a regular expression"),
        (
            "catalog/verdicts.toml",
            'verdict = "infra"',
            'verdict = "cancelled"',
            "verdict: is 'cancelled', which no rule can give (known: bounds, device, hardware",
        ),
        (
            "catalog/verdicts.toml",
            'verdict = "infra"',
            'verdict = "infar"',
            "verdict: is 'infar', which is not known (did you mean",
        ),
        (
            "catalog/stages.toml",
            'verdict = "hardware"',
            'verdict = "product"',
            "verdict: is 'product', which is never tried again",
        ),
        (
            "catalog/engines.toml",
            'default_for = ["cpu"]',
            "default_for = []",
            "0 engines are the default for cpu",
        ),
        (
            "catalog/models.toml",
            'stand_in = "smollm2-135m"',
            'stand_in = "smollm3"',
            "'smollm3', which is not known",
        ),
        (
            "envs/base.toml",
            'SGLANG_IS_IN_CI = { value = "1"',
            "SGLANG_IS_IN_CI = { value = 1",
            "environment values are strings",
        ),
        (
            "envs/base.toml",
            "[BASE]\n",
            '[BASE]\nHF_TOKEN = { value = "x", why = "y" }\n',
            "looks like a secret and has a literal value",
        ),
        ("envs/base.toml", "[BASE]\n", '[BASE]\nX = "1"\n', 'write { value = "...", why = "..." }'),
        ("envs/base.toml", "[BASE]\n", '[BASE]\nX = { value = "1" }\n', "X.why: is missing"),
        ("envs/base.toml", "[MI35X]", "[mi35x]", "mi35x: is not a set"),
        (
            "envs/base.toml",
            "[BASE]\n",
            '[BASE]\n"A B" = { value = "1", why = "y" }\n',
            "is not a variable's name",
        ),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_a_hint(
    folders: tuple[Path, Path], edit: Edit, file: str, old: str, new: str, found: str
) -> None:
    edit(file, old, new)
    reported = problems(folders)
    assert any(found in text and text.startswith(file) for text in reported), reported


def test_every_problem_of_every_file_is_reported_at_once(folders: tuple[Path, Path], edit: Edit) -> None:
    edit("catalog/stages.toml", "shards = 14", "shards = 0")
    edit("catalog/runners.toml", 'schedule = "mi325"', 'schedule = "mi326"')
    edit("catalog/limits.toml", "value = 5\n", "value = -5\n")
    (folders[1] / "stage_c.toml").unlink()
    with pytest.raises(UsageError) as caught:
        load_catalog(*folders)
    text = caught.value.render()
    for part in ("stages.toml", "runners.toml", "limits.toml", "stage_c.FOUR_GPU"):
        assert part in text
    assert "nox -s check" in text


def test_missing_and_unreadable_files_are_problems_not_crashes(folders: tuple[Path, Path]) -> None:
    (folders[0] / "models.toml").unlink()
    (folders[0] / "engines.toml").write_bytes(b'[[engine]]\nid = "\xff"\n')
    for path in folders[1].glob("*.toml"):
        path.unlink()
    reported = problems(folders)
    assert any("models.toml: the file is missing" in text for text in reported)
    assert any("engines.toml: is not UTF-8" in text for text in reported)
    assert any("envs/: holds no env set" in text for text in reported)


def test_the_menu_says_gpus_shards_and_minutes() -> None:
    rows = {row.name: row for row in menu()}
    assert "1 GPU mi30x, 14 shards, 60 min" in rows["stage_b_amd(1-gpu-small)"].title
    assert rows["stage_b_amd"].suite == ""
    assert "1-8 GPUs" in rows["stage_b_amd"].title


def test_a_menu_that_can_t_be_read_lists_its_problems(folders: tuple[Path, Path], edit: Edit) -> None:
    edit("catalog/stages.toml", "shards = 14", "shards = 0")
    edit("catalog/stages.toml", "shards = 3", "shards = -3")
    with pytest.raises(UsageError) as caught:
        menu(folders[0])
    assert len(caught.value.problems) == 2
