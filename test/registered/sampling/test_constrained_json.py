"""A reply that is bound to a JSON schema fits it, whatever the model would rather say."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

import json
from collections.abc import Iterator
from typing import Any

from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=60, suite="stage-a-test-1-gpu-small-amd")

MODEL = "meta-llama/Llama-3.2-1B-Instruct"
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 24},
        "country": {"type": "string", "enum": ["France", "Italy", "Spain"]},
        "population": {"type": "integer", "minimum": 0, "maximum": 99999999},
        "capital": {"type": "boolean"},
    },
    "required": ["name", "country", "population", "capital"],
    "additionalProperties": False,
}
PRIMES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "primes": {"type": "array", "items": {"type": "integer", "maximum": 99}, "minItems": 3, "maxItems": 3}
    },
    "required": ["primes"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, needs=("chat", "json_schema"), asks=("compact_json",))) as running:
        yield running


def ask(server: Server, question: str, schema: dict[str, Any], temperature: float) -> Any:
    reply = server.client.chat(
        [{"role": "user", "content": question}],
        max_tokens=128,
        temperature=temperature,
        seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}},
    )
    assert reply.finish_reason == "stop", f"cut before the JSON was whole: {reply.text!r}"
    return json.loads(reply.text)


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_object_has_the_fields_and_types_of_its_schema(server: Server, temperature: float) -> None:
    city = ask(server, "Describe Paris.", CITY, temperature)
    assert set(city) == set(CITY["required"])
    assert isinstance(city["name"], str)
    assert len(city["name"]) <= 24
    assert city["country"] in ("France", "Italy", "Spain")
    assert type(city["population"]) is int
    assert 0 <= city["population"] <= 99999999
    assert type(city["capital"]) is bool


def test_array_has_the_length_of_its_schema(server: Server) -> None:
    reply = ask(server, "Tell me a long story without any number.", PRIMES, 0)
    assert list(reply) == ["primes"]
    assert [type(number) for number in reply["primes"]] == [int, int, int]
    assert max(reply["primes"]) <= 99


def test_without_a_schema_the_model_is_free(server: Server) -> None:
    reply = server.client.chat([{"role": "user", "content": "Describe Paris."}], max_tokens=32, temperature=0)
    with pytest.raises(ValueError, match=r"Expecting|Extra data|Unterminated"):
        json.loads(reply.text)
