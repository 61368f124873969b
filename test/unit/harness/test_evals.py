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

from harness.client import Client
from harness.errors import EngineError, HarnessError, InfraError, MeasurementError
from harness.evals import data, gsm8k, mgsm
from harness.evals.answers import answer_in, final_answer_in
from harness.evals.data import Problem
from harness.server import Server
from support.harness_run import MODEL, answer_with, send, spec_data, use_spec

pytestmark = pytest.mark.in_container

SETS = {
    name: [
        json.loads(line)
        for line in (Path(data.__file__).parent.parent / "data" / f"{name}.jsonl").read_text().splitlines()
    ]
    for name in ("arithmetic", "word_problems")
}
ROWS = [row for rows in SETS.values() for row in rows]
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
    assert used <= given, "the question does not give a number that its expression uses"
    assert row["question"].endswith("?")


@pytest.mark.parametrize(
    "row", [row for row in SETS["arithmetic"] if "worked" in row], ids=lambda row: row["question"][:40]
)
def test_worked_example_ends_in_its_answer(row: dict[str, Any]) -> None:
    assert row["worked"].endswith(f"The answer is {row['answer']}.")
    assert answer_in(row["worked"]) == row["answer"]


@pytest.mark.parametrize(
    "row", [row for row in SETS["word_problems"] if "worked" in row], ids=lambda row: row["question"][:40]
)
def test_worked_steps_are_right_and_end_in_the_answer(row: dict[str, Any]) -> None:
    steps = re.findall(r"([\d +*/-]+) = (\d+)", row["worked"])
    assert steps
    for expression, result in steps:
        assert value_of(expression.strip()) == int(result)
    assert int(steps[-1][1]) == row["answer"]


@pytest.mark.parametrize(("name", "least"), [("arithmetic", 60), ("word_problems", 40)])
def test_set_is_large_enough_and_asks_nothing_twice(name: str, least: int) -> None:
    examples, items = getattr(data, name)()
    assert len(examples) >= 8
    assert len(items) >= least
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


PARALLEL = 4
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
        return gsm8k.ask(server, problems=PROBLEMS, examples=PROBLEMS[:1], parallel=PARALLEL, max_tokens=8)


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


def test_crashed_server_ends_the_evaluation_at_once() -> None:
    asked: list[int] = []

    def die(n: int) -> str:
        asked.append(n)
        raise ConnectionResetError

    with pytest.raises(EngineError, match="it is dead"):
        ask_all(die, diagnose=lambda _what, _error: EngineError("it is dead"))
    assert len(asked) <= PARALLEL, "who has seen it does not ask again"


def test_evaluation_of_nothing_has_no_score() -> None:
    with pytest.raises(MeasurementError):
        gsm8k.ask(cast("Server", None), problems=[], examples=[], parallel=1, max_tokens=1)


# --- MGSM


def mgsm_rows(count: int) -> list[str]:
    return [f"What is {n} + 1,000?\t{n + 1000:,}" for n in range(count)]


def test_mgsm_comes_from_the_cache_in_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "mgsm_en.tsv"
    path.write_text("\n".join(mgsm_rows(data.MGSM_ROWS)) + "\n")
    problems = data.mgsm_en(cache=path, url="http://127.0.0.1:9/never-asked")
    assert len(problems) == 250
    assert problems[7].question == "What is 7 + 1,000?"
    assert problems[7].answer == 1007


def test_mgsm_is_downloaded_into_the_shared_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    body = "\n".join(mgsm_rows(data.MGSM_ROWS)).encode()
    with answer_with(lambda handler, _path, _body: send(handler, body)) as port:
        assert len(data.mgsm_en(url=f"http://127.0.0.1:{port}/mgsm_en.tsv")) == 250
    assert (tmp_path / "mgsm" / "mgsm_en.tsv").read_bytes() == body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n".join(mgsm_rows(249)), "has 249 rows, MGSM's English set has 250"),
        ("a question without its answer", "not a question, a tab and a number"),
        ("a question\tno number", "not a question, a tab and a number"),
    ],
)
def test_file_that_is_not_mgsm_gives_no_score(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mgsm_en.tsv"
    path.write_text(text)
    with pytest.raises(InfraError, match=says) as error:
        data.mgsm_en(cache=path)
    assert f"rm {path}" in str(error.value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 2 = 4 apples.\nAnswer: 4", 4),
        ("First I thought Answer: 3, but no.\n\nAnswer: $1,234.50", Decimal("1234.50")),
        ("**Answer: 7**", 7),
        ("Answer: **7**", 7),
        ("**Answer:** 7", 7),
        ("Answer: 6 + 4 = 10", 10),
        ("Answer: 12 birds.", 12),
        ("Answer: -5", -5),
        ("so there are 12 birds, because 7 + 5 = 12", None),
        ("the work was cut before the\nAnswer:", None),
        ("", None),
    ],
)
def test_final_answer_is_the_last_number_after_its_mark(text: str, answer: Decimal | int | None) -> None:
    assert final_answer_in(text) == answer


def run_mgsm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: Callable[[str], str | None], **sizes: int
) -> Any:
    """Run it on a peer that says `reply(question)`; the evaluation and the bodies that the peer was sent."""
    asked: list[Any] = []

    def answer(handler: BaseHTTPRequestHandler, path: str, body: Any) -> None:
        assert path == "/v1/chat/completions"
        asked.append(body)
        text = reply(body["messages"][-1]["content"].partition("\n\n")[2])
        if text is None:
            send(handler, b"overloaded", status=503)
        else:
            choice = {"index": 0, "message": {"content": text}}
            send(handler, json.dumps({"choices": [choice], "usage": {"completion_tokens": 9}}).encode())

    models: dict[str, Any] = spec_data(tmp_path)["harness"]["models"]
    models[MODEL]["stand_in"]["sizes"] = {"mgsm_en": sizes}
    with use_spec(monkeypatch, tmp_path, models=models), answer_with(answer) as port:
        client = Client(port=port, model="alias-1", timeout_s=5)
        server = cast(
            "Server", SimpleNamespace(client=client, model=MODEL, parallel=lambda asked: min(asked, 4))
        )
        return mgsm.run(server), asked


def test_mgsm_asks_our_own_problems_in_rehearsal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {row["question"]: row["answer"] for row in SETS["word_problems"]}

    def reply(question: str) -> str:
        return f"Easy.\nAnswer: {answers[question]}"

    evaluation, asked = run_mgsm(monkeypatch, tmp_path, reply, items=10, shots=2, max_tokens=33)
    assert (evaluation.score, evaluation.total, evaluation.without_number) == (1, 10, 0)
    for body in asked:
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"] * 2 + ["user"]
        assert all("Answer: " in turn["content"] for turn in body["messages"][1::2])
        assert all('"Answer:"' in turn["content"] for turn in body["messages"][::2])
        assert (body["max_tokens"], body["temperature"]) == (33, 0)
    worked = [turn["content"] for turn in asked[0]["messages"][1::2]]
    assert [final_answer_in(text) for text in worked] == [row["answer"] for row in SETS["word_problems"][:2]]
    assert len({body["messages"][-1]["content"] for body in asked}) == 10


def test_mgsm_without_its_mark_has_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    evaluation, asked = run_mgsm(monkeypatch, tmp_path, lambda _question: "It is 7.", items=4)
    assert (evaluation.score, evaluation.without_number, len(asked)) == (0, 4, 4)
    assert len(asked[0]["messages"]) == 1, "no examples where none are asked for"


def test_mgsm_with_many_failed_requests_has_no_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"4 of 4 requests failed, more than 25%"):
        run_mgsm(monkeypatch, tmp_path, lambda _question: None, items=4)


def test_mgsm_on_the_hardware_asks_the_real_set_without_examples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "mgsm").mkdir()
    (tmp_path / "mgsm" / "mgsm_en.tsv").write_text("\n".join(mgsm_rows(250)))
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, _path: str, body: Any) -> None:
        (turn,) = body["messages"]
        asked.append(turn["content"])
        number = int(re.findall(r"What is (\d+)", turn["content"])[0]) + 1000
        choice = {"index": 0, "message": {"content": f"Answer: {number:,}"}}
        send(handler, json.dumps({"choices": [choice]}).encode())

    real: dict[str, Any] = {
        "engine": "sglang",
        "rehearsal": False,
        "models": {MODEL: {"path": MODEL, "stand_in": None}},
    }
    with use_spec(monkeypatch, tmp_path, **real), answer_with(answer) as port:
        client = Client(port=port, model="alias-1", timeout_s=5)
        server = cast("Server", SimpleNamespace(client=client, model=MODEL, parallel=lambda asked: asked))
        evaluation = mgsm.run(server, items=20, parallel=4)
    assert (evaluation.score, evaluation.total) == (1, 20)
    assert sum("What is 19 + 1,000?" in text for text in asked) == 1
