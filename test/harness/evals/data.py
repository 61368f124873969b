"""The problems that the GSM8K evaluation asks: GSM8K itself, or in rehearsal a set of our own that a tiny model can do."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from harness import events
from harness.errors import InfraError
from harness.evals.answers import answer_in
from harness.spec import cache_root, current

__all__ = ["GSM8K_ROWS", "GSM8K_URL", "Problem", "arithmetic", "gsm8k", "worked_prompt"]

# The address that SGLang's few-shot evaluation reads (benchmark/gsm8k, python/sglang/test/few_shot_gsm8k.py).
GSM8K_URL = (
    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl"
)
GSM8K_ROWS = 1319  # openai/grade-school-math: size of the test set
_ARITHMETIC = Path(__file__).parent.parent / "data" / "arithmetic.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A word problem. `worked` is its solution in words, empty where none is written; it ends in the answer."""

    question: str
    answer: Decimal
    worked: str = ""


def arithmetic() -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Our own set: worked examples, and items to ask."""
    rows = [json.loads(line) for line in _ARITHMETIC.read_text(encoding="utf-8").splitlines()]
    problems = [
        Problem(question=row["question"], answer=Decimal(row["answer"]), worked=row.get("worked", ""))
        for row in rows
    ]
    return tuple(p for p in problems if p.worked), tuple(p for p in problems if not p.worked)


def gsm8k(*, cache: Path | None = None, url: str = GSM8K_URL) -> tuple[Problem, ...]:
    """GSM8K's test set in its own order, from the cache or else from the network.

    Raises `InfraError` when it can't be had or is not what it should be.
    """
    path = cache or cache_root() / "gsm8k" / "test.jsonl"
    if not path.is_file():
        _download(url, path)
    try:
        problems = tuple(_row(line) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfraError(
            f"{path} is not GSM8K's test set: {error}", then=f"rm {path}, then run again"
        ) from error
    if len(problems) != GSM8K_ROWS:
        raise InfraError(
            f"{path} has {len(problems)} rows, GSM8K's test set has {GSM8K_ROWS}",
            cause="a download that was cut, or another set",
            then=f"rm {path}, then run again",
        )
    return problems


def _row(line: str) -> Problem:
    row = json.loads(line)
    reasoning, mark, final = row["answer"].rpartition("####")
    answer = answer_in(final)
    if not mark or answer is None:
        raise ValueError(f"an answer does not end in '#### N': {row['answer'][-40:]!r}")
    return Problem(
        question=row["question"], answer=answer, worked=f"{reasoning.strip()} The answer is {answer}."
    )


def _download(url: str, path: Path) -> None:
    events.note(f"downloading {url} to {path}")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=current().limit("download_s")) as answer:  # noqa: S310  # our constant
            part.write_bytes(answer.read())
        part.replace(path)  # several tests may download at once: the last one wins, none sees half a file
    except OSError as error:
        part.unlink(missing_ok=True)
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise InfraError(
            f"GSM8K's test set can't be had: {error}",
            cause=f"no network, and nothing at {path}",
            then=f"curl -fL --create-dirs -o {path} {url}",
        ) from error


def worked_prompt(shots: Sequence[Problem], question: str) -> str:
    """The few-shot prompt: each example with its solution, then the question."""
    examples = "".join(f"Question: {shot.question}\nAnswer: {shot.worked}\n\n" for shot in shots)
    return f"{examples}Question: {question}\nAnswer:"
