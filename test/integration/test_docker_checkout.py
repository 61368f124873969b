"""`--executor docker --checkout` from the image to the removal, with a small tree in SGLang's place.

This machine has no GPU, so no run of it may take SGLang's tests. The plan is therefore made from facts that say MI300X, and
everything after the plan is the command's own: the run folder, the executor, a real container, the record, the exit code.
"""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.dependencies import StepRow
from ci.cli.options import read_run_options
from ci.cli.run import act
from ci.docker.client import connect
from ci.facts.container import look_at_container
from ci.facts.gather import discover_tests
from ci.images.build_rehearsal import inspect_built
from ci.plan.draft import draft_plan
from ci.plan.facts import Facts, Known
from ci.plan.make import make_plan
from support.docker_runs import ours
from support.engines import Engine
from support.files import REPOSITORY
from support.standins import AITER_REPOSITORY, StandIn

TREE = REPOSITORY / "test/data/sglang_tree"
STAGE = "stage-a-amd"
NOBODY = 65534
# the others ask a package index, or repositories of other projects
STEPS = (
    "git-safe",
    "remove-old",
    "sgl-kernel",
    "sglang",
    "dummy-grok",
    "aiter-remove",
    "aiter-source",
    "aiter",
)
RING = ("python3", "-c", "import os; print('ring of', os.environ['NCCL_DEBUG'], os.getcwd())")
BROKEN = ("python3", "-c", "raise SystemExit('no ring')")


def state_of(tree: Path) -> dict[str, tuple[int, int, int, int, str]]:
    """Mode, owners, time and content of everything in a tree."""
    found = {}
    for path in sorted((tree, *tree.rglob("*"))):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime_ns, content)
    return found


def rows(
    *,
    steps: tuple[str, ...] = STEPS,
    change: Callable[[StepRow], StepRow] = lambda step: step,
    preflight: tuple[str, ...] = RING,
) -> Catalog:
    """The catalog with a local AITER, without steps that need a network, and a preflight before the suite."""
    catalog = load_catalog()
    wanted = tuple(change(step) for step in catalog.dependencies.steps if step.id in steps)
    (first, *others) = catalog.suites
    assert first.stage == STAGE
    check = replace(catalog.preflights["rccl-all-reduce"], argv=preflight)
    return replace(
        catalog,
        suites=(replace(first, preflight=check.id), *others),
        preflights={check.id: check},
        dependencies=replace(
            catalog.dependencies,
            repositories={**catalog.dependencies.repositories, "aiter": AITER_REPOSITORY},
            steps=wanted,
        ),
    )


@dataclass
class Bench:
    """Runs of one checkout in one image."""

    engine: Engine
    image: str
    tree: Path
    runs: Path

    def run(self, catalog: Catalog, *options: str, acting: Catalog | None = None) -> int:
        """One run; its exit code. It is planned with one catalog and done with another, the same when none is named."""
        words = ("--executor", "docker", "--checkout", str(self.tree), *options)
        asked = read_run_options(STAGE, "nox -s stage_a_amd --", ("nox", "-s", "stage_a_amd"), words)
        request = replace(asked.request, hardware="mi300x")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.runs.parent),
            "DOCKER_HOST": self.engine.host,
            "AMD_CI_CACHE": str(self.runs.parent / "cache"),
        }
        root, tests = discover_tests(catalog, str(self.tree))
        facts = Facts(
            hardware_class="mi300x",
            hardware_source="said by the test",
            gpu_ids=("0",),
            render_nodes=1,
            commit=Known(value="a" * 40, source="test"),
            root=str(root),
            checkout=Known(value="b" * 40, source="test"),
            runs_dir=str(self.runs),
            tests=tests,
            fixed_files=frozenset(),
            engines={},
            environ=environ,
            event=Known(value="local", source="test"),
            host="test",
            user="test",
            today=date(2026, 5, 29),
            today_source="test",
            today_tried=False,
        )
        client = connect(self.engine.host, timeout_s=10)
        image = inspect_built(client, catalog.images, self.image, source="--image")
        image = replace(image, flavour="rocm720")
        client.close()
        draft = draft_plan(catalog, facts, request)
        assert draft.needs.container is not None
        found = look_at_container(catalog, facts, draft.needs.container, image)
        plan = make_plan(catalog, facts, draft, found)
        return act(acting or catalog, plan, environ, json=False)

    def folder(self) -> Path:
        """The newest run folder."""
        found = (entry for entry in self.runs.iterdir() if not entry.name.startswith("."))
        return max(found, key=lambda entry: entry.stat().st_ctime_ns)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder() / "events.jsonl").read_text().splitlines()]

    def phases(self) -> dict[str, dict[str, Any]]:
        return {event["phase"]: event for event in self.events() if event["type"] == "phase-ended"}

    def failure(self) -> dict[str, Any]:
        (event,) = (event for event in self.events() if event["type"] == "executor-failed")
        return event


@pytest.fixture
def bench(engine: Engine, standin: StandIn, tmp_path: Path) -> Iterator[Bench]:
    tree = tmp_path / "SGLang's tree"
    shutil.copytree(TREE, tree)
    dockerfile = tree / "docker/rocm.Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("AITER_PIN", standin.new))
    for path in (tree, *tree.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Bench(engine, standin.reference, tree, tmp_path / "runs")
    for number, handler in signals.items():
        signal.signal(number, handler)
    for name in ours(engine):
        engine.client.api.remove_container(name, force=True)


def test_the_checkout_is_copied_installed_tested_and_untouched(
    bench: Bench, engine: Engine, standin: StandIn
) -> None:
    before = state_of(bench.tree)
    assert bench.run(rows(), "--keep") == 0
    phases = bench.phases()
    order = list(phases)
    done = [name.removeprefix("install:") for name in order if name.startswith("install:")]
    assert done == list(STEPS)
    assert {phases[f"install:{name}"]["outcome"] for name in done} == {"ok"}
    assert order.index("copy") < order.index("install") < order.index("guards")
    assert order.index("guards") < order.index("preflight") < order.index("tests")
    folder = bench.folder()
    log = next((folder / "logs").glob("*test_copy.py.log")).read_text()
    assert "sglang is from the checkout: /sglang-checkout/python/sglang/__init__.py" in log
    assert "sgl_kernel is built from the checkout" in log
    assert "aiter has newer: yes" in log
    assert "ring of INFO /sglang-checkout" in (folder / "logs/preflight.log").read_text()
    assert any("other-commit" in line for line in phases["install"]["details"])
    assert any(standin.new[:12] in line for line in phases["install"]["details"])
    notes = json.loads((folder / "plan.json").read_text())["notes"]
    assert any("not in the container: /dev/kfd" in note for note in notes)
    assert state_of(bench.tree) == before

    # the same again in the kept container, on a machine that has gone bad meanwhile
    (kept,) = ours(engine)
    assert bench.run(rows(preflight=BROKEN), "--keep") == 4
    phases = bench.phases()
    assert ours(engine) == [kept]
    assert phases["copy"]["outcome"] == "skipped"
    for name in ("remove-old", "sgl-kernel", "sglang"):
        assert phases[f"install:{name}"]["outcome"] == "skipped"
        assert "unchanged" in phases[f"install:{name}"]["text"]
    assert "install:aiter" not in phases
    assert any("same-commit" in line for line in phases["install"]["details"])
    assert phases["preflight"]["outcome"] == "failed"
    assert "tests" not in phases
    failure = bench.failure()
    assert (failure["verdict"], failure["cause"]) == ("infra", "no ring")
    assert "logs/preflight.log" in failure["then"]
    assert state_of(bench.tree) == before


def test_without_its_protection_the_step_that_replaces_triton_is_named_and_the_run_is_6(
    bench: Bench, engine: Engine
) -> None:
    def off(step: StepRow) -> StepRow:
        return replace(step, env={k: v for k, v in step.env.items() if k != "AITER_USE_SYSTEM_TRITON"})

    before = state_of(bench.tree)
    assert bench.run(rows(steps=("aiter-source", "aiter"), change=off)) == 6
    failure = bench.failure()
    assert failure["verdict"] == "guard"
    assert "the step aiter changed triton" in failure["what"]
    assert "version: 3.4.0+image -> 3.5.0" in "\n".join(failure["problems"])
    phases = bench.phases()
    assert phases["install:aiter"]["outcome"] == "failed"
    assert "tests" not in phases
    assert phases["stop"]["text"] == "removed"
    assert not ours(engine)
    assert state_of(bench.tree) == before


def test_invalid_input_is_found_out_inside_and_is_2(bench: Bench, engine: Engine) -> None:
    """A plan whose rows were edited before it came to be done."""
    assert bench.run(rows(), acting=rows(steps=("git-safe",))) == 2
    failure = bench.failure()
    assert failure["verdict"] == "usage"
    assert "other rows of dependencies.toml" in failure["what"]
    assert bench.phases()["install"]["outcome"] == "failed"
    assert not ours(engine)
