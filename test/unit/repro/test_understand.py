"""`./inv repro` as a function: links, jobs, test names, and what is made of a plan. Nothing is run."""

import csv
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.executors import ExecutorKind
from ci.cli.repro import repro
from ci.docker.create_args import create_arguments
from ci.errors import CiError, ExitCode, UsageError
from ci.execute.run_folder import read_plan
from ci.plan.compare.capsule import encode
from ci.plan.compare.replay import at_commit, only_tests
from ci.plan.container.image_fact import ImageFact
from ci.plan.model import Plan
from ci.plan.shards import Shard
from ci.report.live.github import workspace_prefix
from ci.repro.docker_line import _ARGUMENTS, _HOST_CONFIG, docker_argv, docker_line, inside_lines
from ci.repro.image import check_image, nearest_image, require_image
from ci.repro.source import from_plan
from ci.repro.understand import from_log
from support.containers import DIGEST, contained, docker_facts, image
from support.github_api import FakeGitHub, job, serve
from support.http_server import Server, serve_http
from support.planning import STAGE_B_SMALL, catalog, mi300x, planned, registration, request

ROWS = [registration(f"test/registered/x/test_{n}.py", STAGE_B_SMALL, est_time_s=60 + n) for n in range(40)]
NAME = "stage-b-test-1-gpu-small-amd (linux-north-1gpu, 3/14)"


def plan(**changes: Any) -> Plan:
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=Shard(index=3, count=14),
        command=("nox", "-s", "stage_b_amd", "--", "--suite", "1-gpu-small", "--shard", "3/14"),
        **changes,
    )
    return planned(catalog(), mi300x(ROWS), asked)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGitHub]:
    monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
    with serve() as fake:
        yield fake


def asked(fake: FakeGitHub, capsys: pytest.CaptureFixture[str], url: str, *more: str) -> Mapping[str, Any]:
    """The report of `./inv repro URL --json` with the stand-in as the API."""
    assert repro([url, "--api", fake.url, "--json", *more]) == 0
    report: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    return report


URL = "https://github.com/o/r/actions/runs/7/job/42"
pytestmark = pytest.mark.processes  # git is asked which commit this tree is at


class TestLinks:
    def test_a_jobs_link_gives_its_plan(self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]) -> None:
        made = plan()
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME))
        github.put_log(42, f"2026-05-29T07:12:03.1Z 07:12:03 {encode(made)}\n".encode())
        report = asked(github, capsys, URL)
        assert report["digest"] == made.digest
        assert {"what": "conclusion", "value": "failure", "source": "job 42"} in report["facts"]

    def test_a_runs_link_gives_its_only_failed_job(
        self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        jobs = [job(1, "plan", "success"), job(42, f"wave-2 / {NAME}"), job(3, "finish")]
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 3, "jobs": jobs})
        github.put_log(42, encode(plan()).encode())
        assert asked(github, capsys, "https://github.com/o/r/actions/runs/7")["digest"] == plan().digest

    def test_a_run_with_several_failed_jobs_asks_which(self, github: FakeGitHub) -> None:
        jobs = [job(42, NAME), job(43, NAME.replace("3/14", "4/14"))]
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 2, "jobs": jobs})
        with pytest.raises(UsageError) as caught:
            repro(["https://github.com/o/r/actions/runs/7", "--api", github.url])
        assert "./inv repro https://github.com/o/r/actions/runs/7/job/43" in caught.value.render()

    def test_a_run_without_a_failure_is_nothing_to_repeat(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/runs/7/jobs", {"total_count": 1, "jobs": [job(1, NAME, "success")]})
        with pytest.raises(CiError) as caught:
            repro(["https://github.com/o/r/actions/runs/7", "--api", github.url])
        assert caught.value.exit_code is ExitCode.NOTHING_SELECTED

    def test_an_expired_log_leaves_what_the_name_says(
        self, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME))
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Gone"}, 410)
        with pytest.raises(UsageError, match="has expired"):
            repro([URL, "--api", github.url])
        shown = capsys.readouterr().out
        assert "nox -s stage_b_amd -- --suite 1-gpu-small --shard 3/14" in shown
        assert "c" * 40 in shown

    def test_an_expired_log_of_an_unknown_suite_says_both(self, github: FakeGitHub) -> None:
        github.put("/repos/o/r/actions/jobs/42", job(42, NAME.replace("small", "smal")))
        github.put("/repos/o/r/actions/jobs/42/logs", {"message": "Gone"}, 410)
        with pytest.raises(UsageError) as caught:
            repro([URL, "--api", github.url])
        assert "has expired" in caught.value.what
        assert "unknown suite 'stage-b-test-1-gpu-smal-amd'" in caught.value.render()
        assert "shard 3/14" in caught.value.render()


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["x", "--repeat", "0", "--run"], "not a number from 1"),
            (["x", "--repeat", "3"], "add --run"),
            (["x", "--bisect", "a", "--run"], "not GOOD..BAD"),
            (["x", "--reapet", "3"], "did you mean '--repeat'"),
            ([], "SOURCE: is missing"),
            (["no-such-thing"], "not a file, a folder, a link"),
            (["test_nowhere.py"], "is not registered"),
        ],
    )
    def test_what_is_invalid(self, arguments: list[str], words: str) -> None:
        with pytest.raises(UsageError) as caught:
            repro(arguments)
        assert words in caught.value.render()

    def test_failed_of_a_source_that_names_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        file = tmp_path / "plan.json"
        file.write_text(json.dumps(plan().to_json()))
        with pytest.raises(CiError) as caught:
            repro([str(file), "--failed"])
        assert caught.value.exit_code is ExitCode.NOTHING_SELECTED

    def test_a_test_of_this_repository_by_its_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert repro(["test_constrained_json.py"]) == 0
        assert (
            "nox -s stage_a_amd -- --suite 1-gpu-small --test test/registered/sampling/test_constrained_json.py"
            in capsys.readouterr().out
        )

    def test_several_runs_in_one_log_are_distinguished_by_digest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AMD_CI_RUNS", str(tmp_path / "runs"))
        one, two = plan(), plan(env=(("SGLANG_X", "1"),))
        log = tmp_path / "log"
        log.write_text(f"{encode(one)}\n{encode(two)}\n")
        with pytest.raises(UsageError) as caught:
            repro([str(log)])
        assert f"--digest {two.digest[:12]}" in caught.value.render()
        assert repro([str(log), "--digest", two.digest[:12], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["digest"] == two.digest


class TestPlans:
    def test_only_the_failed_tests_with_everything_else_the_same(self) -> None:
        whole = plan()
        (suite,) = whole.work.suites
        case = f"{suite.tests[1].id}::TestX::test_y"
        part = only_tests(whole, [("", suite.tests[0].id), ("", case)])
        assert [(test.id, test.cases) for test in part.work.suites[0].tests] == [
            (suite.tests[0].id, ()),
            (suite.tests[1].id, (case,)),
        ]
        assert replace(part.work.suites[0], tests=()) == replace(suite, tests=())
        assert part.digest != whole.digest

    def test_a_failed_test_that_the_plan_does_not_have_is_refused(self) -> None:
        with pytest.raises(UsageError) as caught:
            only_tests(plan(), [("", "test/registered/gone.py")])
        assert "test/registered/gone.py: is not in the plan" in caught.value.render()

    def test_another_commit_is_the_same_plan_but_for_it(self) -> None:
        there = at_commit(plan(), "b" * 40, "/t")
        assert there.work == replace(plan().work, commit="b" * 40)
        sglang = replace(plan(), work=replace(plan().work, checkout="c" * 40))
        moved = at_commit(sglang, "d" * 40, "/t")
        assert (moved.work.commit, moved.work.checkout, moved.placement.root) == ("a" * 40, "d" * 40, "/t")

    def test_the_command_of_another_machine_gets_the_tree_of_this_one(self) -> None:
        command = (
            "nox",
            "-s",
            "stage_b_amd",
            "--",
            "--checkout",
            "/runner/sglang",
            "--shard",
            "3/14",
            "--",
            "--checkout",
        )
        made = replace(plan(), placement=replace(plan().placement, command=command))
        words = from_plan(made, kind="x", where="x").asked.arguments("/here")
        assert words == ("--checkout", "/here", "--shard", "3/14", "--", "--checkout")


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


def docker_plan(**changes: Any) -> Plan:
    """A plan of a job in a container, with the words that asked for it."""
    words = ("--executor", "docker", "--image", "org/engine:x", "--suite", "1-gpu-small", "--shard", "3/14")
    asked = request(
        "stage-b-amd",
        suites=("1-gpu-small",),
        shard=Shard(index=3, count=14),
        executor=ExecutorKind.DOCKER,
        image="org/engine:x",
        command=("nox", "-s", "stage_b_amd", "--", *words),
        **changes,
    )
    return planned(catalog(), mi300x(ROWS), asked, docker_facts(image()))


@pytest.mark.parametrize(
    "changes", [{}, {"env": (("SGLANG_X", "ü ' $HOME"),)}, {"keep": True, "strict": True, "fail_fast": True}]
)
def test_a_plan_of_a_container_comes_back_from_file_log_and_decorated_log(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    made = docker_plan(**changes)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(made.to_json()))
    log = f"some line\n{encode(made)}\nlast line\n"
    decorated = "".join(f"2026-05-29T07:12:03.1234567Z {line}\r\n" for line in log.splitlines())
    for text in (log, decorated):
        found = from_log(text, catalog(), where="log")
        assert found.plan is not None
        assert found.plan.digest == made.digest
        place = made.placement.container
        assert place is not None
        # an address of the other machine's engine says nothing here
        assert found.plan.placement.container == replace(place, docker="")
        assert found.plan.placement.python == made.placement.python == "python3"
        assert found.asked.arguments("/sglang") == made.placement.command[4:]
    assert read_plan(file).work == made.work


@pytest.fixture
def hub() -> Iterator[Server]:
    """A registry that answers 404 unless a test says otherwise."""
    with serve_http() as one:
        yield one


class TestTheImageOfAPlan:
    """Asked at the image's own registry when the local store has it not; no engine answers here."""

    def asked(self, hub: Server, tmp_path: Path) -> str:
        made = docker_plan()
        place = made.placement.container
        assert place is not None
        address = hub.url.removeprefix("http://")
        there = replace(place, image_pinned=f"{address}/org/engine@sha256:{'d' * 64}")
        made = replace(made, placement=replace(made.placement, container=there))
        environ = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "AMD_CI_REGISTRY": address}
        return check_image(made, catalog(), environ, today=date(2026, 5, 29))

    def test_it_is_there(self, hub: Server, tmp_path: Path) -> None:
        hub.answer = lambda _path, _headers: (200, {}, b"")
        assert self.asked(hub, tmp_path).endswith("has it")
        assert hub.asked[0][0] == f"/v2/org/engine/manifests/sha256:{'d' * 64}"

    def test_a_registry_that_does_not_say_is_not_a_proof_of_absence(
        self, hub: Server, tmp_path: Path
    ) -> None:
        hub.answer = lambda _path, _headers: (403, {}, b"")
        assert self.asked(hub, tmp_path).startswith("not known whether it is still there: ")

    def test_it_is_gone_and_nothing_is_near(self, hub: Server, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no longer exists") as caught:
            self.asked(hub, tmp_path)
        assert "./inv image.resolve" in caught.value.render()


def known(tag: str, digest: str, **changes: Any) -> ImageFact:
    fact = ImageFact(
        reference=f"org/engine:{tag}", manifest_digest="", config_digest=digest, flavour="rocm700", labels={}, env={},
        size_bytes=1, age_days=1, stale_after_days=3, candidates=(), source="Docker Hub",
    )  # fmt: skip
    return replace(fact, **changes)


class TestImages:
    FACTS = (
        known("v0.5.15-rocm720-mi30x-20260715", "sha256:b"),
        known("v0.5.15-rocm700-mi30x-20260715", "sha256:c"),
        known("v0.5.15-rocm700-mi30x-20260716", "", problem="gone"),
    )

    def test_the_same_image_is_enough(self) -> None:
        require_image("sha256:c", self.FACTS)

    def test_an_image_that_is_gone_says_so_and_offers_the_nearest(self) -> None:
        wanted = "org/engine:v0.5.15-rocm700-mi30x-20260714@sha256:a"
        nearest = nearest_image(wanted, self.FACTS)
        assert nearest is not None
        assert nearest.config_digest == "sha256:c"
        with pytest.raises(UsageError, match="no longer exists") as caught:
            require_image(wanted, self.FACTS)
        assert "--image org/engine:v0.5.15-rocm700-mi30x-20260715" in caught.value.render()

    def test_no_image_at_all(self) -> None:
        with pytest.raises(UsageError, match="no longer exists"):
            require_image("sha256:a", ())


@pytest.mark.parametrize(
    ("root", "workspace", "prefix"),
    [
        ("/w/sglang", "/w", "sglang/"),
        ("/w", "/w", ""),
        ("/other", "/w", ""),
        ("/w/a/b", "/w/", "a/b/"),
        ("/w", "", ""),
    ],
)
def test_annotations_name_files_as_the_workspace_has_them(root: str, workspace: str, prefix: str) -> None:
    assert workspace_prefix(root, {"GITHUB_WORKSPACE": workspace}) == prefix
