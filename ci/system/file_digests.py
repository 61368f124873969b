"""What is in files on disk: SHA-256 of whole folders or of some files, read again only where something about a file has changed.

What was read is kept by a file's inode, size, mtime and ctime. A file that changes while it is read, or that changed so
shortly before that its times may not show the next change, is not kept. The cache is one file a folder, put in place whole:
processes that write it at once do not disturb each other, and one that is damaged is as one that is missing.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Final

from ci.system import clock
from ci.system.kept import KeptValues

__all__ = ["FileDigests", "digest_of_files"]

# Bytecode and other tools' caches; `.git` is told by the commit.
_LEFT_OUT: Final = frozenset({"__pycache__", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_BYTECODE: Final = ".pyc"
# What tests leave beside themselves.
_LOGS: Final = ".log"
_MODULES: Final = frozenset({".py", ".pyc", ".so"})
# The coarsest times of a file system that this has to bear.
_SETTLED_NS: Final = 2_000_000_000
# A file that never rests is taken as it was the last time.
_TRIES: Final = 3
_KEPT_FOLDERS: Final = 128

# A file's path below its folder to its SHA-256, or to a word for what cannot be read.
Digests = Mapping[str, str]


# A file's path below its folder, what its cached digest goes by, and a word in its place for what is not a file.
_Seen = tuple[str, str, str]


class FileDigests:
    """Digests of folders, kept in a folder of the cache. `now_ns` is the wall clock, as files' times are."""

    def __init__(self, cache: Path, *, now_ns: Callable[[], int] = clock.wall_ns) -> None:
        self._kept = KeptValues(folder=cache, most=_KEPT_FOLDERS)
        self._now_ns = now_ns

    def of_folder(self, folder: Path, *, skip: frozenset[str] = frozenset()) -> str:
        """SHA-256 over names and contents of all files in a folder, without bytecode; of nothing when it is missing.

        Links that lead out of it are followed. A file counts as a folder that holds it alone. `skip` are names at its top.
        """
        return self._of(
            folder, "all", sorted(each for each in _walk(folder) if each[0].partition("/")[0] not in skip)
        )

    def of_modules(self, folder: Path) -> str:
        """The same over the modules that stand in a folder itself."""
        return self._of(folder, "modules", sorted(_modules(folder)))

    def of_files(self, folder: Path, files: Iterable[str], what: str) -> str:
        """The same over some files, by their paths below a folder; `what` is their cache's name."""
        return self._of(folder, what, [_of_file(f"{folder}/{file}", file) for file in sorted(files)])

    def _of(self, folder: Path, what: str, seen: list[_Seen]) -> str:
        signature = _sha256("\0".join(map("\0".join, seen)))
        key = _key_of_folder(folder, what)
        digest, kept = _read(self._kept.get(key), signature)
        if digest:
            return digest
        found = self._digests(folder, seen, kept)
        digest = digest_of_files({path: sha256 for path, (_, sha256) in found.items()})
        settled = {path: [key, sha256] for path, (key, sha256) in found.items() if key}
        whole = all(found[path][0] == key for path, key, _ in seen)
        self._kept.put(key, _written(signature if whole else "", digest, settled))
        return digest

    def files(self, folder: Path, *, skip: frozenset[str] = frozenset()) -> Digests:
        """The digest of each file of a folder."""
        seen = sorted(each for each in _walk(folder) if each[0].partition("/")[0] not in skip)
        _, kept = _read(self._kept.get(_key_of_folder(folder, "all")), "")
        return {path: sha256 for path, (_, sha256) in self._digests(folder, seen, kept).items()}

    def _digests(
        self, folder: Path, seen: list[_Seen], kept: Mapping[str, list[str]]
    ) -> dict[str, tuple[str, str]]:
        """Key and SHA-256 of each file; the key is empty where it must not be kept."""
        found: dict[str, tuple[str, str]] = {}
        for path, key, word in seen:
            known = kept.get(path)
            if word:
                found[path] = ("", word)
            elif known is not None and known[0] == key:
                found[path] = (key, known[1])
            else:
                found[path] = self._hash(folder / path)
        return found

    def _hash(self, path: Path) -> tuple[str, str]:
        key, digest = "", ""
        for _ in range(_TRIES):
            try:
                with path.open("rb") as file:
                    began_ns, before = self._now_ns(), os.fstat(file.fileno())
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    after = os.fstat(file.fileno())
            except OSError as error:
                return "", f"unreadable: {error.errno}"
            if _key(before) == _key(after):
                settled = max(before.st_mtime_ns, before.st_ctime_ns) < began_ns - _SETTLED_NS
                key = _key(before) if settled else ""
                break
        return key, digest


def _key_of_folder(folder: Path, what: str) -> str:
    """It goes by the folder's inode, so that it is still known after it was renamed."""
    try:
        found = folder.stat()
    except OSError:
        name = f"{folder}"
    else:
        name = f"{found.st_dev}:{found.st_ino}"
    return f"{_sha256(f'{name}:{what}')[:24]}.json"


def digest_of_files(files: Digests) -> str:
    """SHA-256 over names and contents."""
    return _sha256("".join(f"{path}\0{sha256}\0" for path, sha256 in sorted(files.items())))


def _of_file(path: str, file: str) -> _Seen:
    try:
        return _seen(file, os.stat(path))  # noqa: PTH116 - a thousand times, and a Path costs more than the call
    except OSError as error:
        return file, "", f"unreadable: {error.errno}"


def _modules(folder: Path) -> Iterator[_Seen]:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix in _MODULES and path.is_file():
                yield _seen(path.name, path.stat())


def _walk(root: Path) -> Iterator[_Seen]:
    waiting, entered = [("", str(root))], set[str]()
    while waiting:
        below, folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except NotADirectoryError:
            yield _seen("", root.stat())
            continue
        except FileNotFoundError:
            continue
        except OSError as error:
            yield below or ".", "", f"unreadable: {error.errno}"
            continue
        names = {entry.name for entry in entries}
        for entry in entries:
            path = below + entry.name
            if entry.name in _LEFT_OUT or entry.name.endswith(_LOGS):
                continue
            try:
                if not entry.is_dir():
                    if not _is_bytecode_of_source(entry.name, names):
                        yield _seen(path, entry.stat())
                elif not (entry.is_symlink() and _was_entered(entry.path, root, entered)):
                    waiting.append((f"{path}/", entry.path))
                else:
                    yield path, "", f"link to {Path(entry.path).readlink()}"
            except OSError:
                yield path, "", "leads nowhere"


def _was_entered(link: str, root: Path, entered: set[str]) -> bool:
    """Whether a linked folder is read in another place: below the root, or by an earlier link. Links may go round."""
    target, top = os.path.realpath(link), os.path.realpath(root)
    if target in entered or os.path.commonpath((target, top)) in (target, top):
        return True
    entered.add(target)
    return False


def _is_bytecode_of_source(name: str, names: set[str]) -> bool:
    """Bytecode beside its source is never imported; without a source it is what Python imports."""
    return name.endswith(_BYTECODE) and f"{name.removesuffix(_BYTECODE)}.py" in names


def _seen(path: str, found: os.stat_result) -> _Seen:
    if not S_ISREG(found.st_mode):
        return path, "", "not a file"
    return path, _key(found), ""


def _key(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _read(data: bytes | None, signature: str) -> tuple[str, Mapping[str, list[str]]]:
    """The digest that is kept for this signature, else what is kept of single files."""
    try:
        head, _, body = (data or b"").partition(b"\n")
        known, digest, body_sum, head_sum = head.decode("ascii").split(" ")
        if head_sum != _sha256(f"{known} {digest} {body_sum}"):
            return "", {}
        if signature and known == signature:
            return digest, {}
        if hashlib.sha256(body).hexdigest() == body_sum:
            kept: Mapping[str, list[str]] = json.loads(body)
            return "", kept
    except ValueError:
        pass  # as if it were missing
    return "", {}


def _written(signature: str, digest: str, kept: Mapping[str, list[str]]) -> bytes:
    body = json.dumps(kept, separators=(",", ":")).encode()
    head = f"{signature or '-'} {digest} {hashlib.sha256(body).hexdigest()}"
    return f"{head} {_sha256(head)}\n".encode() + body


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
