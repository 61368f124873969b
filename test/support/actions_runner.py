"""How GitHub's runner and its log page read a step's output, written from their behaviour and not from our own code.

Two readers: `strict` is the runner as it is documented and published; `wide` also finds what it would find if it passed
over colours and unseen characters and split at every line separator.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Command", "strict_commands", "wide_commands"]

# .NET's Char.IsWhiteSpace, which String.TrimStart uses.
_DOTNET_BLANKS = frozenset(
    [
        *map(chr, range(9, 14)),
        " ",
        "\x85",
        "\xa0",
        "\u1680",
        *map(chr, range(8192, 8203)),
        "\u2028",
        "\u2029",
        "\u202f",
        "\u205f",
        "\u3000",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A workflow command: its name and the line that it was found in."""

    name: str
    line: str


def _command(line: str) -> Command | None:
    start = 0
    while start < len(line) and line[start] in _DOTNET_BLANKS:
        start += 1
    if line[start : start + 2] == "::":
        end = line.find("::", start + 2)
        if end >= 0:
            return Command(name=line[start + 2 : end].split(" ", maxsplit=1)[0], line=line)
    at = line.find("##[")
    if at >= 0:
        end = line.find("]", at)
        return Command(name=line[at + 3 : end if end >= 0 else None].split(" ", maxsplit=1)[0], line=line)
    return None


def strict_commands(output: str) -> list[Command]:
    """What the runner takes for commands: lines as StreamReader.ReadLine splits them."""
    return [found for line in re.split("\r\n|\r|\n", output) if (found := _command(line))]


def _bare(line: str) -> Iterator[str]:
    at = 0
    while at < len(line):
        sequence = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)").match(line, at)
        if sequence:
            at = sequence.end()
            continue
        if unicodedata.category(line[at]) not in ("Cc", "Cf", "Cs") or line[at] in _DOTNET_BLANKS:
            yield line[at]
        at += 1


def wide_commands(output: str) -> list[Command]:
    """What some reader could take for commands."""
    return [found for line in output.splitlines() if (found := _command("".join(_bare(line))))]
