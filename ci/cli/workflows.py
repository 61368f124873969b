"""`nox -s workflows`: write the rendered files, or compare them with the catalog."""

import sys
from collections.abc import Sequence

from ci.catalog.catalog import Catalog, load_catalog
from ci.cli.options import Parser
from ci.errors import InfrastructureError, StaleError
from ci.facts.gather import REPOSITORY
from ci.github.workflows.render import COMMAND, find_stale, write

__all__ = ["workflows", "workflows_parser"]


def workflows_parser() -> Parser:
    """The options of `nox -s workflows`."""
    parser = Parser(prog=f"{COMMAND} --", description="Render .github/ from the catalog.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail with the diff of what is stale"
    )
    return parser


def workflows(arguments: Sequence[str]) -> int:
    """Render the workflows; `--check` writes nothing.

    Raises:
        UsageError: the options or the catalog is invalid.
        StaleError: `--check`, and a file is not what the catalog says.
        InfrastructureError: a file cannot be written.
    """
    known = workflows_parser().read(arguments)
    catalog = load_catalog()
    if known.check:
        _check_rendered(catalog)
        return 0
    try:
        written = write(catalog, REPOSITORY)
    except OSError as error:
        raise InfrastructureError(
            f"cannot write the workflows: {error.strerror}: {error.filename}",
            cause="the checkout is read-only or belongs to another user",
            then=f"fix that, then: {COMMAND}",
        ) from error
    for path in written:
        sys.stderr.write(f"written: {path}\n")
    if not written:
        sys.stderr.write("nothing to write: every file is what the catalog says\n")
    return 0


def _check_rendered(catalog: Catalog) -> None:
    """Compare the committed files with the catalog.

    Raises:
        StaleError: with the diff of every file that is stale.
    """
    stale = find_stale(catalog, REPOSITORY)
    if stale:
        raise StaleError(
            "the workflows are not what the catalog says",
            problems=[file.problem for file in stale],
            cause="a row was edited and nothing rendered, or a rendered file was edited by hand",
            then=COMMAND,
        )
