"""Which annotations of a step GitHub is given: it shows few of each level, the first ones, and drops the others silently."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ci.catalog.verdicts import Verdict

__all__ = ["Annotation", "Annotations", "Level"]

_VERDICTS = {verdict: number for number, verdict in enumerate(Verdict)}


class Level(StrEnum):
    """How GitHub shows it; it counts each level for itself."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation: `file`, `line` and `title`, and its text. `number` counts those of one test from 0.

    `verdict` is None for one that is about no test.
    """

    properties: Mapping[str, str]
    words: str
    verdict: Verdict | None = None
    symptom: str = ""
    number: int = 0


@dataclass(slots=True)
class Annotations:
    """The annotations of a step so far; `most` of each level are shown."""

    most: int
    _found: dict[Level, list[Annotation]] = field(default_factory=lambda: {level: [] for level in Level})

    def add(self, level: Level, annotation: Annotation) -> None:
        """Note one."""
        self._found[level].append(annotation)

    def shown(self) -> Iterator[tuple[Level, Annotation]]:
        """Those that are worth a place, the most useful first.

        What is about no test comes first: it may explain the others. Then one of each test before the second of any,
        each symptom before it comes again, what is about the code before the rest.
        """
        for level, found in self._found.items():
            for annotation in self._in_order(found)[: self.most]:
                yield level, annotation

    @property
    def left_out(self) -> str:
        """`3 errors and 1 warning`; empty when all are shown."""
        more = {level: len(found) - self.most for level, found in self._found.items()}
        words = [f"{count} {level}{'s' if count > 1 else ''}" for level, count in more.items() if count > 0]
        return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)

    @staticmethod
    def _in_order(found: list[Annotation]) -> list[Annotation]:
        seen: set[str] = set()
        ranked = []
        for order, annotation in enumerate(found):
            again = bool(annotation.symptom) and annotation.symptom in seen
            if not annotation.number:
                seen.add(annotation.symptom)
            about_code = -1 if annotation.verdict is None else _VERDICTS[annotation.verdict]
            ranked.append(((about_code >= 0, annotation.number, again, about_code, order), annotation))
        return [annotation for _, annotation in sorted(ranked, key=lambda each: each[0])]
