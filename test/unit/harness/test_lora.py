"""A bench through an adapter while others come and go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench import lora
from harness.errors import InfraError, MeasurementError, RequestError
from support.harness_peer import BENCH_FEATURES, Peer, serve
from support.harness_run import use_spec

pytestmark = pytest.mark.in_container

ADAPTERS = {"used": "/a/used", "one": "/a/one", "two": "/a/two"}
SMALL: dict[str, Any] = {"prompts": 6, "input_len": 6, "output_len": 4, "concurrency": 1}


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with use_spec(monkeypatch, tmp_path, features=BENCH_FEATURES, known_features=BENCH_FEATURES):
        yield


def updates(peer: Peer) -> list[tuple[str, Any]]:
    return [(path.strip("/"), body) for path, body in peer.asked if path.endswith("lora_adapter")]


def test_requests_go_through_the_first_adapter_and_nothing_is_updated() -> None:
    peer = Peer()
    with serve(peer) as server:
        result = lora.run(server, ADAPTERS, **SMALL)
    assert result.requests == 6
    assert {body["model"] for body in peer.bodies("/v1/completions")} == {"alias-1:used"}
    assert updates(peer) == []


def test_other_adapters_are_loaded_and_unloaded_in_turn_meanwhile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "ADAPTER_PAUSE_S", 0.01)
    peer = Peer(first_s=0.05)
    with serve(peer) as server:
        lora.run(server, ADAPTERS, updates_in_background=True, **SMALL)
    done = updates(peer)
    assert done[:4] == [
        ("load_lora_adapter", {"lora_name": "one", "lora_path": "/a/one"}),
        ("unload_lora_adapter", {"lora_name": "one"}),
        ("load_lora_adapter", {"lora_name": "two", "lora_path": "/a/two"}),
        ("unload_lora_adapter", {"lora_name": "two"}),
    ]
    assert len(done) % 2 == 0, "an adapter stays in the server"
    assert f"{len(done)} adapter updates in the background" in capsys.readouterr().out
    paths = [path for path, _ in peer.asked]
    assert paths.index("/load_lora_adapter") < len(paths) - 1 - paths[::-1].index("/v1/completions")


def test_update_that_is_refused_fails_the_bench() -> None:
    refusal = {"/unload_lora_adapter": lambda _body: (400, {"error_message": "in use"})}
    with serve(Peer(answers=refusal)) as server, pytest.raises(RequestError, match=r"HTTP 400: .*in use"):
        lora.run(server, ADAPTERS, updates_in_background=True, **SMALL)


def test_failure_of_the_bench_ends_the_updates() -> None:
    peer = Peer(fail=lambda _number: True)
    with serve(peer) as server:
        with pytest.raises(InfraError):
            lora.run(server, ADAPTERS, updates_in_background=True, **SMALL)
        before = len(peer.asked)
        assert len(updates(peer)) % 2 == 0
        assert len(peer.asked) == before


@pytest.mark.parametrize(("adapters", "says"), [({}, "needs an adapter"), ({"used": "x"}, "besides 'used'")])
def test_adapters_that_are_too_few_are_refused(adapters: dict[str, str], says: str) -> None:
    with serve(Peer()) as server, pytest.raises(MeasurementError, match=says):
        lora.run(server, adapters, updates_in_background=True, **SMALL)
