"""Requests to an OpenAI-compatible server, over the standard library's HTTP client.

One connection per request, never through a proxy. Every method may be called from several threads at once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import sse
from harness.errors import HarnessError, RequestError
from harness.logprobs import TokenLogprob, tokens_of

__all__ = ["Choice", "Chunk", "Client", "Prompt", "Reply"]

# A text, token ids, or several of either.
Prompt = str | Sequence[int] | Sequence[str] | Sequence[Sequence[int]]

_BODY_SHOWN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One text of a reply, why it ended (`stop`, `length`), and its tokens if log-probabilities were asked for."""

    text: str
    finish_reason: str | None
    tokens: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply; `choices` are in the order of their index, `usage` as the server counts tokens."""

    choices: tuple[Choice, ...]
    usage: Mapping[str, Any]
    raw: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason

    @property
    def tokens(self) -> tuple[TokenLogprob, ...]:
        """The tokens of the first choice."""
        return self.choices[0].tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One event of a stream; `at_s` is seconds since the request was sent."""

    at_s: float
    text: str
    finish_reason: str | None
    tokens: tuple[TokenLogprob, ...]
    usage: Mapping[str, Any] | None


def _text_of(choice: Mapping[str, Any]) -> str:
    if "text" in choice:
        return str(choice["text"])
    return str((choice.get("message") or choice.get("delta") or {}).get("content") or "")


class Client:
    """Speaks to one server. `defaults` are added to every generating request that does not say otherwise.

    `diagnose` is asked what to raise when a connection breaks or no answer comes: a dead server is another error than
    a slow one. `generates` is false where a completion would end the server: it is refused here.
    """

    def __init__(
        self,
        *,
        port: int,
        model: str,
        timeout_s: float,
        host: str = "127.0.0.1",
        defaults: Mapping[str, Any] | None = None,
        diagnose: Callable[[str, Exception], HarnessError] | None = None,
        generates: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.model = model
        self.timeout_s = timeout_s
        self.defaults = dict(defaults or {})
        self.diagnose = diagnose or self._unanswered
        self.generates = generates

    def _unanswered(self, what: str, error: Exception) -> HarnessError:
        return RequestError(f"{what}: no answer: {type(error).__name__}: {error}")

    @contextlib.contextmanager
    def _exchange(self, method: str, path: str, body: Any) -> Iterator[http.client.HTTPResponse]:
        """Send one request, hand out the answer to read, close both; a broken connection at any point is diagnosed."""
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        try:
            connection.request(
                method, path, body=data, headers={"Content-Type": "application/json"} if data else {}
            )
            with (
                connection.getresponse() as response
            ):  # holds the socket when the server says "Connection: close"
                if response.status >= http.client.BAD_REQUEST:
                    text = response.read().decode("utf-8", "replace")
                    raise RequestError(
                        f"{method} {path}: HTTP {response.status}: {text[:_BODY_SHOWN]}",
                        status=response.status,
                        body=text,
                    )
                yield response
        except (OSError, http.client.HTTPException) as error:
            raise self.diagnose(f"{method} {path}", error) from error
        finally:
            connection.close()

    def get(self, path: str) -> str:
        """The body of `GET path`."""
        return self._whole("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that `POST path` answers with, nothing added to `body`."""
        return self._json("POST", path, self._whole("POST", path, body))

    def _whole(self, method: str, path: str, body: Any) -> str:
        with self._exchange(method, path, body) as response:
            return response.read().decode("utf-8", "replace")

    def _json(self, method: str, path: str, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise RequestError(
                f"{method} {path}: the answer is not JSON: {text[:_BODY_SHOWN]}", body=text
            ) from error

    def _require_generating(self, path: str) -> None:
        if not self.generates:
            raise RequestError(
                f"POST {path}: not sent, this server answers embeddings alone",
                cause="it was started with embeddings=True, and a completion would end it: start another without",
            )

    def _generate(self, path: str, body: Mapping[str, Any]) -> Reply:
        self._require_generating(path)
        raw = self.post(path, {"model": self.model, **self.defaults, **body})
        choices = sorted(raw.get("choices", ()), key=lambda choice: int(choice["index"]))
        if not choices:
            raise RequestError(
                f"POST {path}: the answer has no choices: {str(raw)[:_BODY_SHOWN]}", body=str(raw)
            )
        return Reply(
            choices=tuple(
                Choice(
                    text=_text_of(choice),
                    finish_reason=choice.get("finish_reason"),
                    tokens=tokens_of(choice.get("logprobs")),
                )
                for choice in choices
            ),
            usage=raw.get("usage") or {},
            raw=raw,
        )

    def completions(self, prompt: Prompt, **params: Any) -> Reply:
        """`POST /v1/completions`; `params` are the endpoint's own."""
        return self._generate("/v1/completions", {"prompt": prompt, **params})

    def chat(self, messages: Sequence[Mapping[str, str]], **params: Any) -> Reply:
        """`POST /v1/chat/completions`; `params` are the endpoint's own."""
        return self._generate("/v1/chat/completions", {"messages": list(messages), **params})

    def stream_completions(self, prompt: Prompt, **params: Any) -> Iterator[Chunk]:
        """`POST /v1/completions` as a stream; ends when the server says so."""
        return self._stream("/v1/completions", {"prompt": prompt, **params})

    def stream_chat(self, messages: Sequence[Mapping[str, str]], **params: Any) -> Iterator[Chunk]:
        """`POST /v1/chat/completions` as a stream; ends when the server says so."""
        return self._stream("/v1/chat/completions", {"messages": list(messages), **params})

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Chunk]:
        self._require_generating(path)
        body = {
            "model": self.model,
            **self.defaults,
            "stream": True,
            "stream_options": {"include_usage": True},
            **body,
        }
        sent = time.monotonic()
        with self._exchange("POST", path, body) as response:
            for data in sse.data_of(response):
                if data == sse.DONE:
                    return
                yield self._chunk(path, data, time.monotonic() - sent)
            raise http.client.IncompleteRead(b"")  # a stream that is not closed by [DONE] was cut

    def _chunk(self, path: str, data: str, at_s: float) -> Chunk:
        raw = self._json("POST", path, data)
        if "error" in raw:
            raise RequestError(f"POST {path} (stream): {str(raw['error'])[:_BODY_SHOWN]}", body=data)
        choice = (raw.get("choices") or [{}])[0]
        return Chunk(
            at_s=at_s,
            text=_text_of(choice),
            finish_reason=choice.get("finish_reason"),
            tokens=tokens_of(choice.get("logprobs")),
            usage=raw.get("usage"),
        )

    def embeddings(self, inputs: Sequence[str]) -> list[list[float]]:
        """`POST /v1/embeddings`: one vector for each of `inputs`, in their order."""
        raw = self.post("/v1/embeddings", {"model": self.model, "input": list(inputs)})
        return [item["embedding"] for item in sorted(raw["data"], key=lambda item: int(item["index"]))]

    def models(self) -> list[str]:
        """The ids in `GET /v1/models`."""
        raw = self._json("GET", "/v1/models", self.get("/v1/models"))
        return [item["id"] for item in raw["data"]]

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """The token ids of `text` by `POST /tokenize`; `special` adds those that the server puts around a prompt.

        SGLang reads `prompt` and `add_special_tokens`, llama.cpp `content` and `add_special`; each ignores the other's.
        """
        body = {"prompt": text, "add_special_tokens": special, "content": text, "add_special": special}
        return [int(token) for token in self.post("/tokenize", {"model": self.model, **body})["tokens"]]

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids by `POST /detokenize`; SGLang answers with `text`, llama.cpp with `content`."""
        raw = self.post("/detokenize", {"model": self.model, "tokens": list(tokens)})
        return str(raw["text"] if "text" in raw else raw["content"])
