"""`./inv engine.list` and `./inv engine.remove`: what was made to run the real SGLang on a CPU."""

from collections.abc import Mapping
from datetime import timedelta

from ci.engine.folders import ENGINES, list_made, remove_made
from ci.report.console import print_json, say
from ci.report.views.engines import show_made, show_removed
from ci.system import clock
from ci.system.file_lock import cache_dir

__all__ = ["list_verb", "remove_verb"]


def list_verb(environ: Mapping[str, str], *, as_json: bool) -> None:
    """Show it all."""
    found = list_made(cache_dir(environ) / ENGINES)
    if not as_json:
        show_made(environ, found)
        return
    print_json(
        [
            {
                "folder": str(one.folder),
                "size_bytes": one.size_bytes,
                "shared_bytes": one.shared_bytes,
                "used": clock.iso(one.used),
                "finished": one.finished,
            }
            for one in found
        ]
    )


def remove_verb(environ: Mapping[str, str], *, everything: bool, older_days: int) -> None:
    """Remove what is unfinished or was not used for some days, or everything.

    Raises:
        InfrastructureError: some of it is in use, or cannot be removed.
    """
    since = clock.utc_now() - timedelta(days=older_days)
    removed = remove_made(
        cache_dir(environ) / ENGINES,
        lambda made: everything or not made.finished or made.used < since,
        tell=say,
    )
    show_removed(environ, removed)
