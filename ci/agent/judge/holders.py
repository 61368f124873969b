"""Who holds memory of GPUs, by lists in a log: tables of rocm-smi and amd-smi, sentences that name a process and an amount.

A list says "process", not whose it is. Others' are those that were there before the test began, and those that the list itself
calls so; a list that is printed afterwards may name the test's own processes.
"""

import re

__all__ = ["HolderReader"]

PIECES = ("PID", "pid", "rocess", "VRAM", "emory", "MEM")
_WORTH_A_NAME_BYTES = 2**30
_UNITS = {"": 1, "b": 1, "kib": 2**10, "kb": 2**10, "mib": 2**20, "mb": 2**20, "gib": 2**30, "gb": 2**30}
_AMOUNT = re.compile(r"\b(?P<count>\d+(?:\.\d+)?) ?(?P<unit>[KMG]i?B)\b")
_BYTES = re.compile(r"(?<![\w.:])(?P<count>\d{10,})(?![\w.:])")
_HEAD = re.compile(r"\bPID\b.*(?:VRAM|MEM|[Mm]emory)")
_ROW = re.compile(r"^\W*(?:\d{1,2}\W+)?(?P<pid>\d{2,})\b")
_SENTENCE = re.compile(r"\b(?:[Pp][Ii][Dd]|[Pp]rocess)(?:es)?(?: ID)?[ =:#]*\(?(?P<pid>\d{2,})\b")
_OF_MEMORY = re.compile(r"\bVRAM\b|\b[Mm]emory\b|\bGPU\b|\bholds?\b|\bheld\b|\bhbm\b", re.IGNORECASE)
_OF_OTHERS = re.compile(
    r"\b(?:not|n't)\b.{0,30}\b(?:ours?|own|this|part of|started by|child)\b|\b(?:[Oo]ther|[Aa]nother|[Ff]oreign|[Ss]tale|[Ll]eft ?over|[Ee]arlier|[Pp]revious)\b"
)
_CLEARED = re.compile(
    r"(?:VRAM|[Mm]emory|GPUs?)\b.{0,40}(?<!not )(?<!not be )(?<!not been )\b(?:is clear|are clear|clean|cleared|freed|released|free again|idle)\b"
)
_BEGUN = (
    "test session starts", "launch_server", "server_args=", "command=python", "EngineCore pid", " PASSED", " FAILED", "= FAILURES =",
    "Traceback (most recent call last)",
)  # fmt: skip


class HolderReader:
    """Reads such lists line by line; `found` are the processes of others, in words, the largest first."""

    def __init__(self) -> None:
        self._in_table = False
        self._begun = False
        self._held: dict[str, tuple[int, str]] = {}

    @property
    def found(self) -> tuple[str, ...]:
        return tuple(words for _, words in sorted(self._held.values(), reverse=True))

    def take(self, line: str) -> None:
        """The next line, without colours and prefixes."""
        if self._in_table and (row := _ROW.match(line)) is not None:
            self._add(row["pid"], line, of_others=not self._begun)
            return
        self._in_table = self._in_table and not line.strip(" =-+|")
        if not any(piece in line for piece in PIECES):
            self._begun = self._begun or any(word in line for word in _BEGUN)
            return
        self._begun = self._begun or any(word in line for word in _BEGUN)
        if _HEAD.search(line):
            self._in_table = True
        elif (named := _SENTENCE.search(line)) is not None:
            if _OF_MEMORY.search(line):
                self._add(
                    named["pid"], line, of_others=not self._begun or _OF_OTHERS.search(line) is not None
                )
        elif _CLEARED.search(line):
            self._held.clear()

    def _add(self, pid: str, line: str, *, of_others: bool) -> None:
        amounts = [float(each["count"]) * _UNITS[each["unit"].lower()] for each in _AMOUNT.finditer(line)]
        amounts += [float(each["count"]) for each in _BYTES.finditer(line)]
        held = int(max(amounts, default=0))
        if of_others and held >= _WORTH_A_NAME_BYTES:
            self._held[pid] = (held, " ".join(line.split()))
