"""What a step hands to later jobs and to the run's page: the files that GITHUB_OUTPUT and GITHUB_STEP_SUMMARY name."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ci.errors import writing

__all__ = ["add_summary", "set_outputs"]


def set_outputs(environ: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Set the outputs of this step; nothing outside Actions. A value may hold any lines.

    Raises:
        InfrastructureError: the file cannot be written: later jobs would take the outputs for empty.
    """
    _append(environ, "GITHUB_OUTPUT", "".join(_output(name, value) for name, value in values.items()))


def add_summary(environ: Mapping[str, str], text: str) -> None:
    """Add Markdown to the run's page; nothing outside Actions.

    Raises:
        InfrastructureError: the file cannot be written.
    """
    _append(environ, "GITHUB_STEP_SUMMARY", text)


def _output(name: str, value: str) -> str:
    # the mark that ends a value must not occur in it: a digest of the value cannot
    mark = f"end-{hashlib.sha256(value.encode(errors='surrogateescape')).hexdigest()[:32]}"
    return f"{name}<<{mark}\n{value}\n{mark}\n"


def _append(environ: Mapping[str, str], variable: str, text: str) -> None:
    if not environ.get(variable):
        return
    path = Path(environ[variable])
    with (
        writing(path, then=f"{variable} names it: run the job again"),
        path.open("a", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write(text)
