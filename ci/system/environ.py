"""The one door to the environment of this process."""

import os
import re
from collections.abc import Mapping
from datetime import date

from ci.errors import UsageError

__all__ = ["OTEL", "TODAY", "VARIABLE_NAME", "exports_telemetry", "read_environ", "tried_today"]

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Tries a date: what will `check` and the plans say on that day?
TODAY = "AMD_CI_TODAY"
# Sends a run's spans and metrics to the endpoint that OpenTelemetry's own variables name.
OTEL = "AMD_CI_OTEL"
_OFF = ("", "0", "false", "no", "off")


def read_environ() -> Mapping[str, str]:
    """A copy of the environment; everything else takes it as an argument."""
    return dict(os.environ)


def exports_telemetry(environ: Mapping[str, str]) -> bool:
    """Whether `AMD_CI_OTEL` is set to anything but no, and OpenTelemetry's own switch does not say otherwise."""
    return (
        environ.get(OTEL, "").lower() not in _OFF and environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
    )


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
