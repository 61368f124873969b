"""Who we are at a registry: credentials out of the environment, by the rows that name their variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci.catalog.images import ImageCatalog

__all__ = ["Credentials", "credentials_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are; `source` names the variables, never their values."""

    username: str = field(repr=False)
    token: str = field(repr=False)
    source: str


def credentials_for(
    images: ImageCatalog, registry: str, environ: Mapping[str, str]
) -> tuple[Credentials | None, str]:
    """The credentials of the environment for a registry, and a note about halves of them.

    The public registry, and what replaces it, has rows of its own; the rows for overrides hold for every registry.
    """
    public = registry in (images.registry, environ.get(images.registry_variable, ""))
    for row in sorted(images.logins, key=lambda row: row.scope != "public"):
        if row.scope == "public" and not public:
            continue
        username, token = environ.get(row.username, ""), environ.get(row.token, "")
        if username and token:
            source = f"{row.username} and {row.token}"
            return Credentials(username=username, token=token, source=source), ""
        if username or token:
            there, missing = (row.username, row.token) if username else (row.token, row.username)
            return None, f"{there} is set and {missing} is not: no login"
    return None, ""
