"""A greedy reply is the same each time, text and log-probabilities, alone and beside others.

SGLang promises this only under `--enable-deterministic-inference`; on ROCm that works with the triton backend alone
(aiter is not in its list, sgl-project/sglang#23382).
"""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.client import Reply
from harness.logprobs import TokenLogprob
from harness.register import register_amd_ci
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


def ask(server: Server, prompt: str) -> Reply:
    return server.client.completions(prompt, max_tokens=TOKENS, temperature=0, seed=1, logprobs=5)


@pytest.fixture(scope="module")
def reference(server: Server) -> Reply:
    reply = ask(server, PROMPT)
    assert reply.usage["completion_tokens"] == TOKENS, "a reply that ends early proves less than it should"
    return reply


def difference(got: Reply, reference: Reply) -> str:
    """Where two replies part, for the message of a failure."""
    pairs: Iterator[tuple[int, tuple[TokenLogprob, TokenLogprob]]]
    pairs = enumerate(zip(got.tokens, reference.tokens, strict=False))
    for place, (ours, theirs) in pairs:
        if ours != theirs:
            return f"token {place}: {ours.token!r} {ours.logprob!r} instead of {theirs.token!r} {theirs.logprob!r}"
    return f"{len(got.tokens)} tokens instead of {len(reference.tokens)}"


@pytest.mark.parametrize("repeat", range(1, REPEATS))
def test_repeated_alone(server: Server, reference: Reply, repeat: int) -> None:
    got = ask(server, PROMPT)
    assert got.text == reference.text, difference(got, reference)
    assert got.tokens == reference.tokens, difference(got, reference)


def test_beside_itself(server: Server, reference: Reply) -> None:
    with ThreadPoolExecutor(REPEATS) as pool:
        replies = list(pool.map(lambda _: ask(server, PROMPT), range(REPEATS)))
    for got in replies:
        assert got.tokens == reference.tokens, difference(got, reference)


def test_beside_others(server: Server, reference: Reply) -> None:
    with ThreadPoolExecutor(len(OTHERS) + 1) as pool:
        replies = list(pool.map(lambda prompt: ask(server, prompt), (PROMPT, *OTHERS)))
    assert replies[0].tokens == reference.tokens, difference(replies[0], reference)
