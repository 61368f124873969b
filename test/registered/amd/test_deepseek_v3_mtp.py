"""DeepSeek-V3 with its own draft heads on eight GPUs: GSM8K, and how many drafted tokens are accepted at a time."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

import json
from collections.abc import Iterator

from harness.bounds import check
from harness.evals import gsm8k
from harness.register import register_amd_ci
from harness.server import Server, ServerSpec, launch

register_amd_ci(est_time=980, suite="stage-c-test-large-8-gpu-amd")

MODEL = "deepseek-ai/DeepSeek-V3-0324"
ARGS = (
    "--trust-remote-code",
    *("--tp", "8"),
    *("--speculative-algorithm", "EAGLE"),
    *("--speculative-num-steps", "3"),
    *("--speculative-eagle-topk", "1"),
    *("--speculative-num-draft-tokens", "4"),
    *("--model-loader-extra-config", '{"enable_multithread_load": true, "num_threads": 64}'),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(ServerSpec(model=MODEL, args=ARGS, needs=("completions", "stop", "speculative"))) as running:
        yield running


def test_accuracy(server: Server) -> None:
    check("gsm8k_accuracy", gsm8k.run(server, items=200, shots=5, parallel=128).score)


def test_drafts_are_accepted(server: Server) -> None:
    # the server's own mean over every request so far: the evaluation's, and this one when it runs alone
    server.client.completions("Count from one to fifty:", max_tokens=256, temperature=0)
    state = json.loads(server.client.get("/server_info"))["internal_states"][0]
    check("accepted_length", float(state["avg_spec_accept_length"]))
