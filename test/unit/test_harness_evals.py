"""The evaluation's data and arithmetic: what it asks, how it counts, when it refuses to give a score."""

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from harness_run import answer_with, send, use_spec

from harness.client import Client
from harness.errors import EngineError, HarnessError, InfraError, MeasurementError
from harness.evals import data, gsm8k
from harness.evals.answers import answer_in
from harness.evals.data import Problem
from harness.server import Server

pytestmark = pytest.mark.in_container

ROWS = [
    json.loads(line)
    for line in (Path(data.__file__).parent.parent / "data" / "arithmetic.jsonl").read_text().splitlines()
]
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path):
        yield


def value_of(expression: str) -> float:
    """The value of sums, differences, products and quotients of whole numbers; nothing else is an expression."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return cast("float", _OPERATORS[type(op)](value(left), value(right)))
            case ast.Constant(value=int(number)):
                return number
        raise AssertionError(f"{expression!r} is not plain arithmetic")

    return value(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize("row", ROWS, ids=[row["question"][:40] for row in ROWS])
def test_answer_of_every_row_is_the_value_of_its_expression(row: dict[str, Any]) -> None:
    assert row["answer"] == value_of(row["expression"])
    given = {int(word) for word in re.findall(r"\d+", row["question"])}
    used = {int(word) for word in re.findall(r"\d+", row["expression"])}
    assert used <= given | {1}, "the question does not give a number that its expression uses"
    assert row["question"].endswith("?")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "worked" in row], ids=lambda row: row["question"][:40]
)
def test_worked_example_ends_in_its_answer(row: dict[str, Any]) -> None:
    assert row["worked"].endswith(f"The answer is {row['answer']}.")
    assert answer_in(row["worked"]) == row["answer"]


def test_set_is_large_enough_and_asks_nothing_twice() -> None:
    examples, items = data.arithmetic()
    assert len(examples) >= 8
    assert len(items) >= 60
    questions = [problem.question for problem in (*examples, *items)]
    assert len(set(questions)) == len(questions)


def gsm8k_rows(count: int) -> list[str]:
    return [
        json.dumps(
            {
                "question": f"What is {n} + 1,000?",
                "answer": f"{n} + 1000 = <<{n}+1000={n + 1000}>>\n#### {n + 1000:,}",
            }
        )
        for n in range(count)
    ]


def test_gsm8k_comes_from_the_cache_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(gsm8k_rows(data.GSM8K_ROWS)) + "\n")
    problems = data.gsm8k(cache=path, url="http://127.0.0.1:9/never-asked")
    assert len(problems) == data.GSM8K_ROWS
    assert problems[7].question == "What is 7 + 1,000?"
    assert problems[7].answer == 1007
    assert problems[7].worked == "7 + 1000 = <<7+1000=1007>> The answer is 1007."


def test_gsm8k_is_downloaded_once(tmp_path: Path) -> None:
    asked = []

    def reply(handler: BaseHTTPRequestHandler, path: str, _body: Any) -> None:
        asked.append(path)
        send(handler, "\n".join(gsm8k_rows(data.GSM8K_ROWS)).encode())

    path = tmp_path / "cache" / "test.jsonl"
    with answer_with(reply) as port:
        for _ in range(2):
            assert len(data.gsm8k(cache=path, url=f"http://127.0.0.1:{port}/test.jsonl")) == data.GSM8K_ROWS
    assert asked == ["/test.jsonl"]
    assert [file.name for file in path.parent.iterdir()] == ["test.jsonl"], "no part of a download stays"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n".join(gsm8k_rows(1318)), "has 1318 rows, GSM8K's test set has 1319"),
        ('{"question": "x", "answer": "no final line"}', "does not end in '#### N'"),
        ("<html>", "is not GSM8K's test set"),
    ],
    ids=["cut", "another set", "no JSON"],
)
def test_file_that_is_not_gsm8k_gives_no_score(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(text)
    with pytest.raises(InfraError, match=says) as error:
        data.gsm8k(cache=path)
    assert f"rm {path}" in str(error.value)


def test_gsm8k_without_network_says_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "test.jsonl"
    with (
        answer_with(lambda handler, _path, _body: send(handler, b"gone", status=404)) as port,
        pytest.raises(InfraError, match=r"HTTP Error 404") as error,
    ):
        data.gsm8k(cache=path, url=f"http://127.0.0.1:{port}/test.jsonl")
    assert f"curl -fL --create-dirs -o {path} http://127.0.0.1:{port}/test.jsonl" in str(error.value)


def test_prompt_holds_the_examples_and_ends_where_the_model_goes_on() -> None:
    shots = [Problem(question="1 + 1?", answer=Decimal(2), worked="1 + 1 = 2. The answer is 2.")]
    assert data.worked_prompt(shots, "2 + 2?") == (
        "Question: 1 + 1?\nAnswer: 1 + 1 = 2. The answer is 2.\n\nQuestion: 2 + 2?\nAnswer:"
    )


PROBLEMS = [Problem(question=f"What is {n} + {n}?", answer=Decimal(2 * n)) for n in range(8)]


def ask_all(
    reply: Callable[[int], str | None], diagnose: Callable[..., HarnessError] | None = None
) -> gsm8k.Evaluation:
    """Ask all problems of a peer that says `reply(n)` to problem n, or answers 500 for None."""

    def answer(handler: BaseHTTPRequestHandler, _path: str, body: Any) -> None:
        n = int(re.findall(r"What is (\d+)", body["prompt"])[-1])
        text = reply(n)
        if text is None:
            send(handler, b"overloaded", status=500)
        else:
            choice = {"index": 0, "text": text, "finish_reason": "stop"}
            send(handler, json.dumps({"choices": [choice], "usage": {"completion_tokens": 4}}).encode())

    with answer_with(answer) as port:
        client = Client(port=port, model="alias-1", timeout_s=5, diagnose=diagnose)
        server = cast("Server", SimpleNamespace(client=client))
        return gsm8k.ask(server, problems=PROBLEMS, examples=PROBLEMS[:1], parallel=4, max_tokens=8)


def test_score_is_the_share_of_right_answers_in_order() -> None:
    evaluation = ask_all(
        lambda n: f" The answer is {2 * n if n != 3 else 999}." if n != 5 else " I don't know."
    )
    assert (evaluation.correct, evaluation.total, evaluation.score) == (6, 8, 0.75)
    assert evaluation.failed_requests == 0
    assert evaluation.without_number == 1
    assert [answer.number for answer in evaluation.answers] == list(range(8))
    assert [answer.number for answer in evaluation.answers if not answer.correct] == [3, 5]


def test_what_follows_the_next_question_is_not_the_answer() -> None:
    assert ask_all(lambda n: f" {2 * n}\n\nQuestion: What is 1 + 1? The answer is 2.").score == 1


def test_few_failed_requests_count_as_wrong_answers() -> None:
    evaluation = ask_all(lambda n: None if n < 2 else f"The answer is {2 * n}.")
    assert (evaluation.failed_requests, evaluation.correct, evaluation.score) == (2, 6, 0.75)


def test_many_failed_requests_are_no_score_at_all() -> None:
    with pytest.raises(InfraError, match=r"3 of 8 requests failed, more than 25%") as error:
        ask_all(lambda n: None if n < 3 else f"The answer is {2 * n}.")
    assert error.value.verdict == "infra"


def test_dead_server_ends_the_evaluation_at_once() -> None:
    asked: list[int] = []

    def die(n: int) -> str:
        asked.append(n)
        raise ConnectionResetError

    with pytest.raises(EngineError, match="it is dead"):
        ask_all(die, diagnose=lambda _what, _error: EngineError("it is dead"))
    assert len(asked) < len(PROBLEMS)


def test_evaluation_of_nothing_has_no_score() -> None:
    with pytest.raises(MeasurementError):
        gsm8k.ask(cast("Server", None), problems=[], examples=[], parallel=1, max_tokens=1)
