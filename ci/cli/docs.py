"""`nox -s docs`: write what the documentation has from the code, or compare it."""

import sys
from collections.abc import Sequence

from ci.catalog.catalog import load_catalog
from ci.cli.options import Parser
from ci.errors import StaleError, writing
from ci.facts.gather import REPOSITORY
from ci.report.reference.schemas import render_schemas
from ci.system.generated import stale_files, write_files

__all__ = ["docs"]

_COMMAND = "nox -s docs"


def docs(arguments: Sequence[str]) -> int:
    """Write schemas and reference pages into docs/; `--check` writes nothing.

    Raises:
        UsageError: the options or the catalog is invalid.
        StaleError: `--check`, and a file is not what the code says.
        InfrastructureError: a file cannot be written.
    """
    parser = Parser(prog=f"{_COMMAND} --", description="Write the schemas and the reference pages in docs/.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail with the diff of what is stale"
    )
    known = parser.read(arguments)
    files = render_schemas(load_catalog().reader.kinds)
    if known.check:
        stale = stale_files(files, REPOSITORY, what="is not what the code says")
        if stale:
            raise StaleError(
                "the reference in docs/ is stale", problems=[file.problem for file in stale], then=_COMMAND
            )
        return 0
    with writing(REPOSITORY / "docs", then=f"fix that, then: {_COMMAND}"):
        written = write_files(files, REPOSITORY)
    for path in written:
        sys.stderr.write(f"written: {path}\n")
    return 0
