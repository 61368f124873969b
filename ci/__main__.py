"""`python -m ci COMMAND`: what every Nox session runs."""

import sys

from ci.cli.main import main
from ci.errors import InfrastructureError, worst
from ci.system.environ import read_environ
from ci.system.inert import guard_output
from ci.system.output import finish, outlive_readers


def _run() -> int:
    outlets = outlive_readers()
    guard_output(read_environ())
    code = main()
    if lost := finish(outlets):
        error = InfrastructureError(
            f"not all output could be written: {lost}",
            cause="the disk that it goes to is full, or the terminal is gone",
            then="df -h; a run's reports are whole in its folder",
        )
        sys.stderr.write(error.render() + "\n")
        return worst((code, int(error.exit_code)))
    return code


if __name__ == "__main__":
    raise SystemExit(_run())
