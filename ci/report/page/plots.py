"""Plots as coordinates of an SVG: a template draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Axis", "Curve", "Mark", "Plot", "curves", "hours"]

WIDTH: Final = 640
HEIGHT: Final = 200
LEFT: Final = 56
BOTTOM: Final = 24
_COLOURS: Final = 7
_TICKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A number on an axis, in pixels."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line through points, `x,y x,y ...`; `colour` is a number."""

    name: str
    points: str
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Marks from left to right, or from bottom to top."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Curves over two axes; `title` says the same in words to who cannot see them."""

    title: str
    across: Axis
    up: Axis
    curves: tuple[Curve, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = BOTTOM


def hours(title: str, unit: str, series: Mapping[str, Sequence[float]], *, limit: float = 0.0) -> Plot:
    """Means by hour of the day as steps, from 0 to the largest value or `limit`."""
    most = max([limit, *(value for values in series.values() for value in values)], default=0.0) or 1.0
    up = _up(unit, most)
    step = (WIDTH - LEFT) / 24
    found = []
    for number, (name, values) in enumerate(series.items()):
        points = [
            f"{LEFT + step * (hour + side):.1f},{_y(value, most):.1f}"
            for hour, value in enumerate(values)
            for side in (0, 1)
        ]
        found.append(Curve(name=name, points=" ".join(points), colour=number % _COLOURS))
    marks = tuple(Mark(at=LEFT + step * hour, label=f"{hour}:00") for hour in (0, 6, 12, 18))
    return Plot(title=title, across=Axis(title="hour, UTC", marks=marks), up=up, curves=tuple(found))


def curves(title: str, series: Mapping[str, tuple[Sequence[float], int]], *, minutes: float) -> Plot:
    """The share of changes that were green after so many minutes; each series has seconds in order, and how many there are in all."""
    found = []
    for number, (name, (ordered, count)) in enumerate(series.items()):
        shares = [(0.0, 0.0)]
        every = max(1, len(ordered) // 100)
        shares += [
            (min(ordered[at] / 60, minutes), (at + 1) / max(1, count)) for at in range(0, len(ordered), every)
        ]
        points = [f"{LEFT + (WIDTH - LEFT) * x / minutes:.1f},{_y(y, 1.0):.1f}" for x, y in shares]
        found.append(Curve(name=name, points=" ".join(points), colour=number % _COLOURS))
    step = _round(minutes / _TICKS)
    marks = tuple(
        Mark(at=LEFT + (WIDTH - LEFT) * step * number / minutes, label=f"{step * number:g}")
        for number in range(int(minutes / step) + 1)
    )
    ticks = tuple(Mark(at=_y(share, 1.0), label=f"{share:.0%}") for share in (0, 0.5, 0.9, 1))
    return Plot(
        title=title,
        across=Axis(title="minutes since arrival", marks=marks),
        up=Axis(title="share that is green", marks=ticks),
        curves=tuple(found),
    )


def _up(unit: str, most: float) -> Axis:
    step = _round(most / _TICKS)
    marks = tuple(
        Mark(at=_y(step * number, most), label=f"{step * number:g}") for number in range(int(most / step) + 1)
    )
    return Axis(title=unit, marks=marks)


def _y(value: float, most: float) -> float:
    return HEIGHT - (HEIGHT - 8) * min(value, most) / most


def _round(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next((times * power for times in (1, 2, 5) if times * power >= step), 10 * power)
