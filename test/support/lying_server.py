"""DOUBLE of an inference server: a small made-up language model behind HTTP, and servers that answer without a model.

The honest one is as regular as a real model's greedy decoding: the next word depends on all the text before it. Each liar
keeps the forms (lengths, usage, log-probabilities, streams) and breaks one thing. Registered tests have to pass with the
honest one and to fail with each liar: `python -m support.lying_server FILES...` runs them and prints the outcomes as JSON.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from support.harness_run import answer_with, send, spec_data

__all__ = ["ENGINES", "LIARS", "outcomes"]

FEATURES = ("batch_invariant", "chat", "completions", "list_prompt", "logprobs", "seed", "streaming")
WORDS = [
    "river",
    "stone",
    "light",
    "harbour",
    "morning",
    "wind",
    "letter",
    "garden",
    "winter",
    "road",
    "window",
    "silver",
    "story",
    "island",
    "quiet",
    "bridge",
    "lantern",
    "valley",
    "sailor",
    "copper",
]
# What the honest model has learned.
KNOWN = {
    "The capital of France is": " Paris",
    "The capital of Germany is": " Berlin",
    "Name three colors.": " red",
}


class Token(NamedTuple):
    """A token with its log-probability, and the best at its place, best first."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


class Honest:
    """A model: its scores for the next word are a function of the text so far."""

    def scores(self, text: str) -> list[tuple[str, float]]:
        """The log-probabilities of some next words, best first."""
        chance = random.Random(hashlib.sha256(text.encode()).digest())
        logits = {f" {word}": chance.gauss(0, 2) for word in chance.sample(WORDS, 12)}
        if text in KNOWN:
            logits[KNOWN[text]] = 9.0
        total = math.log(math.fsum(math.exp(logit) for logit in logits.values()))
        return sorted(((word, logit - total) for word, logit in logits.items()), key=lambda pair: -pair[1])

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        """The reply to a prompt."""
        seed = body.get("seed")
        chance = random.Random(f"{seed} {prompt}") if seed is not None else random.Random()
        greedy = not body.get("temperature")
        tokens: list[Token] = []
        text = prompt
        for _ in range(count):
            ranked = self.scores(text)
            weights = [math.exp(logprob) for _, logprob in ranked]
            word, logprob = ranked[0] if greedy else chance.choices(ranked, weights)[0]
            tokens.append(Token(word, logprob, tuple(ranked[: body.get("logprobs") or 1])))
            text += word
        return tokens

    def text(self, tokens: Sequence[Token]) -> str:
        """The text of the reply."""
        return "".join(token.text for token in tokens)


class FortyTwo(Honest):
    """The same answer to everything, with log-probabilities that fit it."""

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:  # noqa: ARG002  # its lie
        return [
            Token(" 42", -0.01 * (1 + place % 7), ((" 42", -0.01 * (1 + place % 7)), *_others(place, body)))
            for place in range(count)
        ]


class Echo(Honest):
    """The prompt again and again."""

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        words = prompt.split()
        return [
            Token(
                f" {words[place % len(words)]}",
                logprob,
                ((f" {words[place % len(words)]}", logprob), *_others(place, body)),
            )
            for place in range(count)
            for logprob in [-0.01 * (1 + place % 7)]
        ]


class ConstantLogprobs(Honest):
    """A model's text with log-probabilities that are the same everywhere."""

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        return [
            Token(
                token.text,
                -0.1,
                (
                    (token.text, -0.1),
                    *((word, -4.0 - place) for place, (word, _) in enumerate(token.top[1:])),
                ),
            )
            for token in super().tokens(prompt, count, body)
        ]


class Shuffled(Honest):
    """Log-probabilities of the right tokens in another order than the text's."""

    def text(self, tokens: Sequence[Token]) -> str:
        return super().text(tokens[::-1])


class RunsDry(Honest):
    """The right words at first, then the last of them again and again."""

    RIGHT = 8

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        tokens = super().tokens(prompt, count, body)
        last = tokens[: self.RIGHT][-1].text
        return [
            *tokens[: self.RIGHT],
            *(
                Token(last, logprob, ((last, logprob), *_others(place, body)))
                for place, logprob in enumerate(
                    -0.01 * (1 + place % 7) for place in range(count - self.RIGHT)
                )
            ),
        ]


class FirstAnswer(Honest):
    """The answer to the first request, kept for all that follow."""

    def __init__(self) -> None:
        self.kept: list[Token] = []

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        if not self.kept:
            self.kept = super().tokens(prompt, 64, {**body, "logprobs": 5})
        return self.kept[:count]


class SecondBest(Honest):
    """Not the most likely word, but the one after it."""

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        tokens, text = [], prompt
        for _ in range(count):
            ranked = self.scores(text)
            tokens.append(Token(*ranked[1], tuple(ranked[: body.get("logprobs") or 1])))
            text += ranked[1][0]
        return tokens


class ByLength(Honest):
    """Another answer for each limit of tokens."""

    def tokens(self, prompt: str, count: int, body: dict[str, Any]) -> list[Token]:
        return super().tokens(f"{prompt} ({count})", count, body)


class TooLikely(Honest):
    """Probabilities that add up to more than one."""

    def scores(self, text: str) -> list[tuple[str, float]]:
        return [(word, logprob / 8) for word, logprob in super().scores(text)]


LIARS: tuple[type[Honest], ...] = (
    FortyTwo, Echo, ConstantLogprobs, Shuffled, RunsDry, FirstAnswer, SecondBest, ByLength, TooLikely,
)  # fmt: skip
_ENGINES: tuple[type[Honest], ...] = (Honest, *LIARS)
ENGINES: Mapping[str, type[Honest]] = {engine.__name__: engine for engine in _ENGINES}


def _others(place: int, body: dict[str, Any]) -> list[tuple[str, float]]:
    """Alternatives that nobody would miss."""
    return [
        (f" {WORDS[(place + number) % len(WORDS)]}", -6.0 - number)
        for number in range(1, body.get("logprobs") or 1)
    ]


def _reply(engine: Honest, handler: BaseHTTPRequestHandler, path: str, body: Any) -> None:
    if path not in ("/v1/completions", "/v1/chat/completions"):
        send(handler, b"{}", status=404)
        return
    if not isinstance(body.get("max_tokens"), int) or not isinstance(body.get("temperature"), int | float):
        send(handler, b'{"error": "invalid type"}', status=400)
        return
    chat = "messages" in body
    prompt = body["messages"][-1]["content"] if chat else body["prompt"]
    prompts = [prompt] if isinstance(prompt, str) else prompt
    replies = [engine.tokens(each, body["max_tokens"], body) for each in prompts]
    usage = {
        "prompt_tokens": sum(len(each.split()) for each in prompts),
        "completion_tokens": sum(len(tokens) for tokens in replies),
    }
    if body.get("stream"):
        _stream(engine, handler, replies[0], usage, chat=chat)
        return
    choices = [
        {
            "index": index,
            **({"message": {"content": text}} if chat else {"text": text}),
            "finish_reason": "length",
            "logprobs": _logprobs(tokens) if body.get("logprobs") else None,
        }
        for index, tokens in enumerate(replies)
        for text in [engine.text(tokens)]
    ]
    send(handler, json.dumps({"choices": choices, "usage": usage}).encode())


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) for token in tokens],
    }


def _stream(
    engine: Honest,
    handler: BaseHTTPRequestHandler,
    tokens: Sequence[Token],
    usage: dict[str, int],
    *,
    chat: bool,
) -> None:
    handler.send_response(200)
    handler.end_headers()
    whole = engine.text(tokens)
    size = max(1, len(whole) // max(1, len(tokens)))
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    for number, piece in enumerate(pieces, 1):
        reason = "length" if number == len(pieces) else None
        choice = {
            "index": 0,
            "finish_reason": reason,
            **({"delta": {"content": piece}} if chat else {"text": piece}),
        }
        handler.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    handler.wfile.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())


class _Plugin:
    """Gives registered tests this server in place of the engine's, and keeps how each of them ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid.partition("registered/")[2]] = report.outcome


def outcomes(engine: Honest, files: Sequence[str]) -> dict[str, str]:
    """How each case of these registered files ends with this server, by node id below test/registered."""
    # the harness reads its spec when it is imported by a registered test
    from harness import server, spec  # noqa: PLC0415
    from harness.client import Client  # noqa: PLC0415

    @contextlib.contextmanager
    def launch(_spec: Any) -> Iterator[Any]:
        with answer_with(lambda handler, path, body: _reply(engine, handler, path, body)) as port:
            yield SimpleNamespace(
                client=Client(port=port, model="double", timeout_s=20), model="double", rehearsal=True
            )

    real, plugin = server.launch, _Plugin()
    server.launch = launch  # type: ignore[assignment]  # what the registered files import
    try:
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            path = Path(folder, "spec.json")
            path.write_text(
                json.dumps(spec_data(Path(folder), features=FEATURES, known_features=[*FEATURES, "stop"]))
            )
            os.environ["AMD_CI_SPEC"] = str(path)
            spec.current.cache_clear()
            pytest.main(["-q", "--import-mode=importlib", "-p", "no:cacheprovider", *files], plugins=[plugin])
    finally:
        server.launch = real
        for name in [name for name in sys.modules if "registered" in name]:
            del sys.modules[name]
    return plugin.outcomes


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: outcomes(engine(), sys.argv[1:]) for name, engine in ENGINES.items()}))
