"""`nox -s docs`: draw what is drawn from the code, or compare it."""

from collections.abc import Sequence

from ci.cli.options import Parser
from ci.errors import InfrastructureError, StaleError
from ci.facts.gather import REPOSITORY
from ci.nox import architecture
from ci.report.console import say

__all__ = ["docs"]


def docs(arguments: Sequence[str]) -> int:
    """Draw the picture of docs/architecture.md; `--check` writes nothing.

    Raises:
        UsageError: invalid options.
        StaleError: `--check`, and the picture does not show the code.
        InfrastructureError: it cannot be written.
    """
    parser = Parser(
        prog=f"{architecture.COMMAND} --", description="Draw the pictures in docs/ from the code."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a picture is stale")
    known = parser.read(arguments)
    if known.check:
        if stale := architecture.stale(REPOSITORY):
            raise StaleError(
                "the picture of the rooms does not show the code", problems=stale, then=architecture.COMMAND
            )
        return 0
    try:
        changed = architecture.write(REPOSITORY)
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {architecture.PICTURE}: {error.strerror}",
            cause="the checkout is read-only or owned by another user",
            then=f"fix that, then: {architecture.COMMAND}",
        ) from error
    say(f"written: {architecture.PICTURE}" if changed else "nothing to write: the picture shows the code")
    return 0
