"""The lines that repeat a source: what to type, by what each line is for."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.facts.git import commit_of
from ci.repro.source import Asked, Understood

__all__ = ["repeat_lines", "session_line", "tree_lines", "words_of"]


def repeat_lines(
    found: Understood, catalog: Catalog, *, checkout: str, failed_only: bool = False
) -> dict[str, str]:
    """The original command and that of the failed tests, of every command that failed; of a whole plan the first alone."""
    lines: dict[str, str] = {}
    if found.asked.stage:
        words = words_of(found.asked, found.failed_nodes, checkout, failed_only=failed_only)
        lines["the original command"] = session_line(catalog, found.asked.stage, words)
        if found.plan is None and _names_more(found.asked, found.failed_nodes, failed_only=failed_only):
            words = _only(found.asked, found.failed_nodes).arguments(checkout)
            lines["the failed tests"] = session_line(catalog, found.asked.stage, words)
    for each in found.more:
        nodes = tuple(node for _, node in each.failed)
        if each.asked.stage:
            words = words_of(each.asked, nodes, checkout, failed_only=failed_only)
            lines[each.what] = session_line(catalog, each.asked.stage, words)
            if _names_more(each.asked, nodes, failed_only=failed_only):
                words = _only(each.asked, nodes).arguments(checkout)
                lines[f"{each.what}, the failed tests"] = session_line(catalog, each.asked.stage, words)
    return lines


def session_line(catalog: Catalog, stage: str, words: Sequence[str]) -> str:
    """`nox -s SESSION -- WORDS` for a shell."""
    return shlex.join(("nox", "-s", catalog.stage(stage).session, *(("--", *words) if words else ())))


def words_of(asked: Asked, failed: Sequence[str], checkout: str, *, failed_only: bool) -> tuple[str, ...]:
    """The options of the session as originally called, or for the failed tests alone."""
    return (_only(asked, failed) if failed_only and not asked.tests else asked).arguments(checkout)


def tree_lines(found: Understood, checkout: str) -> dict[str, str]:
    """What to do when the tree here is not at the commit that failed."""
    wanted = found.asked.commit.partition("+")[0]
    if not (wanted and checkout) or found.plan is not None:
        return {}
    tree = Path(checkout).expanduser().absolute()
    here = commit_of(tree)
    if here.value and (here.value.startswith(wanted) or wanted.startswith(here.value)):
        return {}
    return {
        "note": f"the job ran SGLang at {wanted}, {tree} is at {here.text}",
        "its commit": shlex.join(("git", "-C", str(tree), "checkout", wanted)),
    }


def _names_more(asked: Asked, nodes: Sequence[str], *, failed_only: bool) -> bool:
    """Whether the failed tests are less than what was asked for."""
    return bool(nodes) and not asked.tests and not failed_only


def _only(asked: Asked, nodes: Sequence[str]) -> Asked:
    """The same for these tests alone."""
    return replace(asked, tests=tuple(dict.fromkeys(nodes)), shard=None, command=())
