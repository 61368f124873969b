"""Which of our stages a suite of a checkout lies in."""

from fnmatch import fnmatchcase

from ci.catalog.catalog import Catalog

__all__ = ["stage_for"]


def stage_for(catalog: Catalog, suite: str) -> str:
    """The stage whose pattern of names fits best, the longest one; empty when none fits."""
    fitting = [
        (len(pattern), stage.id)
        for stage in catalog.stages
        for pattern in stage.suites_like
        if fnmatchcase(suite, pattern)
    ]
    return max(fitting, key=lambda each: each[0])[1] if fitting else ""
