"""Secrets of the caller: under another name one would be in the plan, the log and the capsule, where nothing masks it."""

from collections.abc import Mapping

from ci.catalog.catalog import Catalog
from ci.catalog.envsets import is_secret
from ci.errors import Problem, UsageError
from ci.plan.request import Request

__all__ = ["refuse_secret_values", "secret_values"]

# a shorter value would be found by chance; the shortest token that services give has 16
_SECRET_CHARS = 8


def secret_values(catalog: Catalog, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables whose names say that they are secrets, those that hold something."""
    return {name: value for name, value in environ.items() if value and is_secret(name, catalog.secrets)}


def refuse_secret_values(catalog: Catalog, request: Request, environ: Mapping[str, str]) -> None:
    """Check that no option holds a secret of the environment. Values of a few characters are not looked for.

    Raises:
        UsageError: with every option that does.
    """
    known = secret_values(catalog, environ)
    secrets = {name: value for name, value in known.items() if len(value) >= _SECRET_CHARS}
    given = [(f"--env {name}", value) for name, value in request.env]
    given += [("pytest's arguments", word) for word in request.pytest_args]
    problems = [
        Problem(
            where=where, what=f"holds the value of {name}", hint="see [[pass_through]] in environment.toml"
        )
        for where, value in given
        for name, secret in secrets.items()
        if secret in value
    ]
    if problems:
        raise UsageError(
            "a secret would be in the plan",
            problems=problems,
            then="leave it in its own variable, which the tests get from your environment",
        )
