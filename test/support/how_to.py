"""A how-to page followed word for word: its rows are added, its changes applied, its commands run.

A block with `title="FILE"` is added to the end of that file, which may be new. A `diff` block is applied. Each line of a `sh`
block is run; `# exit N` behind it says how it has to end, else with 0.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Block", "blocks", "follow"]

_FENCED: Final = re.compile(
    r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
_EXIT: Final = re.compile(r"#\s*exit (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; `title` is the file that it is for, or empty."""

    kind: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(kind=found["kind"], title=found["title"] or "", text=found["text"])
        for found in _FENCED.finditer(page)
    ]


def follow(page: str, checkout: Path, environ: Mapping[str, str], *, leave_out: str) -> Iterator[str]:
    """Do what the page says in a checkout; yields every command that did not end as the page says, with what it printed.

    A command in which the regular expression `leave_out` is found is not run.
    """
    for block in blocks(page):
        if block.title:
            with (checkout / block.title).open("a", encoding="utf-8") as file:
                file.write(block.text)
        elif block.kind == "diff":
            yield from _run("git apply --unidiff-zero --recount -", 0, checkout, environ, given=block.text)
        elif block.kind == "sh":
            for line in filter(None, block.text.splitlines()):
                stated = _EXIT.search(line)
                if not re.search(leave_out, line):
                    yield from _run(line, int(stated[1]) if stated else 0, checkout, environ)


def _run(
    line: str, code: int, checkout: Path, environ: Mapping[str, str], *, given: str = ""
) -> Iterator[str]:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=checkout,
        env=dict(environ),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != code:
        yield f"{line}\nended with {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
