"""What the agent is started with: its spec, made of the plan, and its environment. See docs/agent.md and docs/harness.md."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ci.errors import InfrastructureError
from ci.plan.model import Plan, SuiteWork, TestWork, Work
from ci.system.codec import encode

__all__ = ["HARNESS_DIR", "agent_environ", "make_spec", "write_spec"]

HARNESS_DIR = Path(__file__).parent.parent.parent / "test"


def make_spec(
    plan: Plan, *, run: str, run_dir: str, token: str, known_features: tuple[str, ...]
) -> dict[str, Any]:
    """What the agent has to do. It contains no secret: passed-through values reach the agent by its own environment."""
    work = plan.work
    limits = work.limits
    return {
        "schema": 1,
        "run": run,
        "token": token,
        "root": plan.placement.root,
        "run_dir": run_dir,
        "pythonpath": [str(HARNESS_DIR)],
        "jobs": work.jobs,
        "gpu_ids": list(plan.placement.gpu_ids),
        "fail_fast": work.fail_fast,
        "pytest_args": list(work.pytest_args),
        "limits": asdict(limits.agent),
        "verdict_rules": encode(work.verdict_rules),
        "suites": [_suite(suite, work) for suite in work.suites if suite.tests],
        "harness": {
            "hardware_class": work.hardware_class,
            "rehearsal": work.rehearsal,
            "engine": work.engine,
            "features": list(work.features),
            "known_features": list(known_features),
            "models": encode(work.models),
            "bounds": encode(work.bounds),
            "capabilities": encode(work.capabilities),
            "limits": {**asdict(limits.harness), "launch_s": limits.launch_s},
        },
    }


def write_spec(path: Path, spec: Mapping[str, Any]) -> None:
    """Write it for the agent; only its owner can read it.

    Raises:
        InfrastructureError: it cannot be written.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {path}: {error.strerror}", cause="the disk is full", then=f"df -h {path.parent}"
        ) from error


def agent_environ(plan: Plan, environ: Mapping[str, str], *, token: str) -> dict[str, str]:
    """The agent's environment: of the caller's `environ` what the plan passes through, and the run's token."""
    passed = {name: environ[name] for name in plan.placement.pass_through if name in environ}
    return {**passed, "AMD_CI_TOKEN": token, "PYTHONDONTWRITEBYTECODE": "1"}


def _suite(suite: SuiteWork, work: Work) -> dict[str, Any]:
    return {
        "id": suite.id,
        "name": suite.name,
        "timeout_s": suite.timeout_s,
        "gpus": suite.gpus,
        "attempts": suite.attempts,
        "retry_wait_s": suite.retry_wait_s,
        "retry_on": list(suite.retry_on),
        "env": dict(suite.env),
        "tests": [_test(test, work) for test in suite.tests],
    }


def _test(test: TestWork, work: Work) -> dict[str, Any]:
    # some of the cases, or arguments that may deselect some, need not measure everything
    whole = not test.cases and not work.pytest_args
    return {
        "id": test.id,
        "path": test.path,
        "kind": test.kind,
        "cases": list(test.cases),
        "est_s": test.est_s,
        "timeout_s": test.timeout_s,
        "env": dict(test.env),
        "metrics": sorted(work.bounds.get(test.id, ())) if whole else [],
        "quarantine": [row for row in work.quarantine if row.partition("::")[0] == test.id],
    }
