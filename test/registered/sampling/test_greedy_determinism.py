"""A greedy reply is the same each time, text and log-probabilities, alone and beside others, and it is a model's reply.

An answer that is made up can be the same each time too: a reply has to depend on its prompt, to consist of its most likely
tokens, and to go on from its own beginning.

SGLang promises this only under `--enable-deterministic-inference`; on ROCm that works with the triton backend alone
(aiter is not in its list, sgl-project/sglang#23382).
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.client import Reply
from harness.register import register_amd_ci
from harness.replies import (
    difference,
    middle,
    wrong_continuation,
    wrong_extension,
    wrong_logprobs,
    wrong_variety,
)
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=90, suite="stage-a-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ARGS = ("--disable-radix-cache",)
PROMPT = "Write a short story about a lighthouse keeper.\n\nOnce upon a time"
OTHERS = ("The three laws of motion are", "A recipe for bread:", "List the planets:\n1. Mercury\n2.")
REPEATS = 4
TOKENS = 32


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    spec = ServerSpec(
        model=MODEL, args=ARGS, needs=("completions", "logprobs"), requires=("deterministic_triton",)
    )
    with launch(spec) as running:
        yield running


def ask(server: Server, prompt: str, tokens: int = TOKENS) -> Reply:
    return server.client.completions(prompt, max_tokens=tokens, temperature=0, seed=1, logprobs=5)


@pytest.fixture(scope="module")
def reference(server: Server) -> Reply:
    reply = ask(server, PROMPT)
    assert reply.usage["completion_tokens"] == TOKENS, "a reply that ends early proves less than it should"
    return reply


@pytest.mark.parametrize("repeat", range(1, REPEATS))
def test_repeated_alone(server: Server, reference: Reply, repeat: int) -> None:
    got = ask(server, PROMPT)
    assert got.text == reference.text, difference(got.tokens, reference.tokens)
    assert got.tokens == reference.tokens, difference(got.tokens, reference.tokens)


def test_beside_itself(server: Server, reference: Reply) -> None:
    with ThreadPoolExecutor(REPEATS) as pool:
        replies = list(pool.map(lambda _: ask(server, PROMPT), range(REPEATS)))
    for got in replies:
        assert got.tokens == reference.tokens, difference(got.tokens, reference.tokens)


def test_beside_others(server: Server, reference: Reply) -> None:
    with ThreadPoolExecutor(len(OTHERS) + 1) as pool:
        replies = list(pool.map(lambda prompt: ask(server, prompt), (PROMPT, *OTHERS)))
    assert replies[0].tokens == reference.tokens, difference(replies[0].tokens, reference.tokens)


def test_log_probabilities_are_those_of_the_text(reference: Reply) -> None:
    assert wrong_logprobs(reference) is None


def test_other_prompts_have_other_replies(server: Server, reference: Reply) -> None:
    replies = {PROMPT: reference, **{prompt: ask(server, prompt) for prompt in OTHERS}}
    assert [wrong_logprobs(reply) for reply in replies.values()] == [None] * len(replies)
    assert wrong_variety({prompt: reply.text for prompt, reply in replies.items()}) is None


@pytest.mark.parametrize("tokens", [1, TOKENS // 2])
def test_a_longer_reply_begins_with_a_shorter_one(server: Server, reference: Reply, tokens: int) -> None:
    short = ask(server, PROMPT, tokens)
    assert len(short.tokens) == tokens
    assert wrong_extension(short, reference) is None


def test_a_reply_goes_on_from_its_own_middle(server: Server, reference: Reply) -> None:
    at = middle(reference.tokens)
    begun = PROMPT + "".join(token.token for token in reference.tokens[:at])
    rest = ask(server, begun, TOKENS - at)
    assert wrong_continuation(reference.tokens, at, rest.tokens) is None
