"""Every sampling parameter does what it says, and every form of prompt means the same."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator
from typing import Any

from harness.client import Reply
from harness.errors import RequestError
from harness.needs import needs
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=60, suite="stage-b-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.2-1B-Instruct"
PROMPT = "My favorite thing about the summer is"
LOOP = "Repeat: " + "ha " * 40 + "ha"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, needs=("completions",))) as running:
        yield running


def ask(server: Server, prompt: Any = PROMPT, **params: Any) -> Reply:
    return server.client.completions(prompt, **{"max_tokens": 16, "temperature": 0, **params})


def test_high_temperature_varies_and_zero_does_not(server: Server) -> None:
    greedy = {ask(server).text for _ in range(3)}
    hot = {ask(server, temperature=1.5).text for _ in range(3)}
    assert len(greedy) == 1
    assert len(hot) > 1


def test_the_same_seed_gives_the_same_reply(server: Server) -> None:
    needs("seed")
    first, again, other = (ask(server, temperature=1.0, seed=seed).text for seed in (11, 11, 12))
    assert first == again
    assert first != other


def test_top_k_of_one_is_greedy(server: Server) -> None:
    needs("top_k")
    assert ask(server, temperature=1.0, top_k=1).text == ask(server).text


def test_tiny_top_p_is_greedy(server: Server) -> None:
    assert ask(server, temperature=1.0, top_p=1e-6).text == ask(server).text


def test_min_p_of_one_is_greedy(server: Server) -> None:
    needs("min_p")
    assert ask(server, temperature=1.0, min_p=1.0).text == ask(server).text


def test_n_gives_as_many_texts_that_differ(server: Server) -> None:
    needs("n")
    reply = ask(server, temperature=1.2, n=2)
    assert len(reply.choices) == 2
    assert reply.choices[0].text != reply.choices[1].text


def test_frequency_penalty_breaks_a_loop(server: Server) -> None:
    needs("penalties")
    free = ask(server, LOOP, max_tokens=24).text
    assert free.count(" ha") > 12, f"no loop to break: {free!r}"
    assert ask(server, LOOP, max_tokens=24, frequency_penalty=2.0).text.count(" ha") < free.count(" ha") / 2


def test_presence_penalty_brings_other_words(server: Server) -> None:
    needs("penalties")
    free, penalised = (ask(server, max_tokens=64, presence_penalty=penalty).text for penalty in (0.0, 2.0))
    assert penalised != free
    assert len(set(penalised.split())) >= len(set(free.split()))


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_max_tokens_is_exact(server: Server, tokens: int) -> None:
    needs("ignore_eos")
    reply = ask(server, max_tokens=tokens, ignore_eos=True)
    assert reply.usage["completion_tokens"] == tokens
    assert reply.finish_reason == "length"


def test_the_first_of_several_stop_strings_ends_the_reply(server: Server) -> None:
    needs("stop")
    counting = "Count: 1, 2, 3, 4, 5,"
    free = ask(server, counting)
    assert " 7" in free.text, f"the model does not count: {free.text!r}"
    reply = ask(server, counting, stop=[" 9", " 7"])
    assert reply.text == free.text[: free.text.index(" 7")]
    assert reply.finish_reason == "stop"


def test_token_ids_mean_the_same_as_their_text(server: Server) -> None:
    needs("token_ids_prompt", "tokenize")
    text = "The quick brown fox jumps over the lazy"
    ids = server.client.tokenize(text)
    by_ids = ask(server, ids)
    assert by_ids.usage["prompt_tokens"] == len(ids)
    # an engine may put a begin-of-text token before a text, and never before ids
    with_begin = ask(server, text)
    if with_begin.usage["prompt_tokens"] == len(ids):
        assert by_ids.text == with_begin.text
    else:
        assert with_begin.usage["prompt_tokens"] == len(ids) + 1


def test_a_list_of_prompts_is_answered_in_order(server: Server) -> None:
    needs("list_prompt", "batch_invariant")
    prompts = [PROMPT, "The capital of Italy is", "2, 4, 6, 8,"]
    reply = ask(server, prompts)
    assert [choice.text for choice in reply.choices] == [ask(server, prompt).text for prompt in prompts]


@pytest.mark.parametrize("wrong", [{"max_tokens": "many"}, {"temperature": "warm"}])
def test_a_parameter_of_the_wrong_type_is_refused(server: Server, wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        ask(server, **wrong)
    assert refused.value.status in (400, 422)
    assert ask(server, max_tokens=1).text is not None, "the server serves on after a bad request"
