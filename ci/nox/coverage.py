"""Branch coverage of the tests: how it is measured, and a table of rooms. Standard library alone."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Room", "measured", "start", "table", "to_json"]

LEAST_COVERED = 10


def start(folder: Path) -> None:
    """Make the folder of a measurement, without what an earlier one left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def measured(root: Path, folder: Path, *words: str) -> tuple[str, ...]:
    """A module and its arguments, e.g. `pytest -q`, as the arguments of `python -m coverage` that measures `root/ci`."""
    return ("run", f"--data-file={folder / 'data'}", f"--source={root / 'ci'}", "-m", *words)


def to_json(folder: Path) -> tuple[tuple[str, ...], ...]:
    """The arguments of `python -m coverage` that join the data of all processes, one after the other; none without data."""
    if not any(folder.glob("data.*")):
        return ()
    data = f"--data-file={folder / 'data'}"
    return ("combine", "--quiet", data), ("json", "--quiet", data, "-o", str(_json(folder)))


def table(folder: Path) -> str:
    """What `to_json` wrote by room, the total, and the modules with the smallest share; a sentence when nothing was run."""
    written = _json(folder)
    report = json.loads(written.read_text(encoding="utf-8")) if written.exists() else {"files": {}}
    modules = [Room.of(path, row["summary"]) for path, row in report["files"].items()]
    if not any(module.covered for module in modules):
        return "coverage: these tests run nothing of ci/\n"
    rooms: dict[str, list[Room]] = {}
    for module in modules:
        parts = Path(module.name).parts
        rooms.setdefault(parts[1] if len(parts) > 2 else "modules beside them", []).append(module)
    blocks = (
        [Room.sum(name, within) for name, within in sorted(rooms.items())],
        [Room.sum("total", modules)],
        sorted(modules, key=lambda module: module.share)[:LEAST_COVERED],
    )
    lines = [f"{'statements and branches of ci/':<40} {'':>6}  covered"]
    for block in blocks:
        lines += ["", *(f"{room.name:<40} {room.size:>6} {room.share:>8.1%}" for room in block)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Statements and branches of a module or of a folder, and how many of them were run or taken."""

    name: str
    size: int
    covered: int

    @property
    def share(self) -> float:
        """Between 0 and 1; 1 where there is nothing to run."""
        return self.covered / self.size if self.size else 1

    @classmethod
    def of(cls, name: str, summary: dict[str, int]) -> "Room":
        """A module, as `coverage json` summarises it: without branches when nothing at all was run."""
        return cls(
            name=name,
            size=summary["num_statements"] + summary.get("num_branches", 0),
            covered=summary["covered_lines"] + summary.get("covered_branches", 0),
        )

    @classmethod
    def sum(cls, name: str, rooms: Iterable["Room"]) -> "Room":
        """Several together."""
        every = tuple(rooms)
        return cls(
            name=name, size=sum(room.size for room in every), covered=sum(room.covered for room in every)
        )


def _json(folder: Path) -> Path:
    return folder / "coverage.json"
