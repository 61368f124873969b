"""The rows of images.toml: mirrors, and every bad row."""

import pytest

from ci.catalog.images import mirror_for
from support.catalog_files import CatalogCopy, catalog

IMAGES = catalog().images


def test_a_mirror_is_of_a_pool_unless_the_variable_says_otherwise() -> None:
    address, source = mirror_for(IMAGES, "north", {})
    assert address == "192.0.2.2:5000"
    assert "new" in source
    assert mirror_for(IMAGES, "", {})[0] == ""
    assert mirror_for(IMAGES, "", {"LOCAL_DOCKER_REGISTRY": "h:1"}) == ("h:1", "LOCAL_DOCKER_REGISTRY")
    assert mirror_for(IMAGES, "north", {"LOCAL_DOCKER_REGISTRY": ""})[0] == ""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("(?P<date>", "(?P<day>", "has no group date"),
        ("default = true\n", "", "0 rows are the default"),
        ('rocm = "720"', 'rocm = "7.x"', "rocm: invalid value '7.x'"),
        ('gpu_arch = "gfx950-rocm724"', 'gpu_arch = "gfx950-rocm724x"', "gpu_arch: invalid value"),
        ('families = ["mi35x"]', 'families = ["mi36x"]', "unknown hardware family 'mi36x'"),
        (
            'since = "2026-01-10"',
            'in_force = true\nsince = "2026-01-10"',
            "2 rows of pool north are in force",
        ),
        ('scope = "public"', 'scope = "all"', "scope: unknown value 'all'"),
        ("retry = false\n", "", "retry: is missing"),
        ("look_back_days = 7", "look_back_days = 0", "must be at least 1"),
        ('api = "https://', 'api = "http://', "api: invalid value"),
        ('address = "192.0.2.1:5000"', 'address = "http://192.0.2.1:5000"', "address: invalid value"),
    ],
)
def test_bad_rows_are_found(catalog_copy: CatalogCopy, old: str, new: str, found: str) -> None:
    catalog_copy.replace("catalog/images.toml", old, new)
    assert any(found in problem for problem in catalog_copy.problems())
