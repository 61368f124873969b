"""The catalog: every kind of bad row is reported with all the others, each with its file, key and a hint."""

import pytest

from ci.catalog.catalog import Catalog, load_catalog, read_catalog
from ci.errors import UsageError
from support.catalog_files import CatalogCopy

STAGES, RUNNERS, BASE = "catalog/stages.toml", "catalog/runners.toml", "envs/base.toml"


def test_an_unchanged_copy_has_no_problem(catalog_copy: CatalogCopy) -> None:
    assert catalog_copy.problems() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        (STAGES, "shards = 5", "shards = 0", "shards: is 0 (must be at least 1)"),
        (STAGES, "timeout_min = 20", "timeout_min = -20", "timeout_min: is -20 (must be above 0)"),
        (STAGES, "timeout_min = 20", "timeout_min = nan", "not a finite number"),
        (STAGES, "shards = 5", "shard = 5", "shard: unknown key (did you mean 'shards'"),
        (STAGES, "gpus = 1\n", 'gpus = "1"\n', "gpus: is '1', not a whole number"),
        (STAGES, "gpus = 1\n", "gpus = true\n", "gpus: is true, not a whole number (e.g. gpus = 1)"),
        (STAGES, 'stage = "stage-b-amd"', 'stage = "stage-d-amd"', "stage: unknown stage 'stage-d-amd' (did you mean"),
        (STAGES, '"stage_c.FOUR_GPU"', '"stage_c.FOR_GPU"', "env_sets: unknown env set 'stage_c.FOR_GPU' (did you mean"),
        (STAGES, 'name = "stage-b-test-2-gpu-amd"', 'name = "stage-a-test-1-gpu-small-amd"', "appears twice (first in line"),
        (STAGES, 'id = "2-gpu"', 'id = "1-gpu-small"', "appears twice in stage"),
        (STAGES, 'family = "mi35x"', 'family = "mi36x"', "family: unknown hardware family 'mi36x'"),
        (STAGES, "timeout_per_file_s = 900", "timeout_per_file_s = 7200", "must fit into its shard's"),
        (STAGES, "[[suite]]", "[[siute]]", "siute: unknown table (did you mean 'suite'"),
        (STAGES, "[[stage]]", "[[stage]", "invalid TOML"),
        (RUNNERS, "in_force = true", "in_force = false", "0 rows of family mi30x are in force"),
        (RUNNERS, 'schedule = "south"', 'schedule = "sout"', "unknown pool 'sout' (did you mean"),
        (RUNNERS, 'hardware = "mi325x"', 'hardware = "mi326x"', "unknown hardware class 'mi326x'"),
        ("catalog/hardware.toml", 'id = "cuda"', 'id = "mi355x"', "is a hardware class as well"),
        ("catalog/limits.toml", "value = 5,", "value = -5,", "value: is -5 (must be at least 0)"),
        ("catalog/limits.toml", 'source = "', 'sauce = "', "source: is missing"),
        ("catalog/verdicts.toml", "pattern = ", "pattern = '(' # ", "is not a regular expression"),
        (
            "catalog/verdicts.toml",
            'verdict = "infra"',
            'verdict = "passed"',
            "verdict: is 'passed', which no rule can give (known: bounds, cancelled, device",
        ),
        ("catalog/verdicts.toml", 'verdict = "infra"', 'verdict = "infar"', "verdict: unknown value 'infar' (did you mean"),
        (STAGES, 'verdict = "hardware"', 'verdict = "product"', "verdict: is 'product', which is never tried again"),
        ("catalog/engines.toml", "default = true\nlaunch_s = 60", "launch_s = 60", "0 engines are the default for cpu"),
        ("catalog/models.toml", 'stand_in = "tiny"', 'stand_in = "tinny"', "unknown stand-in 'tinny'"),
        (BASE, 'IN_CI = { value = "1"', "IN_CI = { value = 1", "IN_CI.value: is 1, not a string"),
        (BASE, "[BASE]\n", '[BASE]\nGITHUB_ENV = { value = "x", why = "y" }\n', "GITHUB_ENV: is for the steps of a job"),
        (BASE, "[BASE]\n", '[BASE]\nHF_TOKEN = { value = "x", why = "y" }\n', "looks like a secret and has a literal"),
        (BASE, "[BASE]\n", '[BASE]\nX = "1"\n', 'write { value = "...", why = "..." }'),
        (BASE, "[BASE]\n", '[BASE]\nX = { value = "1" }\n', "X.why: is missing"),
        (BASE, "[WEST]", "[west]", "west: is not a set"),
        (RUNNERS, 'schedule = "south"', 'schedule = "west"', "routing[by-event].family: is 'mi30x', but pool 'west' is of"),
        ("catalog/changes.toml", 'suites = ["kernel-unit-test-amd"]\n', "", "suites: does not fit selects = 'suites'"),
        ("catalog/containers.toml", 'hardware = ["cpu"]', 'hardware = ["mi300x"]', "profile: cpu has none"),
        ("catalog/containers.toml", '"host"\nhardware = ["cpu"]', '"host"\nhardware = []', "default: cpu needs exactly one row"),
        ("catalog/images.toml", 'gpu_arch = "gfx942"\n', 'gpu_arch = "gfx942"\nx = 1\n', "target[gfx942].x: unknown key"),
        ("catalog/images.toml", 'family = "mi30x"', 'family = "mi35x"', "target: no row for rocm700 on mi30x (add a [[target]])"),
        ("catalog/limits.toml", '"report.tail_lines", value = 30', '"report.tail_lines", value = 0.5', "value: is 0.5, not a whole"),
        ("catalog/limits.toml", '"report.tail_lines"', '"report.tails_lines"', "unknown limit 'report.tails_lines' (did you mean"),
        ("catalog/limits.toml", '    { id = "report.tail_lines", value = 30', "    # ", "limit: report.tail_lines is missing"),
        ("catalog/actions.toml", '[[number]]\nid = "set_up_min"', '[[number]]\nid = "plan_min"', "number: set_up_min is missing"),
        (
            "catalog/dependencies.toml",
            "[[alternative_index]]",
            '[[alternative_index]]\nid = "b"\nvariable = "B"\nwhy = "w"\nsource = "s"\n[[alternative_index]]',
            "alternative_index: has 2 rows",
        ),
        ("catalog/hardware.toml", "pci_id = 0x74b5", "pci_id = 0x74a1", "pci_id"),
        (BASE, "[BASE]\n", '[BASE]\n"A B" = { value = "1", why = "y" }\n', "invalid variable name"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_its_file_and_a_hint(
    catalog_copy: CatalogCopy, file: str, old: str, new: str, found: str
) -> None:
    catalog_copy.replace(file, old, new)
    reported = catalog_copy.problems()
    assert any(found in text and text.startswith(file) for text in reported), reported


def test_a_file_of_env_sets_has_a_plain_name(catalog_copy: CatalogCopy) -> None:
    (catalog_copy.envs / "Base-2.toml").write_text("")
    assert catalog_copy.problems() == [
        "envs/Base-2.toml: invalid file name (lower case letters, digits and underscores)"
    ]


def test_an_invalid_row_is_not_a_reason_to_report_what_refers_to_it(catalog_copy: CatalogCopy) -> None:
    """Neither what names it, nor that one of its kind is missing."""
    for file, old, new in (
        ("catalog/engines.toml", 'package = "', 'packge = "'),
        ("catalog/hardware.toml", 'family = "mi35x"', 'family = "mi35x"\nx = 1'),
        ("catalog/runners.toml", "[[pool]]", "[[pool]]\nx = 1"),
        ("catalog/dependencies.toml", 'family = "mi30x"', 'family = "mi30x"\nx = 1'),
        ("catalog/images.toml", 'id = "rocm700"', 'id = "rocm700"\nx = 1'),
    ):
        catalog_copy.replace(file, old, new)
    assert {problem.partition(": ")[2].partition(" (")[0] for problem in catalog_copy.problems()} == {
        "engine[sglang].packge: unknown key",
        "engine[sglang].package: is missing",
        "class[mi355x].x: unknown key",
        "pool[north].x: unknown key",
        "target[mi30x].x: unknown key",
        "flavour[rocm700].x: unknown key",
    }


def test_every_problem_of_every_file_is_reported_at_once(catalog_copy: CatalogCopy) -> None:
    catalog_copy.replace(STAGES, "shards = 5", "shards = 0")
    catalog_copy.replace(RUNNERS, 'schedule = "south"', 'schedule = "sout"')
    catalog_copy.replace("catalog/limits.toml", "value = 5,", "value = -5,")
    (catalog_copy.envs / "stage_c.toml").unlink()
    with pytest.raises(UsageError) as caught:
        load_catalog(catalog_copy.rows, catalog_copy.envs)
    text = caught.value.render()
    for part in ("stages.toml", "runners.toml", "limits.toml", "stage_c.FOUR_GPU"):
        assert part in text
    assert "nox -s check" in text


def test_missing_and_unreadable_files_are_problems(catalog_copy: CatalogCopy) -> None:
    (catalog_copy.rows / "models.toml").unlink()
    (catalog_copy.rows / "engines.toml").write_bytes(b'[[engine]]\nid = "\xff"\n')
    for path in catalog_copy.envs.glob("*.toml"):
        path.unlink()
    reported = catalog_copy.problems()
    assert any("models.toml: the file is missing" in text for text in reported)
    assert any("engines.toml: is not UTF-8" in text for text in reported)
    assert any("envs/: holds no env set" in text for text in reported)


class TestLookUps:
    def test_a_stage_has_two_names_and_an_unknown_one_gets_the_nearest(self, catalog: Catalog) -> None:
        for stage in catalog.stages:
            assert catalog.stage(stage.id) is catalog.stage(stage.session) is stage
        with pytest.raises(UsageError) as caught:
            catalog.stage("stage-b-adm")
        assert "stage-b-amd" in caught.value.cause

    def test_the_suites_of_a_stage_are_in_the_catalogs_order(self, catalog: Catalog) -> None:
        found = [suite.id for stage in catalog.stages for suite in catalog.suites_of(stage.id)]
        assert found == [suite.id for suite in catalog.suites]
        assert all(suite.stage == "stage-b-amd" for suite in catalog.suites_of("stage-b-amd"))

    def test_what_follows_from_a_hardware_class(self, catalog: Catalog) -> None:
        assert [catalog.family_of(name) for name in ("mi300x", "mi355x", "cpu")] == ["mi30x", "mi35x", "cpu"]
        assert (catalog.default_engine("cpu"), catalog.default_engine("mi300x")) == ("llamacpp", "sglang")
        for name in ("cpu", "mi300x", "mi355x"):
            assert name in catalog.containers.default_for(name).hardware
            assert name in catalog.containers.profile_for(name, fabric=False).hardware
        assert catalog.containers.profile_for("mi355x", fabric=True).fabric
        assert not catalog.containers.profile_for("mi355x", fabric=False).fabric

    def test_a_flavour_and_its_stage_of_the_dockerfile_find_each_other(self, catalog: Catalog) -> None:
        images = catalog.images
        assert images.default_flavour.default
        for row in images.targets:
            assert images.target(row.flavour, row.family) is row
            assert images.flavour_of_stage(row.gpu_arch) == row.flavour
        assert images.target("rocm700", "mi99x") is None
        assert images.flavour_of_stage("gfx000") == ""

    def test_a_catalog_with_an_invalid_row_is_not_sound(
        self, catalog_copy: CatalogCopy, catalog: Catalog
    ) -> None:
        assert catalog.sound
        assert not catalog.may_exist("x", ["y"])
        assert catalog.may_exist("y", ["y"])
        catalog_copy.replace("catalog/stages.toml", "gpus = 2\n", "gpus = 0\n")
        rows, _ = read_catalog(catalog_copy.rows, catalog_copy.envs)
        assert not rows.sound


def test_a_file_of_env_sets_that_is_not_toml_is_one_problem(catalog_copy: CatalogCopy) -> None:
    path = catalog_copy.envs / "base.toml"
    path.write_text(path.read_text() + "x = [\n")
    _, problems = read_catalog(catalog_copy.rows, catalog_copy.envs)
    assert len(problems) == 1, problems
    assert "invalid TOML" in str(problems[0])
