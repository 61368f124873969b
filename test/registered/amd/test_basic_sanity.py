"""The server answers at all, and the ways of asking agree with each other."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.client import Reply
from harness.needs import needs
from harness.register import register_amd_ci
from harness.replies import wrong_logprobs, wrong_variety
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=110, suite="stage-a-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "The opposite of hot is",
    "One, two, three, four,",
)
QUESTION = ({"role": "user", "content": "Name three colors."},)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, needs=("completions", "chat"))) as running:
        yield running


def test_completion_knows_the_capital_of_france(server: Server) -> None:
    reply = server.client.completions(PROMPTS[0], max_tokens=8, temperature=0)
    assert "Paris" in reply.text
    assert reply.usage["completion_tokens"] <= 8
    assert reply.usage["prompt_tokens"] > 0


def test_max_tokens_ends_a_reply(server: Server) -> None:
    reply = server.client.completions("1, 2, 3, 4, 5, 6,", max_tokens=5, temperature=0)
    assert reply.finish_reason == "length"
    assert reply.usage["completion_tokens"] == 5


def test_chat_answers_in_words(server: Server) -> None:
    reply = server.client.chat(QUESTION, max_tokens=24, temperature=0)
    assert any(color in reply.text.lower() for color in ("red", "blue", "green", "yellow"))


def test_streamed_completion_is_the_whole_one_in_pieces(server: Server) -> None:
    needs("streaming")
    whole = server.client.completions(PROMPTS[1], max_tokens=24, temperature=0)
    chunks = list(server.client.stream_completions(PROMPTS[1], max_tokens=24, temperature=0))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert sum(bool(chunk.text) for chunk in chunks) > 1, "the text came in one piece: that is no stream"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [whole.finish_reason]
    assert [chunk.usage["completion_tokens"] for chunk in chunks if chunk.usage][-1] == whole.usage[
        "completion_tokens"
    ]


def test_streamed_chat_is_the_whole_one_in_pieces(server: Server) -> None:
    needs("streaming")
    whole = server.client.chat(QUESTION, max_tokens=24, temperature=0)
    chunks = list(server.client.stream_chat(QUESTION, max_tokens=24, temperature=0))
    assert "".join(chunk.text for chunk in chunks) == whole.text


def test_a_stop_string_ends_a_reply_and_is_left_out(server: Server) -> None:
    needs("stop")
    free = server.client.completions(PROMPTS[3], max_tokens=16, temperature=0)
    assert " six" in free.text, "the model does not count: another prompt is needed"
    stopped = server.client.completions(PROMPTS[3], max_tokens=16, temperature=0, stop=[" six"])
    assert stopped.text == free.text[: free.text.index(" six")]
    assert stopped.finish_reason == "stop"


def test_logprobs_are_those_of_a_greedy_reply(server: Server) -> None:
    needs("logprobs")
    reply = server.client.completions(PROMPTS[2], max_tokens=8, temperature=0, logprobs=3)
    assert wrong_logprobs(reply) is None
    assert all(len(token.top) == 3 for token in reply.tokens)


def test_requests_side_by_side_get_the_replies_they_get_alone(server: Server) -> None:
    needs("batch_invariant")

    def ask(prompt: str) -> Reply:
        return server.client.completions(prompt, max_tokens=24, temperature=0)

    alone = [ask(prompt).text for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        together = [reply.text for reply in pool.map(ask, PROMPTS)]
    assert together == alone
    assert wrong_variety(dict(zip(PROMPTS, alone, strict=True))) is None
