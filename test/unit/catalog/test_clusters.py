"""`clusters.toml`: every problem of a row at once, with its line."""

from pathlib import Path

import pytest

from support.catalog_files import CatalogCopy


@pytest.fixture
def rows(tmp_path: Path) -> CatalogCopy:
    return CatalogCopy(tmp_path)


def test_the_rows_of_the_fixture_are_sound(rows: CatalogCopy) -> None:
    assert rows.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("nodes = 2\nnodes_max = 3", "nodes = 5\nnodes_max = 3", "is 5, more than nodes_max = 3"),
        ("gpus_per_node = 8\n", "", "is missing or 0, and mi300x is a class with GPUs"),
        ('gres = "gpu:mi300x"\n', "", 'e.g. gres = "gpu"'),
        ('gres = "gpu:mi300x"', 'gres = "gpu:8"', "without a number"),
        ('hardware = "cpu"', 'hardware = "cpu"\ngpus_per_node = 2', "is 2, and cpu has no GPUs"),
        ('hardware = "cpu"', 'hardware = "mi300"', "did you mean"),
        ('runtime = "host"', 'runtime = "hsot"', "unknown runtime 'hsot'"),
        ('shared = "/shared/runs"', 'shared = "runs"', "an absolute path"),
        ('partition = "gpu"', 'partition = "gpu; rm"', "names with commas between them"),
        ('partition = "gpu"', 'partitoin = "gpu"', "did you mean 'partition'"),
        ('inner = "host"', 'inner = "slurm"', "is 'slurm', which no node has (one of host, docker)"),
        (
            '"{run}"',
            '"{runs}"',
            "argument 8 holds the unknown field {runs} (one of {image}, {root}, {tree}, {run})",
        ),
    ],
)
def test_a_problem_has_its_place_and_a_hint(rows: CatalogCopy, old: str, new: str, expected: str) -> None:
    rows.replace("catalog/clusters.toml", old, new)
    found = [problem for problem in rows.problems() if expected in problem]
    assert found, rows.problems()
    assert "clusters.toml:" in found[0]


def test_all_problems_are_named_at_once(rows: CatalogCopy) -> None:
    for old, new in (("nodes = 2", "nodes = 9"), ('runtime = "docker"', 'runtime = "podman"')):
        rows.replace("catalog/clusters.toml", old, new)
    assert len(rows.problems()) == 2
