"""The life of a server under a test, with a program in SGLang's place that behaves as configured."""

import json
import os
import select
import signal
import socket
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EngineCrashError, EngineError, InfraError, MissingRowError, RequestError
from harness.server import ServerSpec, launch
from support.harness_run import LIMITS, MODEL, use_spec

pytestmark = [pytest.mark.processes, pytest.mark.in_container]

NO_STAND_IN = {MODEL: {"path": "/models/m", "stand_in": None}}
SGLANG: dict[str, Any] = {"engine": "sglang", "rehearsal": False, "models": NO_STAND_IN}

_SGLANG = """
    import json, os, signal, subprocess, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    def option(name):
        return sys.argv[sys.argv.index(name) + 1]

    do = os.environ["DO"].split()
    print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}), flush=True)
    for line in range(10):
        print("line", line, flush=True)
    if "exit" in do:
        raise SystemExit(3)
    if "crash" in do:
        signal.raise_signal(signal.SIGKILL)
    if "hang" in do:
        time.sleep(60)
    if "deaf" in do:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("child", child.pid, flush=True)
    name = "another-model" if "stranger" in do else option("--served-model-name")

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value):
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer({"data": [{"id": name}]} if self.path == "/v1/models" else {"status": "ok"})

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            prompt = json.loads(self.rfile.read(length))["prompt"]
            if prompt == "die":
                print("HSA_STATUS_ERROR", flush=True)
                os._exit(134)
            if prompt == "hang up":
                self.close_connection = True
                return
            if prompt == "sleep":
                time.sleep(3)
            self.answer({"choices": [{"index": 0, "text": prompt}]})

    ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    package = tmp_path / "engine" / "sglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "launch_server.py").write_text(textwrap.dedent(_SGLANG))
    monkeypatch.syspath_prepend(str(package.parent))
    with use_spec(monkeypatch, tmp_path, **SGLANG):
        yield


def wanted(tmp_path: Path, do: str = "serve", **options: Any) -> ServerSpec:
    return ServerSpec(model=MODEL, env={"DO": do, "PYTHONPATH": str(tmp_path / "engine")}, **options)


def refuse(server: ServerSpec) -> None:
    """Try to start what must not start."""
    with launch(server):
        pytest.fail("a server was handed out")


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that has ended and waits for its parent does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_server_is_started_as_sglang_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv("AMD_CI_EVENTS_FD", str(writing))
    with launch(wanted(tmp_path, args=("--tp", "8"))) as server:
        assert server.client.completions("hello").text == "hello"
        assert server.parallel(128) == 128
        pid = server.pid
    os.close(writing)
    os.close(reading)
    printed = json.loads(server.log_path.read_text().splitlines()[0])
    assert printed["argv"] == [
        *("--model-path", "/models/m", "--served-model-name", server.alias),
        *("--host", "127.0.0.1", "--port", str(server.port), "--tp", "8"),
    ]
    assert server.alias.startswith("model-"), "the model's name and something that no other server has"
    assert printed["env"]["AMD_CI_TEST"] == os.environ["AMD_CI_TEST"]
    assert "AMD_CI_EVENTS_FD" not in printed["env"], "the socket is not inherited"
    assert server.log_path.parent == tmp_path / "logs"
    assert is_gone(pid)


def test_a_variable_may_name_another_path_for_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def path_with(variable: str) -> str:
        with launch(wanted(tmp_path, path_variable=variable)) as server:
            argv = json.loads(server.log_path.read_text().splitlines()[0])["argv"]
        return str(argv[argv.index("--model-path") + 1])

    monkeypatch.setenv("MY_MODEL_PATH", "/models/mine")
    assert path_with("MY_MODEL_PATH") == "/models/mine"
    monkeypatch.delenv("MY_MODEL_PATH")
    assert path_with("MY_MODEL_PATH") == "/models/m"


def test_a_stand_in_never_waits_as_long_as_a_large_model_may(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rehearsal = {**SGLANG, "rehearsal": True, "limits": {**LIMITS, "launch_s": 0.5}}
    with (
        use_spec(monkeypatch, tmp_path, **rehearsal),
        pytest.raises(EngineCrashError, match=r"not ready after 0\.5 s"),
    ):
        refuse(wanted(tmp_path, "hang", launch_timeout_s=5400))


CAPABILITIES = {
    "deterministic_inference": {
        "args": ["--enable-deterministic-inference"],
        "allowed": False,
        "why": "aiter is not allowed with it",
        "issue": "https://github.com/sgl-project/sglang/issues/23536",
    },
    "memory": {"args": ["--mem-fraction-static", "0.72"], "allowed": True, "why": "it fits", "issue": ""},
    "noted": {"args": [], "allowed": False, "why": "nobody tried", "issue": ""},
}


def test_rows_decide_which_arguments_that_were_requested_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asks = ("deterministic_inference", "memory", "noted")
    with (
        use_spec(monkeypatch, tmp_path, **SGLANG, capabilities=CAPABILITIES),
        launch(wanted(tmp_path, args=("--tp", "8"), asks=asks)) as server,
    ):
        argv = json.loads(server.log_path.read_text().splitlines()[0])["argv"]
    assert argv[-4:] == ["--tp", "8", "--mem-fraction-static", "0.72"]
    assert "--enable-deterministic-inference" not in argv
    out = capsys.readouterr().out
    assert (
        "[note] left out --enable-deterministic-inference (deterministic_inference for sglang on cpu) because "
        "aiter is not allowed with it (https://github.com/sgl-project/sglang/issues/23536)\n"
    ) in out
    assert "[note] left out noted (noted for sglang on cpu) because nobody tried\n" in out
    assert "memory" not in out


def test_what_a_test_requires_gives_its_arguments_or_skips_before_a_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with use_spec(monkeypatch, tmp_path, **SGLANG, capabilities=CAPABILITIES):
        with pytest.raises(pytest.skip.Exception, match="has no noted: nobody tried"):
            refuse(wanted(tmp_path, requires=("memory", "noted")))
        assert not (tmp_path / "logs").exists(), "nothing was started"
        with launch(wanted(tmp_path, args=("--tp", "8"), requires=("memory",))) as server:
            argv = json.loads(server.log_path.read_text().splitlines()[0])["argv"]
    assert argv[-4:] == ["--tp", "8", "--mem-fraction-static", "0.72"]


def test_capability_without_a_row_names_the_row_to_add(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        use_spec(monkeypatch, tmp_path, **SGLANG, capabilities=CAPABILITIES),
        pytest.raises(
            MissingRowError, match=r"'fp4_kv_cache' has no row for sglang on cpu \(known: deterministic_i"
        ) as error,
    ):
        refuse(wanted(tmp_path, asks=("memory", "fp4_kv_cache")))
    assert 'add to ci/catalog/capabilities.toml: [[capability]] id = "fp4_kv_cache"' in str(error.value)
    assert error.value.verdict == "product"
    assert not (tmp_path / "logs").exists(), "nothing was started"


@pytest.mark.parametrize("embeddings", [True, False])
def test_server_for_embeddings_gets_its_arguments(tmp_path: Path, *, embeddings: bool) -> None:
    with launch(wanted(tmp_path, embeddings=embeddings)) as server:
        argv = json.loads(server.log_path.read_text().splitlines()[0])["argv"]
    assert ("--is-embedding" in argv) is embeddings


def test_completion_is_not_sent_to_a_server_for_embeddings(tmp_path: Path) -> None:
    with launch(wanted(tmp_path, embeddings=True)) as server:
        with pytest.raises(RequestError, match="not sent, this server answers embeddings alone") as error:
            server.client.completions("die")
        with pytest.raises(RequestError, match="not sent"):
            list(server.client.stream_chat([]))
        assert "embeddings=True" in str(error.value)
        assert server.client.models() == [server.alias], "it lives"


def test_shared_memory_of_a_killed_server_is_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.server.SHARED_MEMORY", tmp_path)
    with launch(wanted(tmp_path)) as server:
        ours, other = (tmp_path / f"multi_tokenizer_args_{pid}" for pid in (server.pid, "1"))
        ours.touch()
        other.touch()
    assert not ours.exists()
    assert other.exists()


def test_two_servers_have_two_ports_names_and_logs(tmp_path: Path) -> None:
    with launch(wanted(tmp_path)) as one, launch(wanted(tmp_path)) as other:
        assert one.port != other.port
        assert one.alias != other.alias
        assert one.client.models() == [one.alias]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "test_registered_amd_test_x.py.server-1.log",
        "test_registered_amd_test_x.py.server-2.log",
    ]


@pytest.mark.parametrize(("do", "ending"), [("exit", "exit code 3"), ("crash", "signal SIGKILL")])
def test_crash_before_it_is_ready_shows_ending_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: str, ending: str
) -> None:
    monkeypatch.setattr("harness.server.LOG_TAIL_LINES", 5)
    with pytest.raises(EngineCrashError) as error:
        refuse(wanted(tmp_path, do))
    assert f"it ended with {ending}" in str(error.value)
    assert "line 5\nline 6\nline 7\nline 8\nline 9\n" in str(error.value)
    assert "line 4" not in str(error.value)
    assert ("SGLang ends its own processes with SIGKILL" in str(error.value)) is (do == "crash")
    assert error.value.verdict is None, "the product's own crash: the rules over the log decide"


def test_server_that_is_never_ready_is_ended_at_its_deadline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.server.PROGRESS_EVERY_S", 0.1)
    started = time.monotonic()
    with pytest.raises(
        EngineCrashError, match=r"was not ready after 0\.5 s: process \d+ is still alive"
    ) as error:
        refuse(wanted(tmp_path, "hang", launch_timeout_s=0.5))
    assert time.monotonic() - started < 5
    pid = int(str(error.value).split("process ")[1].split()[0])
    assert is_gone(pid)
    assert "[progress] waiting for the server of org/model (seconds): 0." in capsys.readouterr().out


def test_another_server_on_our_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="it serves another-model, not ours") as error:
        refuse(wanted(tmp_path, "stranger"))
    assert "ss -ltnp 'sport = :" in str(error.value)


def test_port_that_is_taken_is_reported_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(InfraError, match=f"port {port} is taken") as error:
            refuse(wanted(tmp_path, port=port))
    assert f"ss -ltnp 'sport = :{port}'" in str(error.value)
    assert not (tmp_path / "logs").exists()


def test_port_of_a_server_that_has_just_ended_is_free(tmp_path: Path) -> None:
    with launch(wanted(tmp_path)) as server:
        server.client.completions("hello")
    with launch(wanted(tmp_path, port=server.port)) as again:
        assert again.client.completions("hello").text == "hello"


def test_server_that_ignores_sigterm_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with use_spec(monkeypatch, tmp_path, **SGLANG, limits={**LIMITS, "stop_s": 0.3}):
        with launch(wanted(tmp_path, "deaf")) as server:
            log = server.log_path.read_text().splitlines()
            child = next(int(line.split()[1]) for line in log if line.startswith("child"))
            assert not is_gone(child)
            handle = os.pidfd_open(child)
        assert is_gone(server.pid)
    try:
        assert select.select([handle], [], [], 60)[0], "the child has ended"
    finally:
        os.close(handle)
    assert "did not end within 0.3 s of SIGTERM: killed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [AssertionError("wrong text"), KeyboardInterrupt()], ids=["failure", "Ctrl-C"]
)
def test_server_is_gone_whatever_the_test_does(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, launch(wanted(tmp_path)) as server:
        raise error
    assert raised.value is error
    assert is_gone(server.pid)


def test_crash_under_a_request_is_the_engines_and_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(EngineCrashError) as error, launch(wanted(tmp_path)) as server:
        server.client.completions("die")
    for part in (
        "died under the test: POST /v1/completions",
        "exit code 134",
        "HSA_STATUS_ERROR",
        str(server.log_path),
    ):
        assert part in str(error.value)


def die_unnoticed(tmp_path: Path) -> None:
    with launch(wanted(tmp_path)) as server:
        os.kill(server.pid, signal.SIGKILL)
        # "Z" in /proc is not enough: of a process with threads it can be shown before there is an exit code
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)


def test_crash_that_no_request_noticed_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(EngineCrashError, match=r"died by itself.*signal SIGKILL"):
        die_unnoticed(tmp_path)


def test_crash_that_a_request_reported_is_not_reported_twice(tmp_path: Path) -> None:
    with launch(wanted(tmp_path)) as server, pytest.raises(EngineError):
        server.client.completions("die")


@pytest.mark.parametrize(
    ("prompt", "says"),
    [("hang up", "a living server broke the connection"), ("sleep", "no answer within 0.5 s")],
)
def test_fault_of_a_running_server_is_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: str, says: str
) -> None:
    monkeypatch.setattr("harness.server.DEATH_WAIT_S", 0.1)  # it does not die
    with launch(wanted(tmp_path)) as server:
        server.client.timeout_s = 0.5
        with pytest.raises(RequestError, match=says):
            server.client.completions(prompt)
        assert server.client.completions("hello").text == "hello"


def test_features_that_a_server_needs_are_requested_before_it_is_started(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="lacks 'score_api'"):
        refuse(wanted(tmp_path, needs=("chat", "score_api")))
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("harness", "missing", "then"),
    [
        (SGLANG, "sglang is not installed in", "--python PATH"),
        ({}, "no package 'tiny_weights'", "-r requirements/model.txt"),
    ],
    ids=["sglang", "llamacpp"],
)
def test_engine_that_is_not_installed_names_the_next_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harness: dict[str, Any], missing: str, then: str
) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path / "engine")])
    with use_spec(monkeypatch, tmp_path, **harness), pytest.raises(InfraError) as error:
        refuse(wanted(tmp_path))
    assert missing in str(error.value)
    assert sys.executable in str(error.value)
    assert then in str(error.value)


def test_weights_and_their_engine_are_looked_for_before_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = tmp_path / "engine" / "tiny_weights"
    weights.mkdir()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # as if it were not installed
    with use_spec(monkeypatch, tmp_path):
        with pytest.raises(InfraError, match=r"0 files fit '\*\.gguf'"):
            refuse(wanted(tmp_path))
        (weights / "tiny.gguf").touch()
        with pytest.raises(InfraError, match=r"xllamacpp is not installed(.|\n)*requirements/rehearsal\.txt"):
            refuse(wanted(tmp_path))
    assert not (tmp_path / "logs").exists()


def test_model_without_a_stand_in_cannot_be_rehearsed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        use_spec(monkeypatch, tmp_path, models=NO_STAND_IN),
        pytest.raises(MissingRowError, match=r"has no stand-in, and llama\.cpp cannot serve it"),
    ):
        refuse(wanted(tmp_path))
