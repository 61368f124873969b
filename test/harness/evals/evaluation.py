"""Asking problems, several at a time, and what share of them was answered right; the same for every evaluation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal

from harness import events
from harness.client import Reply
from harness.errors import InfraError, MeasurementError, RequestError
from harness.evals.data import Problem
from harness.spec import current

__all__ = ["Answer", "Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One item's outcome; `text` is None when its request failed, `given` None when it holds no number."""

    number: int
    expected: Decimal
    text: str | None
    given: Decimal | None
    latency_s: float
    output_tokens: int

    @property
    def correct(self) -> bool:
        """Whether the number given is the number expected."""
        return self.given == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The whole: `score` is correct / total, where an item whose request failed counts as wrong."""

    score: float
    correct: int
    total: int
    failed_requests: int
    without_number: int
    elapsed_s: float
    median_latency_s: float
    output_tokens_per_s: float
    answers: tuple[Answer, ...]


def evaluate(
    problems: Sequence[Problem],
    *,
    parallel: int,
    ask: Callable[[Problem], Reply],
    read: Callable[[str], Decimal | None],
) -> Evaluation:
    """`ask` every problem, `parallel` at a time, and `read` the number in every reply.

    Raises `InfraError` when too many requests failed, `EngineError` as soon as the server is dead.
    """
    if not problems:
        raise MeasurementError("an evaluation of no problems has no score")
    started = time.monotonic()
    fatal: list[BaseException] = []

    def ask_one(number: int, problem: Problem) -> Answer:
        if fatal:  # a dead server answers none of the rest
            raise fatal[0]
        try:
            return _ask_one(number, problem, ask, read)
        except BaseException as error:
            fatal.append(error)
            raise

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        futures = [pool.submit(ask_one, number, problem) for number, problem in enumerate(problems)]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                events.progress("problems answered", done, len(problems))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _judge([future.result() for future in futures], elapsed_s=time.monotonic() - started)


def _ask_one(
    number: int,
    problem: Problem,
    ask: Callable[[Problem], Reply],
    read: Callable[[str], Decimal | None],
) -> Answer:
    started = time.monotonic()
    try:
        reply = ask(problem)
    except RequestError as error:
        events.note(f"problem {number}: request failed: {error.what}")
        text, tokens = None, 0
    else:
        text, tokens = reply.text, int(reply.usage.get("completion_tokens", 0))
    return Answer(
        number=number,
        expected=problem.answer,
        text=text,
        given=None if text is None else read(text),
        latency_s=time.monotonic() - started,
        output_tokens=tokens,
    )


def _judge(answers: Sequence[Answer], *, elapsed_s: float) -> Evaluation:
    total = len(answers)
    failed = sum(answer.text is None for answer in answers)
    allowed = current().limits.failed_requests_max
    if failed / total > allowed:
        raise InfraError(
            f"{failed} of {total} requests failed, more than {allowed:.0%}: the score would measure the server's health",
            cause="see the notes on the failed problems",
        )
    correct = sum(answer.correct for answer in answers)
    wrong = [f"{a.number} ({a.given} for {a.expected})" for a in answers if not a.correct]
    events.note(f"{correct} of {total} correct in {elapsed_s:.1f} s; wrong: {', '.join(wrong) or 'none'}")
    return Evaluation(
        score=correct / total,
        correct=correct,
        total=total,
        failed_requests=failed,
        without_number=sum(answer.text is not None and answer.given is None for answer in answers),
        elapsed_s=elapsed_s,
        median_latency_s=statistics.median(answer.latency_s for answer in answers),
        output_tokens_per_s=sum(answer.output_tokens for answer in answers) / elapsed_s,
        answers=tuple(answers),
    )
