"""A zip archive with run folders: an artifact of Actions, or one that somebody packed."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Final, Self

from ci.errors import UsageError

__all__ = ["ZIP", "RunArchive"]

# how every zip archive with a file in it begins
ZIP: Final = b"PK\x03\x04"
# of one file in an archive; logs of a day's job have up to 60 MB
_MEMBER_BYTES: Final = 512 << 20
_RECORD: Final = ("plan.json", "events.jsonl")


class RunArchive:
    """The files of an archive, and which of its folders are run folders."""

    def __init__(self, file: Path | IO[bytes], where: str) -> None:
        """Read the list of files.

        Raises:
            UsageError: it cannot be read, or is not a whole archive.
        """
        self.where = where
        with self._reading():
            self._zip = zipfile.ZipFile(file)
        # a file of a size that no run writes is as good as not there
        self.names = tuple(info.filename for info in self._zip.infolist() if info.file_size <= _MEMBER_BYTES)
        self.runs = tuple(
            PurePosixPath(name).parent for name in self.names if PurePosixPath(name).name == "events.jsonl"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """One file.

        Raises:
            UsageError: it is damaged, or packed in a way that is not known.
        """
        with self._reading():
            return self._zip.read(name)

    def unpack(self, run: PurePosixPath, into: Path, *, logs: bool) -> None:
        """Write the record of a run, and with `logs` these too, into a folder.

        Raises:
            UsageError: the archive is damaged.
        """
        for name in self.names:
            path = PurePosixPath(name)
            if not path.is_relative_to(run) or name.endswith("/"):
                continue
            inside = path.relative_to(run)
            wanted = str(inside) in _RECORD or (logs and inside.parts[:1] == ("logs",))
            if wanted and ".." not in inside.parts:
                target = into / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read(name))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            raise UsageError(f"{self.where} is a damaged zip archive", cause=str(error)) from error
        except OSError as error:
            raise UsageError(
                f"cannot read {self.where}: {error.strerror or error}", then=f"ls -l {self.where}"
            ) from error
