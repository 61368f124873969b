"""Prefill and decode behind SGLang's router: a request goes through both, and what comes back is one reply."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from harness.needs import needs
from harness.register import register_amd_ci
from harness.roles import Peer, peers

register_amd_ci(est_time=300, suite="stage-b-test-large-8-gpu-mi35x-disaggregation-amd")

MODEL = "Qwen/Qwen3-8B"
PROMPTS = (
    "The capital of France is",
    "Water boils at a temperature of",
    "The opposite of hot is",
    "One, two, three, four,",
)


@pytest.fixture(scope="module")
def roles() -> Mapping[str, Peer]:
    needs("disaggregation", "completions")
    return peers(MODEL)


def test_the_router_has_one_server_of_each_kind(roles: Mapping[str, Peer]) -> None:
    workers = json.loads(roles["router"].client.get("/workers"))["workers"]
    found = {worker["worker_type"]: worker["url"] for worker in workers if worker["is_healthy"]}
    assert found == {
        role: f"http://{peer.host}:{peer.ports['http']}" for role, peer in roles.items() if role != "router"
    }


def test_a_request_is_answered_through_prefill_and_decode(roles: Mapping[str, Peer]) -> None:
    behind = [roles["prefill"], roles["decode"]]
    before = [peer.metric("prompt_tokens_total") for peer in behind]
    reply = roles["router"].client.completions(PROMPTS[0], max_tokens=8, temperature=0)
    assert "Paris" in reply.text
    assert reply.usage["completion_tokens"] == 8
    after = [peer.metric("prompt_tokens_total") for peer in behind]
    assert all(now > then for now, then in zip(after, before, strict=True)), (before, after)


def test_requests_side_by_side_are_each_answered(roles: Mapping[str, Peer]) -> None:
    def ask(prompt: str) -> int:
        reply = roles["router"].client.completions(prompt, max_tokens=16, temperature=0)
        return int(reply.usage["completion_tokens"])

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        assert all(tokens > 0 for tokens in pool.map(ask, PROMPTS))
