"""Installing, with a shell that only pretends: order, retries, kept containers, secrets, and who is to blame."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.docker.command_runner import Ended
from ci.errors import CiError, ExitCode, GuardError, InfrastructureError
from ci.install.guards import probe
from ci.install.install import STATE_FILE, Installation, Installed
from ci.plan.container.guards import guards_of
from ci.plan.container.inside import CheckoutFacts
from ci.plan.container.install import install_of
from ci.record.event_json import json_of
from ci.record.phases import Phases
from support.planning import catalog

PIN = "46e6c92b3e5f00112233445566778899aabbccdd"
INDEX = "AMD_CI_ALTERNATIVE_INDEX"
STATE = "/amd-ci/state"

Answer = Callable[[Sequence[str], int], Ended | None]


def ok(text: str = "", code: int | None = 0, why: str = "") -> Ended:
    return Ended(code=code, stdout=text.encode(), stderr=b"", why=why)


class FakeShell:
    """A container with torch, triton and AITER; `answer` decides about the commands of steps."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.files: dict[str, bytes] = {}
        self.commands: list[tuple[str, ...]] = []
        self.envs: list[Mapping[str, str]] = []
        self.versions = {"torch": "2.9.1", "triton": "3.4.0", "amd-aiter": "0.1.6.dev3+g46e6c92b3"}
        self.shadowed: dict[str, str] = {}
        self.import_problem = ""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Ended:
        assert timeout_s > 0
        assert cwd.startswith("/")
        if argv[1].endswith("inspector.py"):
            return self.inspect(argv[2], json.loads(argv[3]))
        self.commands.append(tuple(argv))
        self.envs.append(env or {})
        ended = (self.answer(argv, len(self.commands)) if self.answer is not None else None) or ok("fine\n")
        if on_output is not None:
            # cut where no line ends
            on_output(ended.stdout[:7])
            on_output(ended.stdout[7:])
        return ended

    def inspect(self, mode: str, question: dict[str, Any]) -> Ended:
        if mode == "import":
            lines = [{"importing": name} for name in question["names"]]
            names = [
                {"name": name, "problem": self.import_problem, "file": "/x", "shadowed_by": "", "real": ""}
                for name in question["names"]
            ]
            return ok("".join(json.dumps(row) + "\n" for row in (*lines, *names)))
        if mode == "fingerprint":
            rows = [
                {
                    "distribution": name,
                    "version": self.versions.get(name, ""),
                    "record": "",
                    "location": "",
                    "imported": {"/sgl-workspace": f"/venv/{name}"} if name in self.versions else {},
                    "shadowed": {"/sgl-workspace": self.shadowed[name]} if name in self.shadowed else {},
                }
                for name in question["protected"]
            ]
            return ok(json.dumps({"distributions": rows, "absent": []}))
        answer = {
            "python_version": "3.10.12",
            "torch": {"version": "2.9.1", "hip": "7.2.1", "lib": "/torch/lib"},
            "variables": {"GPU_ARCH": "gfx942-rocm720"},
            "programs": {},
            "dirs": [],
            "distributions": {"amd-aiter": {"version": self.versions.get("amd-aiter", ""), "commit": ""}},
            "repositories": {"amd-aiter": {"head": "", "modified": False}},
        }
        return ok(json.dumps(answer))

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        self.files |= {f"{folder}/{name}": content for name, content in files.items()}

    def get(self, path: str) -> bytes | None:
        return self.files.get(path)


class Runs:
    """Installations one after the other in one container."""

    def __init__(self, shell: FakeShell, logs: Path) -> None:
        self.shell = shell
        self.logs = logs
        self.events: list[dict[str, Any]] = []
        self.environ: dict[str, str] = {}
        self.stopped = False

    def install(self, *, tree: str = "tree1", pin: str = PIN, image: str = "sha256:a") -> Installed:
        self.events.clear()
        self.shell.commands.clear()
        self.shell.envs.clear()
        rows = catalog().dependencies
        checkout = CheckoutFacts(
            tree=tree,
            tree_source="git",
            files=frozenset({"kernels/setup_rocm.py"}),
            pins={"aiter@gfx942-rocm720": pin},
        )
        return Installation(
            shell=self.shell,
            python="python3",
            rows=rows,
            install=install_of(rows, flavour="rocm720", family="mi30x", checkout=checkout, overrides={}),
            guards=guards_of(catalog().guards, flavour="rocm720"),
            image=image,
            environ=self.environ,
            limits=replace(catalog().limits.deps, wait_s=0),
            phases=Phases(lambda event: self.events.append(json_of(event)), self.logs),
            stopped=lambda: self.stopped,
        ).run()

    def ended(self, phase: str) -> dict[str, Any]:
        (event,) = (row for row in self.events if row["type"] == "phase-ended" and row["phase"] == phase)
        return event


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(FakeShell(), tmp_path)


def on(word: str, *answers: Ended) -> Answer:
    """Answers to the commands that have a word, the last one for ever."""
    given = list(answers)

    def answer(argv: Sequence[str], _number: int) -> Ended | None:
        if word not in argv:
            return None
        return given.pop(0) if len(given) > 1 else given[0]

    return answer


def test_steps_run_in_order_each_with_its_phase_and_log(runs: Runs) -> None:
    done = runs.install()
    assert done.ran[:5] == ("git-safe", "pip", "remove-old", "kernels", "engine")
    assert done.ran[-1] == "last"
    assert runs.shell.commands[-1][-1] == "last>=1.0"
    assert runs.ended("install:last")["log"] == "logs/install-last.log"
    assert "last>=1.0" in (runs.logs / "install-last.log").read_text()
    assert [row["phase"] for row in runs.events if row["type"] == "phase-started"] == [
        "fingerprint",
        "install",
        *(f"install:{step}" for step in done.ran),
        "guards",
    ]
    assert "left out, the checkout has no pin mori: mori, mori-libraries" in runs.ended("install")["details"]
    assert runs.shell.files["/tiny/config.json"]


def test_a_kept_container_does_not_repeat_what_is_unchanged(runs: Runs) -> None:
    first = runs.install()
    second = runs.install()
    assert second.ran == ()
    assert runs.shell.commands == []
    assert set(first.ran) <= set(second.skipped)
    assert runs.ended("install:engine")["outcome"] == "skipped"
    assert "unchanged" in runs.ended("install:engine")["text"]

    # another tree: what is built from it, and the last step, which comes after everything
    third = runs.install(tree="tree2")
    assert {"kernels", "engine", "last"} <= set(third.ran)
    # another image: everything
    assert runs.install(tree="tree2", image="sha256:b").ran == first.ran
    # a tree of which nothing is known: its steps every time
    runs.install(tree="")
    assert "engine" in runs.install(tree="").ran


def test_one_step_again_makes_its_followers_run_again_and_no_other(runs: Runs) -> None:
    runs.install()
    state = json.loads(runs.shell.files[f"{STATE}/{STATE_FILE}"])
    del state["steps"]["remove-old"]
    runs.shell.files[f"{STATE}/{STATE_FILE}"] = json.dumps(state).encode()
    assert runs.install().ran == ("remove-old", "kernels", "engine", "last")


def test_a_broken_state_is_not_a_state(runs: Runs) -> None:
    first = runs.install()
    for content in (b"{", b"[]", b'{"schema": 99}', b'{"schema": 1}', b"\xff"):
        runs.shell.files[f"{STATE}/{STATE_FILE}"] = content
        assert runs.install().ran == first.ran


def test_a_late_attempt_asks_the_alternative_index_and_shows_it_nowhere(runs: Runs) -> None:
    before = catalog().limits.deps.alternative_after
    address = "https://user:sesame@index.example/simple"
    runs.environ = {INDEX: address}
    masked = "https://user:****@index.example/simple"
    looking = ok(f"Looking in {address}\nLooking in {masked}\nno route\n", code=1)
    runs.shell.answer = on("extra==1.0", *[looking] * before, ok(f"Looking in {address}\ndone"))
    runs.install()
    seen = [env.get("PIP_INDEX_URL") for env, argv in zip(runs.shell.envs, runs.shell.commands, strict=True) if "extra==1.0" in argv]  # fmt: skip
    assert seen == [*[None] * before, address]
    log = (runs.logs / "install-extra.log").read_text()
    assert log.count("Looking in ***\n") == before + 1
    shown = log + json.dumps(runs.events) + str(runs.shell.commands)
    assert "sesame" not in shown
    assert "index.example" not in shown
    assert f"attempt {before + 1}: the index of {INDEX} is asked" in runs.ended("install:extra")["details"]


def test_without_an_alternative_the_same_index_is_asked_and_that_is_reported(runs: Runs) -> None:
    limits = catalog().limits.deps
    runs.shell.answer = on("last>=1.0", ok("no route", code=1))
    with pytest.raises(CiError, match="the step last failed: python3: exit 1") as caught:
        runs.install()
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    assert caught.value.cause == "no route"
    assert len([argv for argv in runs.shell.commands if "last>=1.0" in argv]) == limits.attempts
    assert (
        f"attempt {limits.alternative_after + 1}: {INDEX} is not set, the same index is asked again"
        in runs.ended("install:last")["details"]
    )
    assert runs.ended("install:last")["outcome"] == "failed"


def test_a_failed_kernel_build_is_the_codes_fault_and_not_tried_again(runs: Runs) -> None:
    runs.shell.answer = on("setup_rocm.py", ok("error: no member named 'x'", code=1))
    with pytest.raises(CiError) as caught:
        runs.install()
    assert caught.value.exit_code is ExitCode.TESTS_FAILED
    assert len([argv for argv in runs.shell.commands if "setup_rocm.py" in argv]) == 1


def test_a_clone_that_fails_begins_again_from_the_removal(runs: Runs) -> None:
    runs.shell.answer = on("/bench", ok(), ok("early EOF", code=128), ok())
    runs.install()
    words = [argv[0] for argv in runs.shell.commands if "/bench" in argv]
    assert words[:4] == ["rm", "git", "rm", "git"]


def test_an_optional_step_that_fails_is_a_warning_and_is_tried_in_the_next_run(runs: Runs) -> None:
    runs.shell.answer = on("extra==1.0", ok("gone", code=1))
    runs.install()
    assert runs.ended("install:extra")["outcome"] == "warned"
    assert "optional" in runs.ended("install:extra")["text"]
    assert "extra" in runs.install().ran


def test_a_step_that_runs_out_of_time_is_not_tried_again(runs: Runs) -> None:
    runs.shell.answer = on("/bench", ok(code=None, why="no end within 600 s"))
    with pytest.raises(CiError, match="no end within 600 s"):
        runs.install()
    assert len([argv for argv in runs.shell.commands if "/bench" in argv]) == 1


def test_the_step_that_changed_a_protected_distribution_is_named(runs: Runs) -> None:
    def meddle(argv: Sequence[str], _number: int) -> Ended | None:
        if "extra==1.0" in argv:
            runs.shell.versions["torch"] = "2.11.0"
        return None

    runs.shell.answer = meddle
    with pytest.raises(GuardError, match="the step extra changed torch") as caught:
        runs.install()
    assert "version: 2.9.1 -> 2.11.0" in caught.value.render()
    assert runs.ended("install:extra")["outcome"] == "failed"
    assert not any("last>=1.0" in argv for argv in runs.shell.commands)


def test_a_change_counts_even_when_its_step_failed_and_was_optional(runs: Runs) -> None:
    def meddle(argv: Sequence[str], _number: int) -> Ended | None:
        if "extra==1.0" not in argv:
            return None
        runs.shell.versions.pop("triton", None)
        return ok("broken half way", code=1)

    runs.shell.answer = meddle
    with pytest.raises(GuardError, match="the step extra changed triton"):
        runs.install()


def test_a_change_between_two_runs_of_a_kept_container(runs: Runs) -> None:
    runs.install()
    runs.shell.versions["torch"] = "2.11.0"
    with pytest.raises(GuardError, match="something between two runs changed torch"):
        runs.install()


def test_a_run_that_died_inside_a_step_does_not_blame_the_next_one(runs: Runs) -> None:
    """AITER was half removed when we were killed; the next run builds it."""
    runs.shell.versions["amd-aiter"] = "0.1.5"

    def die(argv: Sequence[str], _number: int) -> Ended | None:
        if "uninstall" in argv and "amd-aiter" in argv:
            del runs.shell.versions["amd-aiter"]
            raise KeyboardInterrupt
        return None

    runs.shell.answer = die
    with pytest.raises(KeyboardInterrupt):
        runs.install()

    def build(argv: Sequence[str], _number: int) -> Ended | None:
        if tuple(argv[-2:]) == ("-e", "."):
            runs.shell.versions["amd-aiter"] = "0.1.6.dev3+g46e6c92b3"
        return None

    runs.shell.answer = build
    assert {"aiter-source", "aiter"} <= set(runs.install().ran)


def test_a_step_that_failed_does_not_blame_the_next_run(runs: Runs) -> None:
    runs.shell.versions["amd-aiter"] = "0.1.5"

    def fail(argv: Sequence[str], _number: int) -> Ended | None:
        if "uninstall" in argv and "amd-aiter" in argv:
            runs.shell.versions.pop("amd-aiter", None)
            return ok("disk full", code=1)
        return None

    runs.shell.answer = fail
    with pytest.raises(CiError, match="aiter-remove failed"):
        runs.install()
    runs.shell.answer = None
    with pytest.raises(GuardError, match="cannot import aiter"):
        runs.install()


def test_an_import_that_fails_ends_the_installation_with_6(runs: Runs) -> None:
    runs.shell.import_problem = "ImportError: libhipblas.so"
    with pytest.raises(GuardError, match="cannot import") as caught:
        runs.install()
    assert caught.value.exit_code is ExitCode.GUARD
    assert runs.ended("guards")["outcome"] == "failed"


def test_a_required_distribution_that_is_missing_is_a_violation(runs: Runs) -> None:
    guards = guards_of(catalog().guards, flavour="rocm720")
    with pytest.raises(GuardError, match="cannot import aiter"):
        probe(runs.shell, "python3", guards, ())
    lines = probe(runs.shell, "python3", guards_of(catalog().guards, flavour="rehearsal"), ())
    assert all("not probed" in line for line in lines)


def test_stopped_between_two_steps(runs: Runs) -> None:
    def stop(argv: Sequence[str], _number: int) -> Ended | None:
        runs.stopped = runs.stopped or "setup_rocm.py" in argv
        return None

    runs.shell.answer = stop
    with pytest.raises(InfrastructureError, match="stopped"):
        runs.install()
    assert "setup_rocm.py" in runs.shell.commands[-1]


def test_an_inspector_that_gives_no_answer_is_infrastructure(runs: Runs) -> None:
    runs.shell.inspect = lambda *_: ok("Segmentation fault", code=139)  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError, match="the inspector's fingerprint gave no answer: exit 139"):
        runs.install()
