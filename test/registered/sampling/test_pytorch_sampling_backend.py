"""PyTorch's sampling in place of the fused kernels: a greedy reply is the same each time, alone and in a batch."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.needs import needs
from harness.register import register_amd_ci
from harness.replies import wrong_variety
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=66, suite="stage-b-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ARGS = ("--sampling-backend", "pytorch", "--disable-radix-cache")
PROMPT = "The capital of Germany is"
REPEATS = 5
BATCH = 10


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, args=ARGS, needs=("completions",))) as running:
        yield running


def test_greedy(server: Server) -> None:
    needs("list_prompt")
    alone = {server.client.completions(PROMPT, max_tokens=32, temperature=0).text for _ in range(REPEATS)}
    assert len(alone) == 1, f"{len(alone)} different replies to the same request: {sorted(alone)}"
    # a batch runs other kernels than one request does: it has to agree with itself alone
    batch = server.client.completions([PROMPT] * BATCH, max_tokens=32, temperature=0)
    together = [choice.text for choice in batch.choices]
    assert len(together) == BATCH
    assert len(set(together)) == 1, (
        f"{len(set(together))} different replies in one batch: {sorted(set(together))}"
    )


def test_a_reply_depends_on_its_prompt(server: Server) -> None:
    prompts = (PROMPT, "Three colors are", "One, two, three,")
    replies = {
        prompt: server.client.completions(prompt, max_tokens=16, temperature=0).text for prompt in prompts
    }
    assert wrong_variety(replies) is None


def test_greedy_knows_the_capital_of_germany(server: Server) -> None:
    assert "Berlin" in server.client.completions(PROMPT, max_tokens=8, temperature=0).text


def test_a_temperature_brings_variety(server: Server) -> None:
    texts = {server.client.completions(PROMPT, max_tokens=16, temperature=1.5).text for _ in range(4)}
    assert len(texts) > 1, "sampling at temperature 1.5 gave the same text four times"
