"""Around the tests in a container: the copy of a checkout, preflights, the engine's version, whose files are left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from ci.docker.command_runner import Ended
from ci.docker.container import Container
from ci.errors import InfrastructureError
from ci.execute.container_setup import (
    copy_checkout,
    give_back,
    look_at_engine,
    run_preflight,
    working_root,
)
from ci.plan.container.needs import CHECKOUT_COPY, ROOT_DIR
from ci.plan.container.work import PreflightWork
from ci.plan.model import Plan
from ci.record.phases import Phase
from ci.record.values import PhaseOutcome
from support.containers import contained
from support.planning import catalog

OK = Ended(code=0, stdout=b"", stderr=b"")
TREE = "b" * 40


@dataclass
class FakeContainer:
    """Answers commands by their first word, and keeps files."""

    answers: Mapping[str, Ended | Exception] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    ran: list[tuple[list[str], dict[str, Any]]] = field(default_factory=list)

    def run(
        self, argv: Sequence[str], *, on_output: Callable[[bytes], None] | None = None, **how: Any
    ) -> Ended:
        self.ran.append((list(argv), how))
        answer = self.answers.get(argv[0], OK)
        if isinstance(answer, Exception):
            raise answer
        if on_output is not None:
            on_output(answer.stdout)
        return answer

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        self.files |= {f"{folder}/{name}": data for name, data in files.items()}

    def get(self, path: str) -> bytes | None:
        return self.files.get(path)

    @property
    def it(self) -> Container:
        return cast("Container", self)

    @property
    def programs(self) -> list[str]:
        return [argv[0] for argv, _ in self.ran]


@pytest.fixture
def phase(tmp_path: Path) -> Phase:
    (tmp_path / "logs").mkdir()
    return Phase(id="x", logs=tmp_path / "logs")


def of_tree(tree: str = TREE) -> Plan:
    plan = contained()
    return replace(plan, work=replace(plan.work, checkout=tree))


class TestTheCopy:
    def test_a_checkout_is_copied_once_and_the_tests_run_in_the_copy(self, phase: Phase) -> None:
        box = FakeContainer()
        copy_checkout(box.it, of_tree(), phase)
        assert box.programs == ["rm", "mkdir", "cp"]
        assert phase.text == f"{TREE} is in {CHECKOUT_COPY}"
        assert working_root(of_tree()) == CHECKOUT_COPY
        copy_checkout(box.it, of_tree(), phase)
        assert len(box.ran) == 3
        assert (phase.outcome, phase.text) == (PhaseOutcome.SKIPPED, f"the container has a copy of {TREE}")

    def test_another_tree_is_copied_again_and_an_unknown_one_always(self, phase: Phase) -> None:
        box = FakeContainer()
        for tree in (TREE, "c" * 40, "unknown", "unknown"):
            copy_checkout(box.it, of_tree(tree), phase)
        assert box.programs.count("cp") == 4

    def test_without_a_checkout_nothing_is_copied(self, phase: Phase) -> None:
        box = FakeContainer()
        copy_checkout(box.it, contained(), phase)
        assert box.ran == []
        assert "nothing is copied" in phase.text
        assert working_root(contained()) == ROOT_DIR

    @pytest.mark.parametrize(
        ("ended", "words"),
        [
            (Ended(code=1, stdout=b"", stderr=b"cp: x\ncp: no space left\n"), "cp: no space left"),
            (Ended(code=None, stdout=b"", stderr=b"", why="no end within 600 s"), "no end within 600 s"),
        ],
    )
    def test_a_failed_copy_is_no_copy(self, phase: Phase, ended: Ended, words: str) -> None:
        box = FakeContainer(answers={"cp": ended})
        with pytest.raises(InfrastructureError) as caught:
            copy_checkout(box.it, of_tree(), phase)
        assert words in caught.value.render()
        assert box.files == {}, "the next run does not take it for a copy"


class TestPreflights:
    ROW = PreflightWork(id="all-reduce", argv=("torchrun", "a b"), env={"NCCL_DEBUG": "INFO"}, timeout_s=240)

    def run(self, phase: Phase, ended: Ended) -> FakeContainer:
        box = FakeContainer(answers={"torchrun": ended})
        run_preflight(box.it, self.ROW, cwd="/w", phase=phase)
        return box

    def test_it_runs_as_its_row_says_and_its_log_has_command_output_and_end(self, phase: Phase) -> None:
        box = self.run(phase, Ended(code=0, stdout=b"ring ok\n", stderr=b""))
        assert box.ran == [
            (["torchrun", "a b"], {"timeout_s": 240, "cwd": "/w", "env": {"NCCL_DEBUG": "INFO"}})
        ]
        assert phase.text == "all-reduce passed"
        log = (phase.logs / "x.log").read_text()
        assert log == "# in /w: torchrun 'a b'\nring ok\n# exit 0\n"

    @pytest.mark.parametrize(
        ("ended", "words"),
        [
            (Ended(code=1, stdout=b"out\n", stderr=b"a\nGPU 3 is silent\n"), ("exit 1", "GPU 3 is silent")),
            (Ended(code=1, stdout=b"only out\n", stderr=b""), ("exit 1", "only out")),
            (
                Ended(code=None, stdout=b"", stderr=b"", why="no end within 240 s"),
                ("no end within 240 s", "nothing"),
            ),
        ],
    )
    def test_a_failure_is_the_machines(self, phase: Phase, ended: Ended, words: tuple[str, str]) -> None:
        with pytest.raises(InfrastructureError) as caught:
            self.run(phase, ended)
        text = caught.value.render()
        assert all(word in text for word in ("the preflight all-reduce failed", "logs/x.log", *words))


class TestTheEngine:
    def look(self, version: Ended, plan: Plan) -> str:
        plan = replace(plan, placement=replace(plan.placement, python="python3"))
        return look_at_engine(FakeContainer(answers={"python3": version}).it, plan, catalog())

    def test_the_planned_version_is_found(self) -> None:
        found = self.look(Ended(code=0, stdout=b"1.0\n", stderr=b""), contained())
        assert found == "engine in the container: sglang 1.0"

    @pytest.mark.parametrize(
        ("version", "here"),
        [
            (Ended(code=0, stdout=b"2.0\n", stderr=b""), "it is 2.0"),
            (Ended(code=1, stdout=b"", stderr=b"no such package"), "it is not installed"),
        ],
    )
    def test_another_one_is_refused_but_for_a_checkouts_own(self, version: Ended, here: str) -> None:
        with pytest.raises(InfrastructureError) as caught:
            self.look(version, contained())
        assert "the plan says sglang 1.0" in caught.value.render()
        assert here in caught.value.render()
        assert "engine in the container" in self.look(version, of_tree())


class TestFilesOfRoot:
    def test_logs_of_another_owner_are_given_back(
        self, phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "logs" / "a.log").touch()
        box = FakeContainer()
        give_back(box.it, "/in", tmp_path, phase)
        assert box.ran == [], "they are the folder's owner's already"
        _of_another_owner(monkeypatch)
        give_back(box.it, "/in", tmp_path, phase)
        owner = tmp_path.stat()
        assert box.ran[0][0] == ["chown", "-h", "-R", f"{owner.st_uid}:{owner.st_gid}", "/in/logs"]
        assert phase.outcome is PhaseOutcome.OK

    @pytest.mark.parametrize(
        "fault", [Ended(code=1, stdout=b"", stderr=b""), InfrastructureError("it is gone")]
    )
    def test_what_stays_roots_is_a_warning_and_not_an_error(
        self, phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Ended | Exception
    ) -> None:
        (tmp_path / "logs" / "a.log").touch()
        _of_another_owner(monkeypatch)
        give_back(FakeContainer(answers={"chown": fault}).it, "/in", tmp_path, phase)
        assert phase.outcome is PhaseOutcome.WARNED
        assert "1 files in" in phase.text
        assert "still belong to root" in phase.text


def _of_another_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file's own entry has an owner that is not its folder's."""
    real = Path.lstat

    def lstat(path: Path) -> Any:
        found = real(path)
        return replace_owner(found.st_uid + 1)

    def replace_owner(uid: int) -> Any:
        return type("Stat", (), {"st_uid": uid})()

    monkeypatch.setattr(Path, "lstat", lstat)
