"""Few-shot word problems over /v1/completions, as SGLang's GSM8K evaluation asks them.

In rehearsal the problems are our own, easier set: a 135M model is at the floor on GSM8K, where no regression shows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal

from harness import events
from harness.errors import InfraError, MeasurementError, RequestError
from harness.evals.answers import answer_in
from harness.evals.data import Problem, arithmetic, gsm8k, worked_prompt
from harness.server import Server
from harness.spec import current

__all__ = ["Answer", "Evaluation", "ask", "run"]

_STOP = ["Question:"]


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


def run(
    server: Server, *, items: int = 1319, shots: int = 8, parallel: int = 1319, max_tokens: int = 512
) -> Evaluation:
    """Ask `items` problems with `shots` worked examples before each, `parallel` at a time.

    The examples are never asked, so a set gives at most its size less `shots`. In rehearsal the stand-in's
    `sizes.gsm8k` replaces what was asked for, and its slots limit `parallel`. Same server, same order, same prompts.

    Raises `InfraError` when too many requests failed, `EngineError` as soon as the server is dead.
    """
    spec = current()
    sizes = spec.sizes(server.model, "gsm8k", items=items, shots=shots, max_tokens=max_tokens)
    if spec.rehearsal:
        examples, problems = arithmetic()
    else:
        problems = gsm8k()
        examples, problems = problems[: sizes["shots"]], problems[sizes["shots"] :]
    if sizes["shots"] > len(examples):
        raise MeasurementError(
            f"{sizes['shots']} shots were asked for, the set has {len(examples)} worked examples"
        )
    return ask(
        server,
        problems=problems[: sizes["items"]],
        examples=examples[: sizes["shots"]],
        parallel=server.parallel(parallel),
        max_tokens=sizes["max_tokens"],
    )


def ask(
    server: Server,
    *,
    problems: Sequence[Problem],
    examples: Sequence[Problem],
    parallel: int,
    max_tokens: int,
) -> Evaluation:
    """Ask exactly these problems with exactly these examples; raises as `run` does."""
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        futures = [
            pool.submit(
                _ask_one, server, number, problem, worked_prompt(examples, problem.question), max_tokens
            )
            for number, problem in enumerate(problems)
        ]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                events.progress("problems answered", done, len(problems))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # a dead server answers none of the rest
            raise
    return _judge([future.result() for future in futures], elapsed_s=time.monotonic() - started)


def _ask_one(server: Server, number: int, problem: Problem, prompt: str, max_tokens: int) -> Answer:
    started = time.monotonic()
    try:
        reply = server.client.completions(prompt, max_tokens=max_tokens, temperature=0, stop=_STOP)
    except RequestError as error:
        events.note(f"problem {number}: request failed: {error.what}")
        text, tokens = None, 0
    else:
        text, tokens = reply.text, int(reply.usage.get("completion_tokens", 0))
    return Answer(
        number=number,
        expected=problem.answer,
        text=text,
        # servers differ in what they do about a stop string that the model splits over tokens
        given=None if text is None else answer_in(text.split(_STOP[0])[0]),
        latency_s=time.monotonic() - started,
        output_tokens=tokens,
    )


def _judge(answers: Sequence[Answer], *, elapsed_s: float) -> Evaluation:
    if not answers:
        raise MeasurementError("an evaluation of no problems has no score")
    total = len(answers)
    failed = sum(answer.text is None for answer in answers)
    allowed = current().limit("failed_requests_max")
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
