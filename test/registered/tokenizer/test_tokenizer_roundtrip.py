"""Text becomes tokens and the same text again, and a reply counts its prompt by the same tokenizer."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.needs import needs
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=50, suite="stage-b-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.2-1B-Instruct"
TEXTS = {
    "words": "The quick brown fox jumps over the lazy dog.",
    "numbers": "3.14159, 2,718 and -42",
    "code": "def f(x):\n\treturn {'a': [x, x ** 2]}  # squares\n",
    "spaces": "one  two   three\n\n\nfour",
    "accents": "Füße, naïve, Ångström, señor",
    "greek": "αβγ δεζ",
    "chinese": "你好世界",
    "emoji": "ship it 🚀🎉",
    "combined": "e\u0301 and \U0001f468\u200d\U0001f469\u200d\U0001f467",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, needs=("tokenize", "completions"))) as running:
        yield running


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_text_comes_back_whole(server: Server, text: str) -> None:
    tokens = server.client.tokenize(text)
    assert tokens
    assert server.client.detokenize(tokens) == text


def test_a_text_of_many_tokens_comes_back_whole(server: Server) -> None:
    text = " ".join(TEXTS.values()) * 20
    tokens = server.client.tokenize(text)
    assert len(tokens) > 1000
    assert server.client.detokenize(tokens) == text


def test_tokens_are_fewer_than_the_bytes_of_plain_words(server: Server) -> None:
    assert len(server.client.tokenize(TEXTS["words"])) < len(TEXTS["words"]) / 3


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_reply_counts_its_prompt_by_the_same_tokenizer(server: Server, text: str) -> None:
    counted = server.client.completions(text, max_tokens=1, temperature=0).usage["prompt_tokens"]
    # a begin-of-text token may stand before a prompt
    assert counted - len(server.client.tokenize(text)) in (0, 1)


def test_pieces_of_a_stream_are_never_half_a_character(server: Server) -> None:
    needs("streaming", "token_ids_prompt")
    # most emoji and rare characters take several tokens: a piece may not end inside one
    prompt = "🚀 🎉 🚀 🎉 🚀 🎉 🚀"
    chunks = list(server.client.stream_completions(prompt, max_tokens=24, temperature=0))
    assert "\ufffd" not in "".join(chunk.text for chunk in chunks)
