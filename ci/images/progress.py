"""How far a pull or push is: the engine's events of single layers added up."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from ci.record.events import PhaseProgress

__all__ = ["Progress"]

# the rate is the mean of the last seconds
_RATE_WINDOW_S = 10.0
_PRESENT = "Already exists"
_DOWNLOADED = ("Verifying Checksum", "Download complete", "Pull complete", "Pushed")
_MOVING = ("Downloading", "Pushing")


class Progress:
    """Bytes over all layers. `expected_bytes` is the whole transfer if no layer is there yet, 0 when not known."""

    def __init__(self, expected_bytes: int) -> None:
        self._expected = expected_bytes
        self._layers: dict[str, str] = {}
        self._totals: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._unpacked: dict[str, int] = {}
        self._seen: deque[tuple[float, int]] = deque()

    def feed(self, event: Mapping[str, Any], now_s: float) -> bool:
        """Take an event; whether anything moved: the engine's own retries and repeated figures are no progress."""
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        if not layer or status.startswith(("Retrying", "Pulling from", "The push refers")):
            return False
        before = (self._layers.get(layer), self._done.get(layer), self._unpacked.get(layer))
        self._layers[layer] = status
        detail = event.get("progressDetail") or {}
        current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
        if status in _MOVING:
            if total > 0:
                self._totals[layer] = total
            self._done[layer] = max(current, 0)
        elif status in _DOWNLOADED and layer in self._totals:
            self._done[layer] = self._totals[layer]
        elif status == "Extracting":
            self._done[layer] = self._totals.get(layer, 0)
            self._unpacked[layer] = current
        moved = before != (self._layers[layer], self._done.get(layer), self._unpacked.get(layer))
        self._seen.append((now_s, self.done_bytes))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _RATE_WINDOW_S:
            self._seen.popleft()
        return moved

    @property
    def done_bytes(self) -> int:
        """What has been transferred."""
        return sum(self._done.values())

    @property
    def total_bytes(self) -> int | None:
        """What has to be transferred, None while that is not known: waiting layers don't say their size."""
        if self._expected and _PRESENT not in self._layers.values():
            return max(self._expected, self.done_bytes)
        known = [layer for layer, status in self._layers.items() if status != _PRESENT]
        if known and all(layer in self._totals for layer in known):
            return sum(self._totals.values())
        return None

    @property
    def rate_bytes_s(self) -> float | None:
        """Mean of the last seconds, None before there are two looks."""
        if len(self._seen) < 2:
            return None
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else None

    @property
    def text(self) -> str:
        """`12 of 34 layers`, and what is done with them."""
        whole = sum(status in ("Pull complete", _PRESENT, "Pushed") for status in self._layers.values())
        what = "unpacking, " if "Extracting" in self._layers.values() else ""
        return f"{what}{whole} of {len(self._layers)} layers"

    def event(self, phase: str, where: str) -> PhaseProgress:
        """All of it as an event."""
        return PhaseProgress(
            phase=phase,
            text=f"{where}: {self.text}",
            done=self.done_bytes,
            total=self.total_bytes,
            unit="bytes",
            rate=self.rate_bytes_s,
        )
