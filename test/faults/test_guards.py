"""The installation in a real container with stand-ins that misbehave as SGLang's dependencies did.

Two bugs: AITER's build replaces the image's Triton (sgl-project/sglang#24981), and an editable AITER is hidden behind the
folder of its own repository (sgl-project/sglang#22363). Each is shown with its protection off and on.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.dependencies import Dependencies
from ci.cli.deps import check_verb, plan_verb
from ci.cli.verb_options import DepsOptions
from ci.docker.container import Container, create
from ci.errors import CiError, ExitCode, GuardError, UsageError
from ci.install.guards import fingerprint, probe
from ci.install.install import Installation, Installed
from ci.plan.container.guards import guards_of
from ci.plan.container.inside import CheckoutFacts
from ci.plan.container.install import install_of
from ci.plan.container.needs import BIN_DIR
from ci.record.event_json import json_of
from ci.record.phases import Phases
from support.engines import Engine
from support.standins import AITER_REPOSITORY, STAMP, StandIn

PROTECTION = {"AITER_USE_SYSTEM_TRITON": "1"}
COMPAT = ("--config-settings", "editable_mode=compat")
MIRROR = "AMD_CI_ALTERNATIVE_INDEX"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def container(engine: Engine, standin: StandIn, catalog: Catalog) -> Iterator[Container]:
    name = f"amd-ci-test-guards-{secrets.token_hex(4)}"
    arguments = {
        "image": standin.reference,
        "name": name,
        "entrypoint": ["python3", f"{BIN_DIR}/container_init.py", "300", "held"],
        "command": [],
        "stdin_open": True,
        "host_config": {"AutoRemove": True, "NetworkMode": "none", "Init": True},
    }
    made = create(engine.client, arguments, name=name, python="python3", paused_s=10, stopped=lambda: False)
    yield made
    made.remove()


class Runner:
    """Installs in one container and keeps the events."""

    def __init__(self, catalog: Catalog, container: Container, logs: Path) -> None:
        self.catalog = catalog
        self.container = container
        self.logs = logs
        self.events: list[dict[str, Any]] = []
        self.limits = replace(catalog.limits.deps, wait_s=0.01)
        self.guards = guards_of(catalog.guards, flavour="rocm720")
        self.environ: dict[str, str] = {}
        self.image = "sha256:standin"

    def rows(self, change: Callable[[Any], Any] | None = None) -> Dependencies:
        """The catalog's rows with the local repository, and a change to the step that builds AITER."""
        rows = self.catalog.dependencies
        steps = [change(step) if change is not None and step.id == "aiter" else step for step in rows.steps]
        repositories = {**rows.repositories, "aiter": AITER_REPOSITORY}
        return replace(rows, repositories=repositories, steps=tuple(steps))

    def install(self, rows: Dependencies, *, override: str = "", pin: str = "", only: str = "") -> Installed:
        """`only` are the steps to do, all of AITER's when it is empty."""
        self.events.clear()
        pins = {"aiter@gfx942-rocm720": pin}
        checkout = CheckoutFacts(tree="t1", tree_source="test", files=frozenset(), pins=pins) if pin else None
        # the others would need a package index or SGLang's sources
        wanted = only.split() or [step.id for step in rows.steps if step.needs_aiter_rebuild]
        others = frozenset(step.id for step in rows.steps if step.id not in wanted)
        plan = install_of(
            rows,
            flavour="rocm720",
            family="mi30x",
            checkout=checkout,
            overrides={"AITER_COMMIT_OVERRIDE": override},
        )
        return Installation(
            shell=self.container,
            python="python3",
            rows=rows,
            install=plan,
            guards=self.guards,
            image=self.image,
            environ=self.environ,
            limits=self.limits,
            phases=Phases(lambda event: self.events.append(json_of(event)), self.logs),
            stopped=lambda: False,
            leave_out=others,
        ).run()

    def ended(self) -> dict[str, dict[str, Any]]:
        return {event["phase"]: event for event in self.events if event["type"] == "phase-ended"}

    def triton(self) -> str:
        done = self.container.run(["python3", "-c", "import triton; print(triton.NAME)"], timeout_s=30)
        return done.stdout.decode().strip()


@pytest.fixture
def runner(catalog: Catalog, container: Container, tmp_path: Path) -> Runner:
    return Runner(catalog, container, tmp_path)


def test_a_newer_pin_is_built_and_nothing_else_changes(runner: Runner, standin: StandIn) -> None:
    rows = runner.rows()
    done = runner.install(rows, pin=standin.new)
    assert done.ran == ("aiter-remove", "aiter-source", "aiter-requirements", "aiter")
    (decision,) = (line for line in runner.ended()["install"]["details"] if line.startswith("AITER"))
    assert "other-commit" in decision
    assert runner.triton() == "system"
    now = {row.distribution: row for row in done.fingerprints}
    assert standin.new[:10] in now["amd-aiter"].version
    assert now["triton"].version == "3.4.0+image"
    assert (
        "aiter.dynamic_per_tensor_quant: from /sgl-workspace: /sgl-workspace/aiter/aiter/__init__.py"
        in (runner.ended()["guards"]["details"])
    )
    assert "editable_mode=compat" in (runner.logs / "install-aiter.log").read_text()

    # the pin that the container has by now
    again = runner.install(rows, pin=standin.new)
    assert again.ran == ()
    assert "same-commit" in "".join(runner.ended()["install"]["details"])

    # asked for by name: inputs unchanged, so that a kept container does not build it twice
    first = runner.install(rows, override=standin.new)
    second = runner.install(rows, override=standin.new)
    assert first.ran == ()
    assert second.ran == ()
    assert runner.ended()["install:aiter"]["outcome"] == "skipped"
    assert "unchanged" in runner.ended()["install:aiter"]["text"]


def test_the_check_verb_compares_imports_and_asks_pip(
    runner: Runner, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"DOCKER_HOST": engine.host}
    options = DepsOptions(container=runner.container.name)
    check_verb(environ, options)
    assert "this container has no record of an installation" in capsys.readouterr().out
    runner.image = str(engine.client.api.inspect_container(runner.container.id)["Image"])
    runner.install(runner.rows())
    check_verb(environ, options)
    assert "as after the installation" in capsys.readouterr().out
    plan_verb(environ, replace(options, json=True))
    assert json.loads(capsys.readouterr().out)["stage"] == STAMP

    broken = ["rm", "-rf", "/usr/local/lib/python3.11/dist-packages/torch/version.py"]
    assert runner.container.run(broken, timeout_s=30).code == 0
    with pytest.raises(GuardError, match=r"cannot import torch\.version"):
        check_verb(environ, options)
    with pytest.raises(UsageError, match="unknown container no-such-container"):
        check_verb(environ, DepsOptions(container="no-such-container"))


def test_a_build_that_replaces_triton_is_caught_at_its_step(runner: Runner, standin: StandIn) -> None:
    def off(step: Any) -> Any:
        return replace(step, env={name: value for name, value in step.env.items() if name not in PROTECTION})

    with pytest.raises(GuardError) as caught:
        runner.install(runner.rows(off), pin=standin.new, only="aiter-source aiter")
    assert caught.value.exit_code is ExitCode.GUARD
    text = caught.value.render()
    assert "the step aiter changed triton" in text
    assert "version: 3.4.0+image -> 3.5.0" in text
    assert runner.triton() == "bundled"
    ended = runner.ended()
    assert ended["install:aiter-source"]["outcome"] == "ok"
    assert ended["install:aiter"]["outcome"] == "failed"
    assert "guards" not in ended


def test_a_namespace_that_hides_the_package_is_caught_at_its_step(runner: Runner, standin: StandIn) -> None:
    def off(step: Any) -> Any:
        commands = tuple(tuple(word for word in command if word not in COMPAT) for command in step.commands)
        return replace(step, commands=commands)

    with pytest.raises(GuardError) as caught:
        runner.install(runner.rows(off), pin=standin.new, only="aiter-source aiter")
    text = caught.value.render()
    assert "the step aiter changed amd-aiter" in text
    assert "import from /sgl-workspace" in text
    assert "empty namespace package /sgl-workspace/aiter" in text

    # the probe says the same in the words of who imports it, with the fix
    now = fingerprint(runner.container, "python3", runner.guards)
    with pytest.raises(GuardError) as probed:
        probe(runner.container, "python3", runner.guards, now)
    text = probed.value.render()
    assert "the folder /sgl-workspace/aiter was taken for the package" in text
    assert "the package itself is /sgl-workspace/aiter/aiter/__init__.py" in text
    assert "editable_mode=compat" in text


def test_failures_in_a_container_are_reported_by_step(runner: Runner, standin: StandIn) -> None:
    """Three attempts, and an index with a password that no log shows."""
    address = "https://user:sesame@index.example/simple"
    runner.environ = {MIRROR: address}

    def loud(step: Any) -> Any:
        show = (
            "python3",
            "-c",
            "import os; print('index is', os.environ.get('PIP_INDEX_URL')); raise SystemExit(3)",
        )
        return replace(step, commands=(("{install}", "--help"), show), once=False)

    with pytest.raises(CiError) as caught:
        runner.install(runner.rows(loud), pin=standin.new, only="aiter")
    assert caught.value.exit_code is ExitCode.INFRASTRUCTURE
    log = (runner.logs / "install-aiter.log").read_text()
    assert log.count("exit 3") == 3
    assert log.count("index is None") == 2
    assert log.count("index is ***") == 1
    assert "sesame" not in log + json.dumps(runner.events) + caught.value.render()
    assert f"attempt 3: the index of {MIRROR} is asked" in runner.ended()["install:aiter"]["details"]

    # a change between two runs of a kept container has no step that made it
    old = ["python3", "-m", "pip", "uninstall", "-y", "-q", "triton"]
    assert runner.container.run(old, timeout_s=60).code == 0
    with pytest.raises(GuardError, match="something between two runs changed triton"):
        runner.install(runner.rows(), pin=standin.new, only="aiter")
