"""The line that starts a plan's container by hand."""

import csv
import shlex
from dataclasses import replace
from typing import Any

from ci.catalog.executors import ExecutorKind
from ci.docker.create_args import create_arguments
from ci.plan.model import Plan
from ci.repro.docker_line import _ARGUMENTS, _HOST_CONFIG, docker_argv, docker_line, inside_lines
from support.containers import DIGEST, contained, docker_facts, image
from support.planning import catalog, mi300x, planned, registration, request


class TestDocker:
    def argv(self, made: Plan, **changes: Any) -> tuple[str, ...]:
        given = {"root": "/repo", "run_dir": "/runs/1", "secrets": ("HF_TOKEN",), **changes}
        return docker_argv(made, **given)

    def test_the_line_is_the_executors_container_with_no_value_of_a_secret(self) -> None:
        assert self.argv(contained()) == (
            "docker", "run", "--interactive", "--tty", "--rm", "--cap-add", "SYS_PTRACE",
            "--device", "/dev/kfd:/dev/kfd:rwm", "--device", "/dev/dri/renderD128:/dev/dri/renderD128:rwm",
            "--group-add", "44", "--group-add", "110", "--init", "--ipc", "private",
            "--mount", "type=bind,source=/repo,target=/amd-ci/root,readonly",
            "--mount", "type=bind,source=/runs/1,target=/amd-ci/run",
            "--mount", "type=bind,source=/srv/cache,target=/cache",
            "--network", "bridge", "--privileged=false", "--security-opt", "seccomp=unconfined",
            "--shm-size", "17179869184b", "--ulimit", "nofile=32768:32768",
            "--name", "amd-ci-by-hand", "--entrypoint", "/bin/sh", "--user", "0:0", "--workdir", "/",
            "--env", "HF_HOME=/cache/hf", "--env", "DOWNLOAD_TIMEOUT=77", "--env", "PYTHONPATH=/opt/extra",
            "--env", "HF_TOKEN",
            "org/engine@sha256:" + "d" * 64,
        )  # fmt: skip

    def test_whatever_the_executor_gives_the_engine_has_its_words(self) -> None:
        made = create_arguments(
            contained(), image="i", name="n", labels={}, run_dir="/r", root="/t", ttl_s=1, kept=False
        )
        assert set(_HOST_CONFIG) == set(made["host_config"])
        assert set(_ARGUMENTS) == set(made)

    def test_unusual_paths_stay_one_value(self) -> None:
        """docker reads a mount as one line of CSV, a shell the whole line."""
        odd = "/a, b=\"c\" $(x) 'é'"
        argv = self.argv(contained(), root=odd)
        mount = next(word for word in argv if "/amd-ci/root" in word)
        assert next(csv.reader([mount])) == ["type=bind", f"source={odd}", "target=/amd-ci/root", "readonly"]
        given = {"root": odd, "run_dir": "/r", "secrets": ()}
        assert tuple(shlex.split(docker_line(contained(), **given))) == docker_argv(contained(), **given)  # type: ignore[arg-type]

    def test_an_image_that_only_this_machine_has_is_named_by_its_id(self) -> None:
        here = image(manifest_digest="", reference="sglang-amd-ci/rehearsal:latest")
        made = planned(
            catalog(),
            mi300x([registration("test/a.py")]),
            request(executor=ExecutorKind.DOCKER),
            docker_facts(here),
        )
        assert self.argv(made)[-1] == DIGEST

    def test_inside_the_tests_run_with_their_environment(self) -> None:
        move, tests = inside_lines(contained())
        assert move == "cd /amd-ci/root"
        assert tests.startswith("env ")
        assert tests.endswith("python3 -m pytest test/a.py")
        assert "PYTHONPATH=/amd-ci/root/test" in tests
        tree = replace(contained(), work=replace(contained().work, checkout="c" * 40))
        assert inside_lines(tree)[0].endswith(
            "cp -R /amd-ci/checkout/. /sglang-checkout/ && cd /sglang-checkout"
        )
