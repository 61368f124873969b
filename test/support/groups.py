"""Which tests stay together when xdist hands them to several processes."""

from collections.abc import Iterable

import pytest

__all__ = ["keep_together"]


def keep_together(items: Iterable[pytest.Item]) -> None:
    """Group the tests for `--dist loadgroup`; call it from `pytest_collection_modifyitems`, before xdist's own.

    Those that use the fixture `engine` are two groups by the images that they need, and each process has an engine of
    its own. Tests of a file that use what is made once for the file share another; each of the rest goes to whichever
    process is free.
    """
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if "engine" in item.fixturenames:
            small = "small_image" in item.fixturenames
            item.add_marker(pytest.mark.xdist_group("docker with the small image" if small else "docker"))
        elif any(
            definitions[-1].scope in ("class", "module")
            for definitions in item._fixtureinfo.name2fixturedefs.values()
        ):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
