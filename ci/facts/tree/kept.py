"""What was read of a checkout before, kept by the content of the files that it was read from."""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from ci.catalog.catalog import Catalog
from ci.catalog.discovery import DiscoveryRules
from ci.catalog.hardware import HardwareCatalog
from ci.catalog.registrations.parse import Discovery, discover, registered_files
from ci.catalog.registrations.roots import require_sglang_tree
from ci.errors import Problem
from ci.facts.tree.gather import gather_tree, tree_files
from ci.plan.tree.follow import discovery_of_tree
from ci.plan.tree.model import TreeFacts
from ci.system.codec import DecodeError, decode, encode
from ci.system.file_digests import FileDigests
from ci.system.kept import KeptValues

__all__ = ["discover_kept", "gather_kept", "read_checkout"]

T = TypeVar("T")
_LAYOUT: Final = "sglang"
_ROOMS: Final = ("facts/tree", "plan/tree", "catalog/registrations")


def discover_kept(
    tree: Path,
    rules: DiscoveryRules,
    folder: Path | None,
    *,
    backends: Collection[str] = (),
) -> Discovery:
    """The registered tests of an SGLang checkout, as `discover` finds them; `folder` is the cache, None for none."""

    def read() -> Discovery:
        return discover(tree, rules, layout=_LAYOUT, backends=backends, whole=False)

    if folder is None:
        return read()

    def look() -> tuple[Sequence[str], object]:
        problems: list[Problem] = []
        files = [file for _, file in registered_files(tree, rules, _LAYOUT, problems)]
        return files, (repr(rules), sorted(backends), [str(each) for each in problems])

    return _kept(Discovery, tree, look, read, folder)


def read_checkout(
    catalog: Catalog, checkout: str, folder: Path | None
) -> tuple[Path, TreeFacts, DiscoveryRules]:
    """An SGLang checkout's folder, its own facts, and how its registered tests are found; `folder` is the cache, None for none.

    Raises:
        UsageError: it is not one.
    """
    root = Path(checkout).expanduser().absolute()
    require_sglang_tree(root, catalog.discovery)
    hardware = catalog.hardware
    facts = gather_tree(root, hardware) if folder is None else gather_kept(root, hardware, folder)
    return root, facts, discovery_of_tree(catalog.discovery, facts.registry)


def gather_kept(root: Path, hardware: HardwareCatalog, folder: Path) -> TreeFacts:
    """A checkout's own facts, as `gather_tree` reads them."""

    def look() -> tuple[Sequence[str], object]:
        return [str(path.relative_to(root)) for path in tree_files(root)], repr(hardware)

    return _kept(TreeFacts, root, look, lambda: gather_tree(root, hardware), folder)


def _kept(
    kind: type[T],
    root: Path,
    look: Callable[[], tuple[Sequence[str], object]],
    read: Callable[[], T],
    folder: Path,
) -> T:
    """What `read` gives for the content of some files; `look` names them, and what else it depends on."""
    digests, values = FileDigests(folder / "digests"), KeptValues(folder=folder / "trees")

    def key_now() -> str:
        files, what = look()
        content = digests.of_files(root, files, kind.__name__)
        return _digest(_version(), kind.__name__, str(root), files, what, content)

    key = key_now()
    if (data := values.get(key)) is not None:
        try:
            return decode(kind, json.loads(data))
        except (ValueError, DecodeError):
            pass  # written by another version, or damaged: read again
    found = read()
    # not where a file has changed while it was read
    if key_now() == key:
        values.put(key, json.dumps(encode(found)).encode())
    return found


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


@cache
def _version() -> str:
    """The digest of the code that reads: what another version has read is not taken."""
    top = Path(__file__).parents[2]
    paths = sorted(path for room in _ROOMS for path in (top / room).glob("*.py"))
    return hashlib.blake2b(b"".join(path.read_bytes() for path in paths)).hexdigest()
