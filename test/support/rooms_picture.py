"""The picture of the rooms in `docs/architecture.md`, drawn from what the modules import; `nox -s docs` runs this.

The numbers that it was drawn from are in the picture. It is stale when rooms or pairs of rooms differ from them, or a
number is off by more than a fifth: not after every added line.
"""

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Final

from support.rooms import APART, ROOMS, Module, read_modules

__all__ = ["PICTURE", "Figures", "count", "draw", "main", "stale", "write"]

PICTURE: Final = "docs/images/rooms.svg"
_COMMAND: Final = "nox -s docs"
# In the order in which data passes through them, then what is around them.
_ROWS: Final = (
    (
        "a run, in the order in which data passes",
        {
            "catalog": "what is: rows",
            "facts": "look at this machine",
            "plan": "decide, purely",
            "execute": "act",
            "record": "remember: events",
            "report": "show",
        },
    ),
    (
        "what executors are made of",
        {
            "docker": "containers",
            "slurm": "jobs of a cluster",
            "images": "found, pulled, built",
            "install": "dependencies, guards",
            "engine": "the real SGLang, CPU",
            "health": "of GPUs and host",
            APART: "runs the tests: apart,",
        },
    ),
    (
        "around a run",
        {
            "github": "workflows, API",
            "repro": "a red run again",
            "cli": "a file a command",
            "nox": "what the noxfile needs",
            "system": "doors to the outside",
            "errors": "exit codes",
        },
    ),
)
_AGENT_NOTE: Final = "in the engine's Python"

_WIDTH, _MARGIN = 1000, 12
_BOX, _GAP = 142, 24.8
_HEAD, _PART, _PAD = 50, 24, 6
_STEP_X, _STEP_Y, _PILL = 57, 27, 60
# legible on white and on black: filled shapes with white words, and grey between
_ROOM, _SUB, _GREY, _DEEP = "#3d5a80", "#5b7ea8", "#7d8590", "#b5523b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Lines of Python by room, sub-rooms by their own name (`plan/container`), and imports by `importer imported`."""

    lines: Mapping[str, int]
    imports: Mapping[str, int]


def count(modules: Mapping[str, Module]) -> Figures:
    """The figures of a tree; its own file and the package `ci` itself are in none."""
    lines: Counter[str] = Counter()
    imports: Counter[str] = Counter()
    for module in modules.values():
        if module.name in ("", "__main__"):
            continue
        lines[_folder(module.name)] += module.lines
        for each in module.imports:
            pair = module.name.partition("/")[0], each.module.partition("/")[0]
            if each.module and len(set(pair)) > 1:
                imports[" ".join(pair)] += 1
    return Figures(lines=dict(sorted(lines.items())), imports=dict(sorted(imports.items())))


def stale(root: Path) -> list[str]:
    """What is wrong with the picture of a checkout; nothing when it shows the code."""
    try:
        text = (root / PICTURE).read_text(encoding="utf-8")
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    drawn = _read(text)
    if drawn is None or draw(drawn) != text:
        return ["was edited, or drawn by another version"]
    now = count(read_modules(root))
    return [
        *_differences(drawn.lines, now.lines, "{}: {} lines, the picture says {}", slack=100),
        *_differences(drawn.imports, now.imports, "{}: {} imports, the picture says {}", slack=3),
    ]


def write(root: Path) -> bool:
    """Draw the picture of a checkout; whether the file has changed.

    Raises:
        OSError: it cannot be written.
    """
    path, text = root / PICTURE, draw(count(read_modules(root)))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def draw(figures: Figures) -> str:
    """The picture as SVG; the same figures give the same bytes."""
    parts: list[str] = []
    top = 4.0
    for title, rooms in _ROWS:
        parts.append(_text(_MARGIN, top + 14, title, size=12, fill=_GREY))
        height = max(_height(name, figures) for name in rooms)
        for number, (name, words) in enumerate(rooms.items()):
            x = _MARGIN + number * (_BOX + _GAP)
            parts += _room(name, words, figures, x=x, y=top + 22)
            if title == _ROWS[0][0] and number:
                parts.append(_flow(x - _GAP, top + 22 + _HEAD / 2))
        top += 22 + height + 12
    parts += _matrix(figures, top=top + 8)
    height = top + 8 + 34 + _STEP_Y * len(_rooms()) + 8
    data = json.dumps({"lines": figures.lines, "imports": figures.imports}, sort_keys=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif">\n'
        "<title>The rooms of ci/ and who imports whom</title>\n"
        f"<metadata>{escape(data, quote=False)}</metadata>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _folder(module: str) -> str:
    """The folder of a module, `plan` for `plan/model` and `errors` for a module of its own."""
    return module.rpartition("/")[0] or module


def _rooms() -> list[str]:
    """The top folders in import order, those that have a row in the matrix."""
    return list(dict.fromkeys(name.partition("/")[0] for name in ROOMS if name != "__main__"))


def _read(text: str) -> Figures | None:
    """The figures that a picture was drawn from; None when it holds none."""
    found = re.search(r"<metadata>(.*?)</metadata>", text)
    try:
        data = json.loads(unescape(found[1]) if found else "")
        return Figures(lines=data["lines"], imports=data["imports"])
    except (TypeError, ValueError, KeyError):
        return None


def _differences(
    drawn: Mapping[str, int], now: Mapping[str, int], words: str, *, slack: int
) -> Iterator[str]:
    for name in sorted(drawn.keys() | now.keys()):
        old, new = drawn.get(name, 0), now.get(name, 0)
        if not old or not new or abs(new - old) > max(slack, old / 5):
            yield words.format(name.replace(" ", " -> "), new or "no", old or "none")


def _subrooms(name: str, figures: Figures) -> list[str]:
    return [room for room in ROOMS if room.startswith(f"{name}/") and room in figures.lines]


def _height(name: str, figures: Figures) -> float:
    rooms = len(_subrooms(name, figures))
    return _HEAD + rooms * (_PART + _PAD)


def _room(name: str, words: str, figures: Figures, *, x: float, y: float) -> Iterator[str]:
    """A box: the room's name, what it is for, its lines; and its sub-rooms in it."""
    inside = _subrooms(name, figures)
    apart = ' fill-opacity="0.75" stroke-dasharray="5 3" stroke="#ffffff"' if name == APART else ""
    yield _box(x, y, _BOX, _height(name, figures), _ROOM, apart)
    yield _text(x + 8, y + 19, name, size=15, weight="bold")
    lines = sum(figures.lines.get(each, 0) for each in (name, *inside))
    yield _text(x + _BOX - 8, y + 18, f"{_amount(lines)} lines", size=10, anchor="end")
    yield _text(x + 8, y + 34, words, size=11)
    if name == APART:
        yield _text(x + 8, y + 46, _AGENT_NOTE, size=11)
    for number, room in enumerate(inside):
        at = y + _HEAD + number * (_PART + _PAD) - 4
        yield _box(x + 6, at, _BOX - 12, _PART, _SUB)
        yield _text(x + 13, at + 16, room.partition("/")[2], size=12)
        yield _text(x + _BOX - 13, at + 16, _amount(figures.lines[room]), size=10, anchor="end")


def _flow(x: float, y: float) -> str:
    """A thick arrow over the gap between two rooms."""
    start, end = x + 2, x + _GAP - 2
    return (
        f'<path d="M{start:g} {y - 4:g}H{end - 9:g}v-6L{end:g} {y:g}L{end - 9:g} {y + 10:g}v-6H{start:g}Z"'
        f' fill="{_DEEP}"/>'
    )


def _matrix(figures: Figures, *, top: float) -> Iterator[str]:
    """Rooms down a staircase: a number counts imports of the room at the head of its column by that at its row's end."""
    rooms = _rooms()
    yield _text(
        _MARGIN, top + 14, "who imports whom: a room imports only rooms above it", size=12, fill=_GREY
    )
    legend = ["a row: what the room at its end imports", "a column: who imports the room at its head"]
    if figures.imports:
        most = max(figures.imports, key=lambda pair: (figures.imports[pair], pair))
        importer, imported = most.split()
        legend.append(
            f"{figures.imports[most]}: so many imports of modules of {imported} are in modules of {importer}"
        )
    for line, words in enumerate(legend):
        yield _text(_WIDTH - _MARGIN, top + 48 + line * 18, words, size=12, fill=_GREY, anchor="end")
    for row, importer in enumerate(rooms):
        y = top + 34 + row * _STEP_Y
        columns = [column for column in range(row) if f"{importer} {rooms[column]}" in figures.imports]
        if columns:
            start = _column(columns[0])
            yield _line(start, y + 10, _MARGIN + row * _STEP_X, y + 10)
    for column, imported in enumerate(rooms):
        rows = [row for row in range(column + 1, len(rooms)) if f"{rooms[row]} {imported}" in figures.imports]
        if rows:
            y = top + 34 + column * _STEP_Y
            x = _column(column)
            yield _line(x, y + 22, x, top + 34 + rows[-1] * _STEP_Y + 10)
            yield f'<path d="M{x - 4:g} {y + 28:g}L{x:g} {y + 21:g}L{x + 4:g} {y + 28:g}Z" fill="{_GREY}"/>'
    for row, importer in enumerate(rooms):
        y = top + 34 + row * _STEP_Y
        yield _box(_MARGIN + row * _STEP_X, y, _PILL, 20, _ROOM)
        yield _text(
            _MARGIN + row * _STEP_X + _PILL / 2, y + 14, importer, size=11.5, anchor="middle", weight="bold"
        )
        for column in range(row):
            if number := figures.imports.get(f"{importer} {rooms[column]}", 0):
                yield from _number(number, _column(column), y + 10)


def _column(number: int) -> float:
    return _MARGIN + number * _STEP_X + _PILL / 2


def _number(number: int, x: float, y: float) -> Iterator[str]:
    """A count on a disc whose area grows with it."""
    radius = min(12.5, 7.5 + math.sqrt(number) * 0.7)
    yield f'<circle cx="{x:g}" cy="{y:g}" r="{radius:.1f}" fill="{_SUB}"/>'
    yield _text(x, y + 3.8, str(number), size=10.5, anchor="middle")


def _amount(lines: int) -> str:
    return str(lines) if lines < 1000 else f"{lines / 1000:.1f}k"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{_GREY}" stroke-opacity="0.55" fill="none"/>'


def _box(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}"{more}/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: float,
    fill: str = "#ffffff",
    anchor: str = "start",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{escape(words, quote=False)}</text>'
    )


def main(arguments: Sequence[str]) -> int:
    """Draw the picture, or compare it; exit codes as those of `ci/errors.py`."""
    parser = argparse.ArgumentParser(
        prog=f"{_COMMAND} --", description="Draw the pictures in docs/ from the code."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a picture is stale")
    root = Path(__file__).parents[2]
    if not parser.parse_args(arguments).check:
        changed = write(root)
        sys.stdout.write(
            f"written: {PICTURE}\n" if changed else "nothing to write: the picture shows the code\n"
        )
        return 0
    if not (problems := stale(root)):
        return 0
    lines = ["error (exit 9): the picture of the rooms does not show the code"]
    lines += [f"  - {PICTURE}: {problem}" for problem in problems]
    sys.stderr.write("\n".join([*lines, f"  next:  {_COMMAND}", ""]))
    return 9


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
