"""Device aborts of a run taken together: the same test on another GPU, other tests on the same GPU.

One abort proves that a GPU stopped, and not whose fault that is.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from .judge import Judgement

__all__ = ["DeviceAborts"]

ABORTED = "device"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """An attempt that ended: its test, its GPUs, and whether it passed or the device stopped under it."""

    test: str
    gpu_ids: frozenset[str]
    aborted: bool
    passed: bool


class DeviceAborts:
    """Remembers how the attempts of this run ended on which GPUs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[_Seen] = []

    def weigh(self, test: str, gpu_ids: Collection[str], judgement: Judgement) -> Judgement:
        """The judgement in the light of the earlier attempts: a second abort may prove more than the first."""
        here = _Seen(
            test=test,
            gpu_ids=frozenset(gpu_ids),
            aborted=judgement.verdict == ABORTED,
            passed=judgement.outcome == "passed",
        )
        with self._lock:
            earlier = tuple(self._seen)
            self._seen.append(here)
        return self._weighed(here, earlier, judgement) if here.aborted else judgement

    @staticmethod
    def _weighed(here: _Seen, earlier: Collection[_Seen], judgement: Judgement) -> Judgement:
        own = [each for each in earlier if each.test == here.test and each.aborted]
        elsewhere = next((each for each in own if _apart(each, here)), None)
        if elsewhere is not None:
            line = f"the same test stopped {_words(elsewhere.gpu_ids)} and then {_words(here.gpu_ids)}: what they share is the code"
            return _with(judgement, "product", line)
        for other in earlier:
            shared = here.gpu_ids & other.gpu_ids
            if other.test == here.test or not other.aborted or not shared:
                continue
            # with no pass elsewhere a fault of the code that several tests share looks the same
            passed = _ends_apart(shared, other.test, earlier)
            if passed and all(each.passed for each in passed):
                line = (
                    f"{other.test} stopped {_words(shared)} too, and passed on {_words(passed[0].gpu_ids)}: two tests stopped"
                    " this GPU and no other"
                )
                return _with(judgement, "hardware", line)
        if own:
            where = f"on {_words(here.gpu_ids)}" if here.gpu_ids else "on this machine"
            line = f"the device stopped again {where}: whether the code or the hardware is at fault stays undecided"
            return _with(judgement, ABORTED, line)
        return judgement


def _with(judgement: Judgement, verdict: str, line: str) -> Judgement:
    """The same with another verdict and what proves it, after the message itself."""
    evidence = (*judgement.evidence[:1], line, *judgement.evidence[1:])
    return replace(judgement, verdict=verdict, evidence=evidence)


def _apart(one: _Seen, other: _Seen) -> bool:
    return bool(one.gpu_ids and other.gpu_ids) and not one.gpu_ids & other.gpu_ids


def _ends_apart(gpu_ids: frozenset[str], test: str, seen: Iterable[_Seen]) -> list[_Seen]:
    """The attempts of a test on other GPUs that say something about them."""
    return [
        each
        for each in seen
        if each.test == test and not each.gpu_ids & gpu_ids and (each.passed or each.aborted)
    ]


def _words(gpu_ids: Collection[str]) -> str:
    """`GPU 0` or `GPUs 0, 1`."""
    return f"GPU{'s' if len(gpu_ids) > 1 else ''} {', '.join(sorted(gpu_ids))}"
