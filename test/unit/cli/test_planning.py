"""From options to a plan: look, decide and look at the container, each once and in this order."""

import ast
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog
from ci.cli.options import read_run_options
from ci.cli.planning import plan_for
from ci.errors import CiError, ExitCode, UsageError
from ci.plan.model import Plan
from support.containers import image

REPOSITORY = Path(__file__).parents[3]
STAGE = "stage-a-amd"
# decisions, by the module that takes them
DECISIONS = (
    "ci.plan.draft.decide_executor",
    "ci.plan.draft.select",
    "ci.plan.draft.plan_suites",
    "ci.plan.docker.needs_of",
    "ci.plan.docker.image_request",
)
LOOKS = (
    "ci.cli.planning.gather_machine",
    "ci.cli.planning.gather_container",
    "ci.facts.container.resolve_image",
    "ci.facts.container.gather_container_facts",
)

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("own_tree")]  # git says the commit


def spied(monkeypatch: pytest.MonkeyPatch, calls: list[str], name: str) -> None:
    """Note each call; images are found without a registry."""
    module, _, attribute = name.rpartition(".")
    real: Callable[..., Any] = getattr(__import__(module, fromlist=[attribute]), attribute)

    def call(*arguments: Any, **keywords: Any) -> Any:
        calls.append(attribute)
        return image() if attribute == "resolve_image" else real(*arguments, **keywords)

    monkeypatch.setattr(name, call)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    for name in (*DECISIONS, *LOOKS):
        spied(monkeypatch, made, name)
    return made


def plan(catalog: Catalog, *words: str, run: bool = False) -> Plan:
    arguments = words if run else (*words, "--dry-run")
    options = read_run_options(STAGE, "nox", ("nox",), arguments)
    return plan_for(catalog, options, {"PATH": "/usr/bin", "AMD_CI_RUNS": "/nowhere"})


def test_each_is_done_once_for_a_plan_in_a_container(catalog: Catalog, calls: list[str]) -> None:
    made = plan(catalog, "--hardware", "mi300x", "--executor", "docker")
    assert made.work.container is not None
    assert Counter(calls) == Counter(name.rpartition(".")[2] for name in (*DECISIONS, *LOOKS))
    order = [calls.index(name) for name in ("gather_machine", "select", "image_request", "gather_container")]
    assert order == sorted(order)


def test_each_is_done_once_for_a_plan_on_the_host(catalog: Catalog, calls: list[str]) -> None:
    made = plan(catalog, "--hardware", "mi300x", "--executor", "host")
    assert made.work.container is None
    assert Counter(calls) == Counter(["gather_machine", "decide_executor", "select", "plan_suites"])


def test_a_saved_plan_is_decided_again_but_for_its_image(
    catalog: Catalog, calls: list[str], tmp_path: Path
) -> None:
    saved = tmp_path / "plan.json"
    saved.write_text(plan(catalog, "--hardware", "mi300x", "--executor", "docker").text())
    calls.clear()
    again = plan(catalog, "--plan", str(saved))
    looked_for = Counter(name.rpartition(".")[2] for name in (*DECISIONS, *LOOKS))
    assert Counter(calls) == looked_for - Counter(["resolve_image"])
    assert again.work.image == image().config_digest


def test_an_invalid_request_is_refused_before_a_registry_is_asked(catalog: Catalog, calls: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        plan(
            catalog, "--hardware", "mi300x", "--executor", "docker", "--suite", "bogus", "--env", "HF_TOKEN=x"
        )
    assert "unknown suite 'bogus'" in caught.value.render()
    assert "HF_TOKEN looks like a secret" in caught.value.render()
    assert "gather_container" not in calls


def test_a_list_asks_no_registry_wherever_the_tests_would_run(catalog: Catalog, calls: list[str]) -> None:
    options = read_run_options(
        STAGE, "nox", ("nox",), ("--list", "--executor", "docker", "--hardware", "mi300x")
    )
    assert plan_for(catalog, options, {"PATH": "/usr/bin"}).work.tests
    assert "gather_container" not in calls


def test_a_run_needs_an_engine_where_a_plan_needs_none(
    catalog: Catalog, calls: list[str], tmp_path: Path
) -> None:
    words = ("--hardware", "cpu", "--executor", "docker", "--image", "made:here")
    environ = {"PATH": "/usr/bin", "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    options = read_run_options(STAGE, "nox", ("nox",), (*words, "--dry-run"))
    assert any("a run would fail here" in note for note in plan_for(catalog, options, environ).notes)
    with pytest.raises(CiError) as caught:
        plan_for(catalog, read_run_options(STAGE, "nox", ("nox",), words), environ)
    assert caught.value.exit_code == ExitCode.INFRASTRUCTURE
    assert calls.count("gather_container") == 2


def test_who_looks_and_who_puts_the_plan_together_cannot_decide() -> None:
    deciding = {name.rpartition(".")[2] for name in DECISIONS} | {"draft_plan", "one_need"}
    for path in [*(REPOSITORY / "ci/facts").glob("*.py"), REPOSITORY / "ci/plan/make.py"]:
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not imported & deciding, path.name
