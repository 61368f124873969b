"""Few-shot word problems over /v1/completions, as SGLang's GSM8K evaluation asks them.

In rehearsal the problems are our own, easier set: a 135M model is at the floor on GSM8K, where no regression shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from harness.client import Reply
from harness.errors import MeasurementError
from harness.evals.answers import answer_in
from harness.evals.data import Problem, arithmetic, gsm8k, worked_prompt
from harness.evals.evaluation import Answer, Evaluation, evaluate
from harness.server import Server
from harness.spec import current

__all__ = ["Answer", "Evaluation", "ask", "run"]

_STOP = ["Question:"]


def run(
    server: Server, *, items: int = 1319, shots: int = 8, parallel: int = 1319, max_tokens: int = 512
) -> Evaluation:
    """Ask `items` problems with `shots` worked examples before each, `parallel` at a time.

    The examples are never asked, so a set gives at most its size less `shots`. In rehearsal the stand-in's
    `sizes.gsm8k` replaces what was asked for, and its slots limit `parallel`. Same server, same order, same prompts.

    Raises `InfraError` when too many requests failed, `EngineError` as soon as the server is dead.
    """
    spec = current()
    sizes = spec.sizes(
        server.model, "gsm8k", items=items, shots=shots, parallel=parallel, max_tokens=max_tokens
    )
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
        parallel=server.parallel(sizes["parallel"]),
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

    def ask_one(problem: Problem) -> Reply:
        prompt = worked_prompt(examples, problem.question)
        return server.client.completions(prompt, max_tokens=max_tokens, temperature=0, stop=_STOP)

    return evaluate(problems, parallel=parallel, ask=ask_one, read=_read)


def _read(text: str) -> Decimal | None:
    # servers differ in what they do about a stop string that the model splits over tokens
    return answer_in(text.split(_STOP[0], maxsplit=1)[0])
