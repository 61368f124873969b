"""Runtime `docker`: a worker on each node runs its tests in a container of its own."""

import re
from pathlib import Path

from support.docker_runs import ours
from support.engines import Engine
from support.files import only_tests, registered
from support.slurm_runs import Project

NAMES = ["first", "second", "third"]
TEST = """def test_it() -> None:
    import os
    print("in a container:", os.path.exists("/.dockerenv"), flush=True)
"""


def test_each_test_runs_once_in_a_container(project: Project, engine: Engine, small_image: str) -> None:
    # the engine is not in a node's pid name space, so its own limit cannot be seen there
    rows = project.repository / "ci/catalog/containers.toml"
    before = rows.read_text()
    lower = re.sub(r"(?m)^nofile = \d+$", "nofile = 1024", before)
    assert lower != before
    rows.write_text(lower)
    only_tests(project.repository, {f"test_{name}.py": registered(TEST) for name in NAMES})
    project.set_row(runtime="docker")
    run = project.start("--nodes", "2", "--image", small_image, environ={"DOCKER_HOST": engine.host})
    assert run.wait(90) == 0, run.text
    assert run.outcomes() == dict.fromkeys(NAMES, "passed")
    begun = [Path(event["test"]).stem.removeprefix("test_") for event in run.of("test-started")]
    assert sorted(begun) == NAMES
    assert {event["node"] for event in run.of("worker-started")} == {"n1", "n2"}
    for name in NAMES:
        assert "in a container: True" in (run.folder / f"logs/test_registered_test_{name}.py.log").read_text()
    assert not ours(engine)
    project.wait_until_nothing_is_left()
