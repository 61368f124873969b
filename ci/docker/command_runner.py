"""What runs commands where the tests will run: a container's exec, seen from those who install and look."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Ended", "Shell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended. `code` is None when it is unknown; `why` then says what ended."""

    code: int | None
    stdout: bytes
    stderr: bytes
    why: str = ""


class Shell(Protocol):
    """Argv lists in, integers out. Raises InfrastructureError when what it runs in is gone, and when we were stopped."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Ended:
        """Run a command to its end; at the timeout everything that it started is killed and `code` is None."""

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Write files (mode 0644, root) into a folder that is made when it is missing."""

    def get(self, path: str) -> bytes | None:
        """A file's content, None when there is none."""
