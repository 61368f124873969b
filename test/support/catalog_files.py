"""The catalog that tests plan with, `test/support/catalog`: small, with numbers and names of its own."""

import shutil
from functools import cache
from pathlib import Path

from ci.catalog.catalog import Catalog, load_catalog, read_catalog

__all__ = ["CATALOG_DIR", "ENVS_DIR", "CatalogCopy", "catalog", "repository_catalog"]

CATALOG_DIR = Path(__file__).parent / "catalog"
ENVS_DIR = CATALOG_DIR / "envs"
_REPOSITORY = Path(__file__).parents[2]


@cache
def catalog() -> Catalog:
    """The rows of `test/support/catalog`."""
    return load_catalog(CATALOG_DIR, ENVS_DIR)


@cache
def repository_catalog() -> Catalog:
    """The repository's own rows; a test that reads them is marked `live_rows`."""
    return load_catalog(_REPOSITORY / "ci/catalog", _REPOSITORY / "envs")


class CatalogCopy:
    """A copy of the files, to be broken: `catalog/*.toml` and `envs/*.toml` below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = folder / "catalog"
        self.envs = folder / "envs"
        shutil.copytree(CATALOG_DIR, self.rows, ignore=shutil.ignore_patterns("envs"))
        shutil.copytree(ENVS_DIR, self.envs)

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace the first occurrence of a text in a file, e.g. `catalog/stages.toml`; one that does not exist is a broken test."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    def problems(self) -> list[str]:
        """Everything that is wrong with the copy."""
        return [str(problem) for problem in read_catalog(self.rows, self.envs)[1]]
