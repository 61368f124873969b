"""MGSM in English over /v1/chat/completions: word problems of several steps, the answer on the reply's last line.

In rehearsal the problems are our own, easier set, after a few worked examples: a 135M model cannot do MGSM at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.client import Reply
from harness.errors import MeasurementError
from harness.evals.answers import final_answer_in
from harness.evals.data import Problem, mgsm_en, word_problems
from harness.evals.evaluation import Evaluation, evaluate
from harness.server import Server
from harness.spec import current

__all__ = ["ask", "messages", "run"]

_INSTRUCTION = (
    'Work out the problem below step by step. End with one more line: "Answer:" and then the number alone.'
)


def run(server: Server, *, items: int = 250, parallel: int = 1024, max_tokens: int = 512) -> Evaluation:
    """Ask `items` problems, `parallel` at a time, without examples.

    In rehearsal the stand-in's `sizes.mgsm_en` replaces what was asked for and may add `shots`; its slots limit
    `parallel`. Same server, same order, same prompts.

    Raises `InfraError` when too many requests failed, `EngineError` as soon as the server is dead.
    """
    spec = current()
    sizes = spec.sizes(
        server.model, "mgsm_en", items=items, shots=0, parallel=parallel, max_tokens=max_tokens
    )
    examples, problems = word_problems() if spec.rehearsal else ((), mgsm_en())
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
        return server.client.chat(messages(examples, problem.question), max_tokens=max_tokens, temperature=0)

    return evaluate(problems, parallel=parallel, ask=ask_one, read=final_answer_in)


def messages(examples: Sequence[Problem], question: str) -> list[dict[str, str]]:
    """The conversation: each example as a question and its answer, then the question, always with the instruction."""
    turns = []
    for example in examples:
        turns.append({"role": "user", "content": f"{_INSTRUCTION}\n\n{example.question}"})
        turns.append({"role": "assistant", "content": f"{example.worked}\nAnswer: {example.answer}"})
    return [*turns, {"role": "user", "content": f"{_INSTRUCTION}\n\n{question}"}]
