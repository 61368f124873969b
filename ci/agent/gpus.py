"""The GPUs of a run, shared by the attempts that run at a time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Gpus"]


@dataclass(slots=True, eq=False, kw_only=True)
class _Waiter:
    """One who waits for so many GPUs that are not those to avoid; `got` are those that were handed over."""

    count: int
    avoid: frozenset[str]
    got: list[str] = field(default_factory=list)


class Gpus:
    """Hands out GPU ids in their order. There are enough for every attempt that may run at a time."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = list(ids)
        self._free = list(ids)
        self._waiting: list[_Waiter] = []
        self._changed = threading.Condition()

    def take(self, count: int) -> list[str]:
        """So many free ones; none where the run has none."""
        with self._changed:
            taken, self._free = self._free[:count], self._free[count:]
            return taken

    def give(self, ids: Sequence[str]) -> None:
        """Give them back; who waits for others is served first, in the order of waiting."""
        with self._changed:
            self._put_back(ids)
            self._changed.notify_all()

    def has_others(self, ids: Sequence[str]) -> bool:
        """Whether the run has as many GPUs beside these."""
        return bool(ids) and len(self._ids) - len(ids) >= len(ids)

    def exchange(self, ids: Sequence[str], *, poll_s: float, give_up: Callable[[], bool]) -> list[str]:
        """Give these back and take as many others, when those are free; empty after `give_up`, which is asked again and again."""
        waiter = _Waiter(count=len(ids), avoid=frozenset(ids))
        with self._changed:
            self._waiting.append(waiter)
            self._put_back(ids)
            self._changed.notify_all()
            while not waiter.got:
                if give_up():
                    self._waiting.remove(waiter)
                    return []
                self._changed.wait(poll_s)
        return waiter.got

    def _put_back(self, ids: Sequence[str]) -> None:
        self._free = sorted([*self._free, *ids], key=self._ids.index)
        for waiter in list(self._waiting):
            others = [each for each in self._free if each not in waiter.avoid][: waiter.count]
            if len(others) == waiter.count:
                waiter.got = others
                self._free = [each for each in self._free if each not in others]
                self._waiting.remove(waiter)
