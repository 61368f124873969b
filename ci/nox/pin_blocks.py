"""The pins in the text of a pin file, each with its hashes. Standard library alone."""

import re
from collections.abc import Mapping

__all__ = ["beyond", "joined", "pin_blocks", "version_of"]

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)")


def pin_blocks(text: str) -> Mapping[str, str]:
    """Name to pin and hashes, as they are written, without comments; lines before the first pin are left out."""
    blocks: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if found := _PIN.match(line):
            name = found[1]
            blocks[name] = ""
        if name and not line.lstrip().startswith("#"):
            blocks[name] += f"{line}\n"
    return blocks


def version_of(text: str, name: str) -> str:
    """The version that a pin file has of a package; empty when it has none."""
    found = _PIN.match(pin_blocks(text).get(name, ""))
    return found[2] if found else ""


def joined(*texts: str) -> str:
    """The pins of several files; of a package that several have, the pin of the last."""
    blocks: dict[str, str] = {}
    for text in texts:
        blocks |= pin_blocks(text)
    return "".join(blocks[name] for name in sorted(blocks))


def beyond(text: str, base: str) -> str:
    """The pins that `base` lacks or has at another version."""
    return "".join(
        block for name, block in pin_blocks(text).items() if version_of(base, name) != version_of(block, name)
    )
