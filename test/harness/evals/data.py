"""The problems that the evaluations ask: GSM8K and MGSM, or in rehearsal sets of our own that a tiny model can do."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from harness import events
from harness.errors import InfraError
from harness.evals.answers import answer_in
from harness.spec import cache_root

__all__ = [
    "GSM8K_ROWS",
    "GSM8K_URL",
    "MGSM_ROWS",
    "MGSM_URL",
    "Problem",
    "arithmetic",
    "gsm8k",
    "mgsm_en",
    "word_problems",
    "worked_prompt",
]

# The address that SGLang's few-shot evaluation reads (benchmark/gsm8k, python/sglang/test/few_shot_gsm8k.py).
GSM8K_URL = (
    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl"
)
GSM8K_ROWS = 1319  # openai/grade-school-math: size of the test set
# The address that SGLang's MGSM evaluation reads (python/sglang/test/simple_eval_mgsm.py).
MGSM_URL = "https://openaipublic.blob.core.windows.net/simple-evals/mgsm_en.tsv"
MGSM_ROWS = 250  # google-research/url-nlp, mgsm: size of the set in every language
# silence after which a download has failed; the larger set is 750 kB
DOWNLOAD_S = 60.0
_OWN = Path(__file__).parent.parent / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A word problem. `worked` is its solution in words, empty where none is written; it ends in the answer."""

    question: str
    answer: Decimal
    worked: str = ""


def arithmetic() -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Our own problems of one step: worked examples, and items to ask."""
    return _own("arithmetic.jsonl")


def word_problems() -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Our own problems of two steps: worked examples, and items to ask."""
    return _own("word_problems.jsonl")


def _own(name: str) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    rows = [json.loads(line) for line in (_OWN / name).read_text(encoding="utf-8").splitlines()]
    problems = [
        Problem(question=row["question"], answer=Decimal(row["answer"]), worked=row.get("worked", ""))
        for row in rows
    ]
    return tuple(p for p in problems if p.worked), tuple(p for p in problems if not p.worked)


def gsm8k(*, cache: Path | None = None, url: str = GSM8K_URL) -> tuple[Problem, ...]:
    """GSM8K's test set in its own order, from the cache or else from the network.

    Raises `InfraError` when it cannot be had or is not what it should be.
    """
    path = cache or cache_root() / "gsm8k" / "test.jsonl"
    return _fetched("GSM8K's test set", path, url, row=_gsm8k_row, rows=GSM8K_ROWS)


def mgsm_en(*, cache: Path | None = None, url: str = MGSM_URL) -> tuple[Problem, ...]:
    """MGSM's English problems in their own order; as `gsm8k` in all else."""
    path = cache or cache_root() / "mgsm" / "mgsm_en.tsv"
    return _fetched("MGSM's English set", path, url, row=_mgsm_row, rows=MGSM_ROWS)


def _fetched(
    name: str, path: Path, url: str, *, row: Callable[[str], Problem], rows: int
) -> tuple[Problem, ...]:
    if not path.is_file():
        _download(name, url, path)
    try:
        problems = tuple(row(line) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfraError(f"{path} is not {name}: {error}", then=f"rm {path}, then run again") from error
    if len(problems) != rows:
        raise InfraError(
            f"{path} has {len(problems)} rows, {name} has {rows}",
            cause="a download that was cut, or another set",
            then=f"rm {path}, then run again",
        )
    return problems


def _gsm8k_row(line: str) -> Problem:
    row = json.loads(line)
    reasoning, mark, final = row["answer"].rpartition("####")
    answer = answer_in(final)
    if not mark or answer is None:
        raise ValueError(f"an answer does not end in '#### N': {row['answer'][-40:]!r}")
    return Problem(
        question=row["question"], answer=answer, worked=f"{reasoning.strip()} The answer is {answer}."
    )


def _mgsm_row(line: str) -> Problem:
    question, tab, final = line.rpartition("\t")
    answer = answer_in(final)
    if not tab or not question or answer is None:
        raise ValueError(f"a line is not a question, a tab and a number: {line[-40:]!r}")
    return Problem(question=question, answer=answer)


def _download(name: str, url: str, path: Path) -> None:
    events.note(f"downloading {url} to {path}")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=DOWNLOAD_S) as answer:  # noqa: S310  # our constant
            part.write_bytes(answer.read())
        part.replace(path)  # several tests may download at once: the last one wins, none sees half a file
    except OSError as error:
        part.unlink(missing_ok=True)
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise InfraError(
            f"{name} cannot be had: {error}",
            cause=f"no network, and nothing at {path}",
            then=f"curl -fL --create-dirs -o {path} {url}",
        ) from error


def worked_prompt(shots: Sequence[Problem], question: str) -> str:
    """The few-shot prompt: each example with its solution, then the question."""
    examples = "".join(f"Question: {shot.question}\nAnswer: {shot.worked}\n\n" for shot in shots)
    return f"{examples}Question: {question}\nAnswer:"
