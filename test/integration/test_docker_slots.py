"""Several tests at a time in one container (`--jobs`) on a real engine: what each has for itself, and what is left."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.docker_runs import Runs, make_repository, ours, volumes
from support.engines import Engine
from support.files import only_tests, registered, wait_for

JOBS = 3
# They wait for each other, so that it is sure that all run at one time, and write in turns.
TOGETHER = """def test_beside_others() -> None:
    import json, os, pathlib, socket, tempfile, time
    meet = pathlib.Path("/tmp/meet")
    meet.mkdir(exist_ok=True)
    (meet / "NAME").touch()
    while len(list(meet.iterdir())) < 3:
        time.sleep(0.02)
    names = ("TMPDIR", "TRITON_CACHE_DIR", "MASTER_PORT", "AMD_CI_PORTS")
    own = {name: os.environ[name] for name in names}
    (pathlib.Path(tempfile.gettempdir()) / "the same name").touch(exist_ok=False)
    listener = socket.create_server(("127.0.0.1", int(own["MASTER_PORT"])))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(os.path.join(own["TMPDIR"], "server.sock"))
    for number in range(20):
        print(f"NAME line {number}", flush=True)
        time.sleep(0.01)
    own["cpus"] = sorted(os.sched_getaffinity(0))
    print("OWN " + json.dumps(own), flush=True)
    assert "NAME" != "b", "this one fails"
"""
# The row of slots.toml that has the benches alone; it comes first, and the others' meeting place is not there yet.
ALONE = """def test_alone() -> None:
    import pathlib, time
    time.sleep(0.3)
    assert not pathlib.Path("/tmp/meet").exists()
"""
# A file in its own folder, then nothing more.
WAITING = """def test_waits() -> None:
    import os, pathlib, time
    pathlib.Path(os.environ["TMPDIR"], "file").touch()
    print("waiting now", flush=True)
    time.sleep(600)
"""
TESTS = {
    **{f"test_{name}.py": registered(TOGETHER.replace("NAME", name)) for name in "abc"},
    "perf/test_bench.py": registered(ALONE, est_time=1),
    **{f"test_waits_{number}.py": registered(WAITING) for number in range(2)},
}
TOGETHER_IDS = [f"test/registered/{name}" for name in TESTS if "waits" not in name]
WAITING_IDS = [f"test/registered/test_waits_{number}.py" for number in range(2)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = make_repository(tmp_path_factory.mktemp("slots") / "repository")
    only_tests(repository, TESTS)
    return repository


@pytest.fixture
def runs(repository: Path, engine: Engine, small_image: str, tmp_path: Path) -> Runs:
    return Runs(repository, engine.host, small_image, tmp_path / "runs")


def asked(tests: list[str], *more: str) -> list[str]:
    """Arguments of a run of these tests."""
    return [*(word for test in tests for word in ("--test", test)), *more]


def own_of(runs: Runs, name: str) -> dict[str, Any]:
    """What a test printed of its own places; its log has its lines alone."""
    text = (runs.newest() / f"logs/test_registered_test_{name}.py.log").read_text()
    assert re.findall(r"^(\w) line \d+$", text, re.MULTILINE) == [name] * 20
    found = re.search(r"^OWN (.*)$", text, re.MULTILINE)
    assert found is not None, text
    own: dict[str, Any] = json.loads(found.group(1))
    return own


def test_each_has_its_own_places_and_one_block_of_output_and_nothing_is_left(
    runs: Runs, engine: Engine
) -> None:
    before = volumes(engine)
    done = runs.run(*asked(TOGETHER_IDS, "--jobs", "3", "--keep-going"), timeout_s=180)
    assert done.code == 1, done.text

    events = runs.events()
    outcomes = {event["test"]: event["outcome"] for event in events if event["type"] == "test-ended"}
    assert outcomes == {test: "failed" if test.endswith("test_b.py") else "passed" for test in TOGETHER_IDS}
    slots = {event["test"]: event["slot"] for event in events if event["type"] == "test-started"}
    assert sorted(slots[test] for test in TOGETHER_IDS if "perf" not in test) == [1, 2, 3]
    own = [own_of(runs, name) for name in "abc"]
    for name in ("TMPDIR", "TRITON_CACHE_DIR", "MASTER_PORT", "AMD_CI_PORTS"):
        assert len({each[name] for each in own}) == 3, name

    # what is said of a failed case stands with its end, whatever ended in between
    lines = done.out.splitlines()
    (case,) = (
        number for number, line in enumerate(lines) if re.search(r"FAILED .*test_beside_others$", line)
    )
    (end,) = (number for number, line in enumerate(lines) if re.search(r"FAIL\w* \S*test_b\.py in", line))
    assert case < end
    assert not any(other in line for line in lines[case:end] for other in ("test_a.py", "test_c.py"))

    assert not ours(engine)
    assert volumes(engine) == before


@pytest.fixture
def kept(engine: Engine) -> Iterator[Engine]:
    """The engine, with no kept container afterwards."""
    yield engine
    for name in ours(engine):
        engine.client.api.remove_container(name, force=True)


@pytest.mark.parametrize("ends", ["the run", "the agent"])
def test_a_kept_container_has_nothing_of_tests_that_were_cut_short(
    runs: Runs, kept: Engine, ends: str
) -> None:
    process = runs.start(*asked(WAITING_IDS, "--jobs", "2", "--keep"))
    for test in WAITING_IDS:
        runs.wait_for_event("output", test=test)
    (name,) = ours(kept)

    def inside(*argv: str) -> str:
        made = kept.client.api.exec_create(name, list(argv))
        output: bytes = kept.client.api.exec_start(made["Id"])
        return output.decode()

    def processes() -> dict[int, str]:
        rows = kept.client.api.top(name, ps_args="-ww -eo pid,args")["Processes"]
        return {int(pid): argv for pid, argv in rows}

    assert "amdci-" in inside("ls", "/tmp")
    if ends == "the run":
        process.send_signal(signal.SIGKILL)
    else:
        (agent,) = (
            pid for pid, argv in processes().items() if re.search(r"agent\.pyz \S+/spec\.json$", argv)
        )
        os.kill(agent, signal.SIGKILL)
    assert process.wait(30) == (-9 if ends == "the run" else 4)
    wait_for("an empty container", lambda: "agent.pyz" not in str(processes()), 10)
    assert "amdci-" not in inside("ls", "/tmp")
