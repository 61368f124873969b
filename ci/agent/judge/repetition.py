"""Device aborts of a run taken together: the same test on another GPU, other tests on the same GPU.

One abort proves that a GPU stopped, and not whose fault that is.
"""

from collections.abc import Collection
from dataclasses import replace

from .values import Ended, Facts, Judgement

__all__ = ["ABORTED", "weighed"]

ABORTED = "device"


def weighed(facts: Facts, judgement: Judgement) -> Judgement:
    """A device abort in the light of the attempts before it: a second one may prove more than the first."""
    gpu_ids = frozenset(facts.gpu_ids)
    own = [each for each in facts.earlier if each.test == facts.test and each.verdict == ABORTED]
    elsewhere = next((each for each in own if _apart(each, gpu_ids)), None)
    if elsewhere is not None:
        line = f"the same test stopped {_words(elsewhere.gpu_ids)} and then {_words(gpu_ids)}: what they share is the code"
        return _with(judgement, "product", line)
    for other in facts.earlier:
        shared = gpu_ids.intersection(other.gpu_ids)
        if other.test == facts.test or other.verdict != ABORTED or not shared:
            continue
        # with no pass elsewhere a fault of the code that several tests share looks the same
        found = [
            each
            for each in facts.earlier
            if each.test == other.test
            and shared.isdisjoint(each.gpu_ids)
            and (each.passed or each.verdict == ABORTED)
        ]
        if found and all(each.passed for each in found):
            line = (
                f"{other.test} stopped {_words(shared)} too, and passed on {_words(found[0].gpu_ids)}: two tests stopped"
                " this GPU and no other"
            )
            return _with(judgement, "hardware", line)
    if own:
        where = f"on {_words(gpu_ids)}" if gpu_ids else "on this machine"
        line = (
            f"the device stopped again {where}: whether the code or the hardware is at fault stays undecided"
        )
        return _with(judgement, ABORTED, line)
    return judgement


def _with(judgement: Judgement, verdict: str, line: str) -> Judgement:
    """The same with another verdict and what proves it, after the message itself."""
    evidence = (*judgement.evidence[:1], line, *judgement.evidence[1:])
    return replace(judgement, verdict=verdict, evidence=evidence)


def _apart(one: Ended, gpu_ids: Collection[str]) -> bool:
    return bool(one.gpu_ids and gpu_ids) and not set(gpu_ids).intersection(one.gpu_ids)


def _words(gpu_ids: Collection[str]) -> str:
    """`GPU 0` or `GPUs 0, 1`."""
    return f"GPU{'s' if len(gpu_ids) > 1 else ''} {', '.join(sorted(gpu_ids))}"
