"""The one door to the environment of this process."""

import os
from collections.abc import Mapping
from datetime import date

from ci.errors import UsageError

__all__ = ["TODAY", "read_environ", "tried_today"]

# Tries a date: what will `check` and the plans say on that day?
TODAY = "AMD_CI_TODAY"


def read_environ() -> Mapping[str, str]:
    """A copy of the environment; everything else takes it as an argument."""
    return dict(os.environ)


def tried_today(environ: Mapping[str, str]) -> date | None:
    """The date of `AMD_CI_TODAY`, None when it is not set.

    Raises:
        UsageError: it holds something else than a date.
    """
    text = environ.get(TODAY, "")
    if not text:
        return None
    try:
        # fromisoformat alone would also take 20260529 and 2026-W22-5
        if len(text) == len("2026-05-29") and text[4] == text[7] == "-":
            return date.fromisoformat(text)
    except ValueError:
        pass  # reported below
    raise UsageError(
        f"{TODAY} is {text!r}, not a date",
        cause="a date is YYYY-MM-DD",
        then=f"{TODAY}=2026-05-29 nox -s check",
    )
