"""What `./inv` does before it has an environment: make one from the pins, and become the program in it.

Standard library alone.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from ci.errors import CiError, ExitCode
from ci.nox.environments import environment, find_uv, pin_files, prepare, running, uv_failed
from ci.nox.exit_codes import UNSET
from ci.system import process
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir
from ci.system.inert import guard_output

__all__ = ["launch"]

# When it is interrupted uv gets this long to end, looked at so often.
_STOP_S: Final = 5.0
_POLL_S: Final = 0.05


def launch(root: Path, groups: Sequence[str], command: Sequence[str]) -> NoReturn:
    """Become `python COMMAND` in the environment of these dependency groups; an error ends the process with its code."""
    guard_output(read_environ())
    caller = {name: value for name, value in read_environ().items() if name not in UNSET}
    try:
        python = _python(root, groups, caller)
    except CiError as error:
        sys.stderr.write(error.render() + "\n")
        raise SystemExit(int(error.exit_code)) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(int(ExitCode.INTERRUPTED)) from None
    process.become([str(python), *command], caller)


def _python(root: Path, groups: Sequence[str], caller: Mapping[str, str]) -> Path:
    """The Python of the environment, in the folder of Nox where that can be written.

    Raises:
        InfrastructureError: uv is missing or failed, or the folder cannot be written.
    """
    pins = pin_files(root / "requirements", groups)
    folder = root / ".nox"
    wanted = environment(folder, running(), pins)
    if not wanted.is_ready() and not os.access(folder if folder.exists() else root, os.W_OK):
        wanted = environment(cache_dir(caller) / "environments", running(), pins)
    if wanted.is_ready():
        wanted.note_use()
        return wanted.python

    def run(argv: Sequence[str]) -> None:
        code = process.attached(argv, cwd=root, env=caller, stop_s=_STOP_S, poll_s=_POLL_S, for_people=True)
        if code:
            raise uv_failed(code, then="fix that, then run ./inv again")

    def log(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    log(f"making environment {wanted}, once")
    prepare(wanted, uv=find_uv(caller), run=run, log=log)
    return wanted.python
