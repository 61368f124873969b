"""The harness with the real engine: SmolLM2 in llama.cpp's server, started, asked, broken and ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import spec
from harness.errors import EngineError, InfraError
from harness.evals import gsm8k
from harness.evals.data import arithmetic
from harness.server import Server, ServerSpec, launch

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).parents[2]
CATALOG = REPOSITORY / "ci" / "catalog"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def rows(file: str, name: str) -> list[dict[str, Any]]:
    return list(tomllib.loads((CATALOG / file).read_text())[name])


def harness_data() -> dict[str, Any]:
    """The `harness` object of a rehearsal, from the catalog's own rows."""
    stand_ins = {row["id"]: row for row in rows("models.toml", "stand_in")}
    services = rows("engines.toml", "service")
    (service,) = (row for row in services if row["engine"] == "llamacpp")
    return {
        "hardware_class": "cpu",
        "rehearsal": True,
        "engine": "llamacpp",
        "engine_args": service.get("args", []),
        "features": service["features"],
        "known_features": sorted({feature for row in services for feature in row["features"]}),
        "models": {
            row["id"]: {"path": row["stand_in"], "stand_in": stand_ins[row["stand_in"]]}
            for row in rows("models.toml", "model")
            if "stand_in" in row
        },
        "capabilities": {
            row["id"]: {key: row.get(key, "") for key in ("args", "allowed", "why", "issue")}
            for row in rows("capabilities.toml", "capability")
            if row["engine"] == "llamacpp"
        },
        "bounds": {},
        "limits": {
            "launch_s": service["launch_s"],
            "stop_s": service["stop_s"],
            **{
                row["id"].removeprefix("harness."): row["value"]
                for row in rows("limits.toml", "limit")
                if row["id"].startswith("harness.")
            },
        },
    }


def write_spec(folder: Path, harness: dict[str, Any]) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps({"schema": 1, "run_dir": str(folder), "harness": harness}))
    return path


@pytest.fixture(autouse=True)
def harness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    data = harness_data()
    monkeypatch.setenv("AMD_CI_SPEC", str(write_spec(tmp_path, data)))
    monkeypatch.setenv("AMD_CI_TEST", "test_harness_engine")
    monkeypatch.delenv("AMD_CI_EVENTS_FD", raising=False)
    spec.current.cache_clear()
    yield data
    spec.current.cache_clear()


def servers_below(pid: int) -> list[int]:
    """Processes of our launcher program that descend from `pid` or have lost their parent and name it."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
        except OSError:
            continue
        if any(word.endswith(b"llamacpp_server.py") for word in words) and str(pid).encode() in words:
            found.append(int(folder.name))
    return found


def test_server_shows_our_name_answers_and_leaves_nothing() -> None:
    with launch(ServerSpec(model=MODEL)) as server:
        assert server.client.models() == [server.alias]
        assert (
            "Paris" in server.client.completions("The capital of France is", max_tokens=4, temperature=0).text
        )
        assert "llamacpp:" in server.client.get("/metrics")
        assert server.parallel(128) == 4
        assert servers_below(os.getpid()) == [server.pid]
    assert servers_below(os.getpid()) == []
    assert "stopping on SIGTERM" in server.log_path.read_text()


def test_prompt_cache_is_off_for_every_request() -> None:
    prompt = "A long prompt that would be cached: " + "and so on, " * 30
    with launch(ServerSpec(model=MODEL, slots=1)) as server:
        cached = [
            server.client.completions(prompt, max_tokens=1, temperature=0).usage["prompt_tokens_details"][
                "cached_tokens"
            ]
            for _ in range(2)
        ]
        # the server's own default, for requests that do not come from our client
        raw = [server.client.post("/v1/completions", {"prompt": prompt, "max_tokens": 1}) for _ in range(2)]
    assert cached == [0, 0]
    assert [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in raw] == [0, 0]


def test_context_and_slots_of_a_test_replace_the_rows() -> None:
    with launch(ServerSpec(model=MODEL, slots=2, context=256)) as server:
        assert server.parallel(8) == 2
        slots = json.loads(server.client.get("/slots"))
    assert [slot["n_ctx"] for slot in slots] == [256, 256]


def test_port_of_a_running_server_is_refused_by_name() -> None:
    with launch(ServerSpec(model=MODEL)) as server:
        with pytest.raises(InfraError, match=f"port {server.port} is taken") as error:
            start_and_end(ServerSpec(model=MODEL, port=server.port))
        assert f"ss -ltnp 'sport = :{server.port}'" in str(error.value)
        assert server.client.models() == [server.alias], "the one that had the port serves on"


def start_and_end(wanted: ServerSpec) -> None:
    with launch(wanted):
        pass


def test_weights_that_are_missing_name_the_command_that_brings_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harness: dict[str, Any]
) -> None:
    harness["models"][MODEL]["stand_in"]["file"] = "*.no-such-weights"
    monkeypatch.setenv("AMD_CI_SPEC", str(write_spec(tmp_path, harness)))
    spec.current.cache_clear()
    with pytest.raises(InfraError, match=r"0 files fit(.|\n)*requirements/model\.txt"):
        start_and_end(ServerSpec(model=MODEL))
    assert servers_below(os.getpid()) == []


def test_weights_that_are_broken_show_the_engines_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harness: dict[str, Any]
) -> None:
    package = tmp_path / "broken_weights"
    package.mkdir()
    (package / "model.gguf").write_bytes(b"GGUF and then nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    harness["models"][MODEL]["stand_in"] |= {"package": "broken_weights", "file": "*.gguf"}
    monkeypatch.setenv("AMD_CI_SPEC", str(write_spec(tmp_path, harness)))
    spec.current.cache_clear()
    with pytest.raises(
        EngineError, match=r"before it was ready: it ended with exit code 1(.|\n)*model\.gguf"
    ) as error:
        start_and_end(ServerSpec(model=MODEL))
    assert error.value.verdict == "infra", "the stand-in is not the code under test"


def evaluate_while_killing(after_s: float) -> None:
    examples, problems = arithmetic()
    with launch(ServerSpec(model=MODEL)) as server:
        threading.Timer(after_s, os.kill, (server.pid, signal.SIGKILL)).start()
        gsm8k.ask(server, problems=problems, examples=examples[:4], parallel=4, max_tokens=64)


def test_engine_killed_in_an_evaluation_ends_it_with_its_log() -> None:
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"died under the test: POST /v1/completions") as error:
        evaluate_while_killing(after_s=1.5)
    assert time.monotonic() - started < 30, "the rest of the problems was asked of a dead server"
    assert "it ended with signal SIGKILL" in str(error.value)
    assert "processing task" in str(error.value), "the tail of the server's log"
    assert servers_below(os.getpid()) == []


def fail_in_a_test() -> None:
    with launch(ServerSpec(model=MODEL)) as server:
        assert server.client.completions("x", max_tokens=1).text == "something else"


def test_failing_test_leaves_no_server() -> None:
    with pytest.raises(AssertionError):
        fail_in_a_test()
    assert servers_below(os.getpid()) == []


def test_server_ends_with_a_test_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from harness.server import ServerSpec, launch\n"
        f"with launch(ServerSpec(model={MODEL!r})) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "test")}
    test = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    with test:
        assert test.stdout is not None
        server = next(int(line) for line in test.stdout if line.strip().isdigit())
        test.kill()
    deadline = time.monotonic() + 5
    while servers_below(test.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_below(test.pid) == []
    assert not Path(f"/proc/{server}/exe").exists()


def test_greedy_text_is_the_same_after_a_restart() -> None:
    def ask(server: Server) -> str:
        return server.client.completions("Once upon a time", max_tokens=32, temperature=0).text

    texts = set()
    for _ in range(2):
        with launch(ServerSpec(model=MODEL)) as server:
            texts.add(ask(server))
    assert len(texts) == 1
