"""Servers in roles behind a test: their order, the first failure and what becomes of the others, and that nothing is left."""

import json
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ci.agent.ports import hold
from support.agent_process import AgentProcess, Event, a_suite, is_alive, wait_for
from support.ports import free_ports

# in the place of the harness's own: answers on its path when it was told to, after a while
SERVER = """
import ctypes, http.server, json, os, signal, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it dies with its agent, as the harness's own does
GIVEN = json.loads(os.environ["AMD_CI_ROLE"])
ready_at = time.monotonic() + float(os.environ.get("READY_AFTER_" + GIVEN["role"].upper(), "0"))
print(json.dumps(GIVEN), flush=True)
if os.environ.get("RAISES") == GIVEN["role"]:
    raise OSError(28, "No space left on device")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() >= ready_at else 503)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer((GIVEN["host"], GIVEN["port"]), Handler)
ends = not os.environ.get("STUBBORN")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if ends else print("no notice of SIGTERM", flush=True))
server.serve_forever()
"""
ASKS = """
import json, os, urllib.request
def test():
    roles = json.loads(os.environ["AMD_CI_ROLES"])
    for role in roles.values():
        url = f"http://{role['host']}:{role['ports']['http']}/alive"
        assert urllib.request.urlopen(url).status == 200
"""
# a folder where the agent writes first that the roles have to end: it cannot, as on a full disk
NO_STOP = """
    import pathlib
    (folder,) = pathlib.Path(role["log"]).parents[1].glob("roles/0/*")
    (folder / f".stop.json.{os.getppid()}").mkdir()
"""
WAITS = "import time\ndef test():\n    open('began', 'w').close()\n    time.sleep(60)\n"
PREFILL, DECODE, ROUTER = "prefill", "decode", "router"


def a_role(role: str, *args: str, order: int = 1, **keys: Any) -> dict[str, Any]:
    found = {"role": role, "model": "m", "gpus": 0, "args": list(args), "ready": "/alive", "ready_s": 20}
    return {
        **found,
        "order": order,
        "serves": "engine",
        "node": 1,
        "ports": {"http": free_ports(1)[0]},
        **keys,
    }


def suite_of(
    agent: AgentProcess, text: str, *, env: Mapping[str, str] | None = None, **prefill: Any
) -> dict[str, Any]:
    """A suite with three roles behind one test, whose servers are those above."""
    agent.write("harness/__init__.py", "")
    agent.write("harness/role_server.py", SERVER)
    suite = a_suite(
        [agent.write("test_a.py", text)],
        roles=[
            a_role(PREFILL, **prefill),
            a_role(DECODE),
            a_role(ROUTER, "http://{prefill.host}:{prefill.http}", "{decode.http}", "{http}", order=2),
        ],
    )
    return {**suite, "env": {**suite["env"], **(env or {})}}


def run(agent: AgentProcess, suite: Mapping[str, object], **keys: object) -> AgentProcess:
    return agent.start(suite, pythonpath=[str(agent.root)], **keys)


def roles_of(agent: AgentProcess, kind: str) -> dict[str, Event]:
    return {event["role"]: event for event in agent.of(kind)}


def state(agent: AgentProcess, role: str) -> dict[str, Any]:
    (path,) = (agent.run_dir / "roles").glob(f"0/*/{role}.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def until(agent: AgentProcess, kind: str, role: str) -> None:
    for _ in wait_for(f"{kind} of {role}"):
        if role in roles_of(agent, kind):
            return


def until_exists(path: Path) -> None:
    for _ in wait_for(str(path)):
        if path.exists():
            return


class TestRoles:
    def test_the_router_starts_when_prefill_and_decode_are_ready_and_the_test_when_all_are(
        self, agent: AgentProcess
    ) -> None:
        suite = suite_of(agent, ASKS, env={"READY_AFTER_DECODE": "1"})
        run(agent, suite).wait()
        assert agent.ended("test_a.py")["outcome"] == "passed"
        order = [(e["type"], e.get("role", "")) for e in agent.events]
        router = order.index(("role-started", ROUTER))
        assert order.index(("role-ready", PREFILL)) < router
        assert order.index(("role-ready", DECODE)) < router
        assert router < order.index(("role-ready", ROUTER)) < order.index(("case", ""))
        assert roles_of(agent, "role-ready")[DECODE]["took_s"] >= 1
        assert {role: event["failed"] for role, event in roles_of(agent, "role-ended").items()} == {
            PREFILL: False,
            DECODE: False,
            ROUTER: False,
        }

    def test_the_router_is_given_the_addresses_that_the_others_have(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, ASKS)).wait()
        log = agent.run_dir / roles_of(agent, "role-started")[ROUTER]["log"]
        given = json.loads(log.read_text().splitlines()[0])
        ports = {role: event["ports"]["http"] for role, event in roles_of(agent, "role-started").items()}
        assert given["args"] == [
            f"http://127.0.0.1:{ports[PREFILL]}",
            str(ports[DECODE]),
            str(ports[ROUTER]),
        ]

    def test_a_killed_server_fails_the_test_and_ends_the_others(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, WAITS))
        until_exists(agent.root / "began")
        pids = {role: state(agent, role)["pid"] for role in (PREFILL, DECODE, ROUTER)}
        os.kill(pids[PREFILL], signal.SIGKILL)
        agent.wait()
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"]) == ("failed", "unknown")
        assert ended["evidence"][0] == "prefill failed: the prefill server was ended by SIGKILL"
        assert any(name.endswith("server-prefill.log") for name in ended["server_logs"])
        ends = roles_of(agent, "role-ended")
        assert [role for role, end in ends.items() if end["failed"]] == [PREFILL]
        assert {ends[role]["because"] for role in (DECODE, ROUTER)} == {"ended because prefill failed"}
        assert not any(is_alive(pid) for pid in pids.values())

    def test_a_server_that_ends_before_it_is_ready_is_judged_by_its_own_log(
        self, agent: AgentProcess
    ) -> None:
        run(agent, suite_of(agent, ASKS, env={"RAISES": DECODE})).wait()
        ended = agent.ended("test_a.py")
        assert (ended["verdict"], ended["rule"]) == ("infra", "disk-full")
        assert ended["evidence"][0].startswith("decode failed: ")
        assert agent.of("case") == []
        assert ROUTER not in roles_of(agent, "role-started")

    def test_a_role_that_is_never_ready_is_a_timeout_of_its_own(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, ASKS, env={"READY_AFTER_PREFILL": "60"}, ready_s=1.5)).wait()
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "timeout"
        assert ended["evidence"][0].startswith(
            "prefill failed: prefill was not ready after 1.5 s: GET http://"
        )
        assert agent.of("case") == []

    def test_ports_that_somebody_else_uses_are_passed_over_and_all_know_the_others(
        self, agent: AgentProcess
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            run(agent, suite_of(agent, ASKS, ports={"http": port})).wait()
        assert agent.ended("test_a.py")["outcome"] == "passed"
        assert roles_of(agent, "role-started")[PREFILL]["ports"]["http"] > port

    def test_ports_that_other_runs_have_all_of_are_named_with_their_rows(self, agent: AgentProcess) -> None:
        (port,) = free_ports(1)
        with ExitStack() as others:
            for number in range(port, port + 300):
                held = hold(number)
                assert held is not None
                others.enter_context(held)
            run(agent, suite_of(agent, ASKS, ports={"http": port})).wait()
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "infra"
        why = f"prefill finds no free ports on 127.0.0.1: port {port} (http): another run on this machine has it"
        assert why in ended["evidence"][0]
        assert "roles.toml" in ended["evidence"][1]

    def test_an_agent_of_a_role_that_is_killed_takes_its_server_along(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, WAITS))
        until_exists(agent.root / "began")
        server = state(agent, DECODE)["pid"]
        parent = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)
        agent.wait()
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "infra"
        assert (
            ended["evidence"][0]
            == "decode failed: the agent of decode was ended by SIGKILL while its server ran"
        )
        assert not is_alive(server)

    @pytest.mark.parametrize("moment", ["starting", "testing"])
    def test_a_stop_ends_servers_that_take_no_notice_of_sigterm(
        self, agent: AgentProcess, moment: str
    ) -> None:
        late = {"READY_AFTER_DECODE": "60"} if moment == "starting" else {}
        run(agent, suite_of(agent, WAITS, env={"STUBBORN": "1", **late}))
        if moment == "starting":
            until(agent, "role-ready", PREFILL)
        else:
            until_exists(agent.root / "began")
        agent.close_stdin()
        agent.wait(60)
        for role in roles_of(agent, "role-started").values():
            assert (agent.run_dir / role["log"]).read_text().endswith("no notice of SIGTERM\n")
        ended = agent.ended("test_a.py")
        assert (ended["outcome"], ended["verdict"]) == ("cancelled", "cancelled")
        assert agent.of("agent-ended")[0]["reason"] == "cancelled"
        assert agent.alive() == []

    def test_roles_end_with_their_test_where_that_cannot_be_written(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, ASKS + NO_STOP)).wait()
        assert agent.ended("test_a.py")["outcome"] == "passed"
        assert set(roles_of(agent, "role-ended")) == {PREFILL, DECODE, ROUTER}
        assert agent.of("agent-ended")[0]["reason"] == "done"
        assert agent.alive() == []

    def test_roles_that_are_all_on_one_node_are_on_that_of_their_test(self, agent: AgentProcess) -> None:
        run(agent, suite_of(agent, ASKS), node={"number": 2, "host": "127.0.0.1", "start": 0}).wait()
        assert agent.ended("test_a.py")["outcome"] == "passed"
        assert {event["node"] for event in roles_of(agent, "role-started").values()} == {2}

    def test_the_files_time_limit_holds_while_it_waits_for_its_roles(self, agent: AgentProcess) -> None:
        suite = suite_of(agent, ASKS, env={"READY_AFTER_DECODE": "60"})
        suite["tests"] = [{**suite["tests"][0], "timeout_s": 3}]
        run(agent, suite).wait()
        ended = agent.ended("test_a.py")
        assert ended["verdict"] == "timeout"
        assert "no end within 3 s, the file's time limit, waiting for decode, router" in ended["evidence"][0]


class TestRolesOnTwoNodes:
    @staticmethod
    def started(
        nodes: tuple[AgentProcess, AgentProcess], text: str, queue_of_one: Path | None = None, **env: str
    ) -> Path:
        """Two agents with one queue, unless the first has another: a test whose decode server is on the second node, then others of a suite without roles."""
        one = nodes[0]
        suite = suite_of(one, text, env=env)
        suite["roles"][1]["node"] = 2
        others = [one.write(f"test_{name}.py", "def test(): pass\n") for name in ("b", "c", "d")]
        suites = [a_suite(others, id="others"), suite]
        queue = one.run_dir / "queue"
        for number, agent, folder in zip((1, 2), nodes, (queue_of_one or queue, queue), strict=True):
            agent.start(
                *suites,
                pythonpath=[str(one.root)],
                run_dir=str(one.run_dir),
                node={"number": number, "host": "127.0.0.1", "start": 0},
                claims={"folder": str(folder), "worker": str(number), "look_s": 0.1},
            )
        return queue

    @staticmethod
    def close(nodes: tuple[AgentProcess, AgentProcess], queue: Path) -> None:
        for _ in wait_for("the end of all tests", seconds=60):
            if sum(len(agent.of("test-ended")) for agent in nodes) >= 4:
                break
        (queue / "closed").touch()
        for agent in nodes:
            agent.wait(30)

    def test_each_node_runs_its_role_and_goes_on_when_no_test_needs_it(
        self, nodes: tuple[AgentProcess, AgentProcess]
    ) -> None:
        one, two = nodes
        queue = self.started(nodes, ASKS + "    import time; time.sleep(1)\n")
        for _ in wait_for("decode"):
            if DECODE in roles_of(one, "role-ready"):
                break
        environ = Path(f"/proc/{state(one, DECODE)['pid']}/environ").read_bytes()
        assert f"AMD_CI_TOKEN={two.token}".encode() in environ
        assert two.of("test-started") == []
        self.close(nodes, queue)
        assert one.ended("test_a.py")["outcome"] == "passed"
        assert roles_of(one, "role-started")[DECODE]["node"] == 2
        tests = sorted(event["test"] for agent in nodes for event in agent.of("test-ended"))
        assert tests == ["test_a.py", "test_b.py", "test_c.py", "test_d.py"]
        assert one.of("test-ended")[0]["test"] == "test_a.py"

    def test_a_lost_node_fails_the_test_that_needs_it(self, nodes: tuple[AgentProcess, AgentProcess]) -> None:
        one, two = nodes
        queue = self.started(nodes, WAITS)
        until_exists(one.root / "began")
        os.kill(two.process.pid, signal.SIGKILL)
        two.wait(30)
        # as the head says it
        (one.run_dir / "roles/0/lost-2").touch()
        self.close(nodes, queue)
        ended = one.ended("test_a.py")
        assert ended["verdict"] == "infra"
        assert ended["evidence"][0] == "decode failed: node 2, which has it, was lost"
        assert roles_of(one, "role-ended")[PREFILL]["because"] == "ended because decode failed"

    def test_a_node_that_cannot_claim_its_tests_keeps_no_other_one_waiting(
        self, nodes: tuple[AgentProcess, AgentProcess]
    ) -> None:
        one, two = nodes
        (one.root / "no_folder").touch()
        queue = self.started(nodes, ASKS, queue_of_one=one.root / "no_folder" / "queue")
        for _ in wait_for("the tests of the other node", seconds=30):
            if len(two.of("test-ended")) == 3:
                break
        (queue / "closed").touch()
        for agent in nodes:
            agent.wait(30)
        assert "cannot claim tests" in one.of("executor-failed")[0]["what"]

    def test_the_end_of_the_run_ends_a_node_that_waits(
        self, nodes: tuple[AgentProcess, AgentProcess]
    ) -> None:
        one, two = nodes
        queue = self.started(nodes, WAITS)
        until_exists(one.root / "began")
        os.kill(one.process.pid, signal.SIGKILL)
        (queue / "closed").touch()
        two.wait(30)
        one.wait(30)
        assert two.of("agent-ended")[0]["reason"] == "done"

    def test_the_first_failure_on_another_node_is_the_tests(
        self, nodes: tuple[AgentProcess, AgentProcess]
    ) -> None:
        one, _ = nodes
        queue = self.started(nodes, ASKS, RAISES=DECODE)
        self.close(nodes, queue)
        ended = one.ended("test_a.py")
        assert (ended["verdict"], ended["rule"]) == ("infra", "disk-full")


# before the server: leaves a name in shared memory when it is ended, and keeps it open until then
LEAVES = """
import json, os
if os.environ["LEAVES"] == json.loads(os.environ["AMD_CI_ROLE"])["role"]:
    held = os.open("/dev/shm/{name}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
"""


@pytest.fixture
def shared_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The shared memory that the server of the role `LEAVES` makes."""
    path = Path(f"/dev/shm/psm_{secrets.token_hex(4)}")
    monkeypatch.setitem(globals(), "SERVER", LEAVES.format(name=path.name) + SERVER)
    yield path
    path.unlink(missing_ok=True)


class TestSharedMemory:
    @pytest.mark.parametrize(
        ("ready_after_s", "ready_s", "verdict"), [("0", 20, "passed"), ("60", 3, "timeout")]
    )
    def test_what_a_server_leaves_is_removed_and_named(
        self, agent: AgentProcess, shared_memory: Path, ready_after_s: str, ready_s: float, verdict: str
    ) -> None:
        env = {"LEAVES": PREFILL, "READY_AFTER_PREFILL": ready_after_s}
        run(agent, suite_of(agent, ASKS, env=env, ready_s=ready_s)).wait()
        assert agent.ended("test_a.py")["verdict"] == verdict
        assert agent.ended("test_a.py")["leftovers"] == [
            {"pid": 0, "command": "", "path": str(shared_memory)}
        ]
        assert not shared_memory.exists()

    def test_what_a_server_leaves_on_another_node_is_removed_and_named_with_that_node(
        self, nodes: tuple[AgentProcess, AgentProcess], shared_memory: Path
    ) -> None:
        queue = TestRolesOnTwoNodes.started(nodes, ASKS, LEAVES=DECODE)
        TestRolesOnTwoNodes.close(nodes, queue)
        assert nodes[0].ended("test_a.py")["outcome"] == "passed"
        assert nodes[0].ended("test_a.py")["leftovers"] == [
            {"pid": 0, "command": "", "path": str(shared_memory), "node": 2}
        ]
        assert not shared_memory.exists()
