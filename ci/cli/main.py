"""Dispatch, and the one place where errors become messages and exit codes."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from ci.catalog.toml_reader import closest
from ci.errors import CiError, ExitCode, UsageError
from ci.system.environ import read_environ
from ci.system.inert import inert, send_command

__all__ = ["main"]

Command = Callable[[Sequence[str]], int]

# each is a function in the module of its name
_COMMANDS = (
    "run",
    "plan",
    "envs",
    "check",
    "contract",
    "tree",
    "amd_coverage",
    "ci_plan",
    "parity",
    "report",
    "shards",
    "fleet",
    "workflows",
    "docs",
    "repro",
    "slurm_head",
    "slurm_sweep",
    "slurm_worker",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of the table in `ci.errors`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(arguments)
    except CiError as error:
        sys.stdout.flush()
        sys.stderr.write(error.render() + "\n")
        _annotate(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return int(ExitCode.INTERRUPTED)


def _dispatch(arguments: Sequence[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name not in _COMMANDS:
        what = f"unknown command {name!r}" if name else "no command"
        raise UsageError(what, cause=closest(name, _COMMANDS), then="nox -l")
    # each command's imports are its own: `check` must work where rich's are slow or a later room is broken
    command: Command = getattr(import_module(f"ci.cli.{name}"), name)
    return command(rest)


def _annotate(error: CiError) -> None:
    """In Actions the error is shown beside the job as well."""
    if read_environ().get("GITHUB_ACTIONS") == "true":
        from ci.report.live.github import command  # noqa: PLC0415

        title = {"title": f"exit {int(error.exit_code)}"}
        send_command(sys.stderr, command("error", title, inert(error.render())))
