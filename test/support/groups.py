"""Which tests stay together when xdist hands them to several processes."""

from collections.abc import Iterable

import pytest

__all__ = ["keep_together"]


def keep_together(items: Iterable[pytest.Item]) -> None:
    """Group the tests for `--dist loadgroup`; call it from `pytest_collection_modifyitems`.

    Those that use the fixture `engine` are two groups by the images that they need, and each process has an engine of
    its own. Tests of a file that use what is made once for the file share another; each of the rest goes to whichever
    process is free.
    """
    for item in items:
        group = _group(item)
        if group and item.config.getoption("loadgroup", default=False):
            # xdist 3.8 writes the group of `xdist_group` where pytest 9.2 no longer reads it: pytest-dev/pytest-xdist#1386
            item._id = type(item.id).parse(f"{item.nodeid}@{group}")


def _group(item: pytest.Item) -> str:
    if not isinstance(item, pytest.Function):
        return ""
    if "engine" in item.fixturenames:
        return "docker-small" if "small_image" in item.fixturenames else "docker"
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return item.path.stem if any(each[-1].scope in ("class", "module") for each in definitions) else ""
