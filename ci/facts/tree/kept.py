"""What was read of a checkout before, kept by the content that it was read from.

The tests of a tree are a thousand files. Their times and sizes say that nothing has changed since a moment at which no change
could have been missed: the times of a file that changed less than two seconds before it was read may hide a second change, so
until then the content itself is compared.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from ci.catalog.discovery import DiscoveryRules
from ci.catalog.hardware import HardwareCatalog
from ci.catalog.registrations.parse import Discovery, discover, registered_files
from ci.errors import Problem
from ci.facts.tree.gather import gather_tree, tree_files
from ci.plan.tree.model import TreeFacts
from ci.system.clock import wall_ns
from ci.system.codec import DecodeError, decode, encode
from ci.system.kept import KeptValues

__all__ = ["discover_kept", "gather_kept"]

_LAYOUT: Final = "sglang"
_SETTLED_NS: Final = 2_000_000_000
_ROOMS: Final = ("facts/tree", "plan/tree", "catalog/registrations")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What was found; `content` is the digest of the files, `settled` when their times alone prove it."""

    content: str
    settled: bool
    found: Discovery


def discover_kept(
    tree: Path,
    rules: DiscoveryRules,
    folder: Path | None,
    *,
    backends: Collection[str] = (),
) -> Discovery:
    """The registered tests of an SGLang checkout, as `discover` finds them; `folder` is the cache, None for none."""
    if folder is None:
        return discover(tree, rules, layout=_LAYOUT, backends=backends, whole=False)
    kept = KeptValues(folder=folder / "discovery")
    problems: list[Problem] = []
    files = [file for _, file in registered_files(tree, rules, _LAYOUT, problems)]
    now_ns = wall_ns()
    times, newest_ns = _times(tree, files)
    key = _digest(
        _version(), str(tree), repr(rules), sorted(backends), [str(each) for each in problems], times
    )
    settled = newest_ns + _SETTLED_NS < now_ns
    entry = _entry(kept.get(key))
    if entry is not None and (entry.settled or entry.content == _content(tree, files)):
        if settled and not entry.settled:
            _keep(kept, key, entry.content, entry.found, settled=True)
        return entry.found
    read = hashlib.blake2b()
    found = discover(tree, rules, layout=_LAYOUT, backends=backends, whole=False, on_read=read.update)
    _keep(kept, key, read.hexdigest(), found, settled=settled)
    return found


def gather_kept(root: Path, hardware: HardwareCatalog, folder: Path) -> TreeFacts:
    """A checkout's own facts, as `gather_tree` reads them; they are kept by the content of every file that is read."""
    kept = KeptValues(folder=folder / "trees")
    files = {
        str(path.relative_to(root)): hashlib.blake2b(_bytes(path)).hexdigest() for path in tree_files(root)
    }
    key = _digest(_version(), str(root), repr(hardware), files)
    data = kept.get(key)
    if data is not None:
        try:
            return decode(TreeFacts, json.loads(data))
        except (ValueError, DecodeError):
            pass  # written by another version, or damaged: read again
    facts = gather_tree(root, hardware)
    kept.put(key, json.dumps(encode(facts)).encode())
    return facts


def _times(tree: Path, files: Iterable[str]) -> tuple[list[Any], int]:
    """What the file system says of each file, and the newest time among them."""
    rows: list[Any] = []
    newest = 0
    top = f"{tree}/"
    for file in files:
        try:
            stat = os.stat(top + file)  # noqa: PTH116 - a thousand times, and a Path costs more than the call
        except OSError:
            rows.append((file, None))
            continue
        rows.append((file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    return rows, newest


def _content(tree: Path, files: Iterable[str]) -> str:
    """The digest of what the files hold, as `discover` reads them."""
    read = hashlib.blake2b()
    for file in files:
        read.update(_bytes(tree / file))
    return read.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _entry(data: bytes | None) -> _Entry | None:
    try:
        return None if data is None else decode(_Entry, json.loads(data))
    except (ValueError, DecodeError):
        return None


def _keep(kept: KeptValues, key: str, content: str, found: Discovery, *, settled: bool) -> None:
    entry = _Entry(content=content, settled=settled, found=found)
    kept.put(key, json.dumps(encode(entry)).encode())


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


@cache
def _version() -> str:
    """The digest of the code that reads: what another version has read is not taken."""
    top = Path(__file__).parents[2]
    paths = sorted(path for room in _ROOMS for path in (top / room).glob("*.py"))
    return hashlib.blake2b(b"".join(path.read_bytes() for path in paths)).hexdigest()
