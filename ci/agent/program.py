"""The agent's command line."""

from collections.abc import Sequence
from pathlib import Path

from .events import complain

# prints the refusal of the arguments for pytest as JSON, null where they can be honoured
TRY_OPTIONS = "--try-options"


def main(arguments: Sequence[str]) -> int:
    """Run as the agent, as a test process, as the agent of a role, or to try the arguments for pytest alone; the exit code.

    Each mode is imported where it begins: an archive has no bytecode, and a test process would compile all of the agent.
    """
    if arguments[:1] == ["--child"]:
        from .child import be_the_test  # noqa: PLC0415

        return be_the_test(*arguments[1:])
    if arguments[:1] == ["--role"]:
        from .roles.role_agent import be_the_role  # noqa: PLC0415

        return be_the_role(*arguments[1:])
    tries = arguments[:1] == [TRY_OPTIONS]
    if len(arguments) != 1 + tries:
        complain(f"usage: agent.pyz [{TRY_OPTIONS}] SPEC.json")
        return 2
    from .run import be_the_agent  # noqa: PLC0415

    return be_the_agent(Path(arguments[-1]).resolve(), tries=tries)
