"""A checkout's own facts: its registry, its launch scripts and its workflows, each file read once."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ci.catalog.hardware import HardwareCatalog
from ci.errors import Problem
from ci.facts.tree.calls import CHECKOUT, EXEC_SCRIPT
from ci.facts.tree.jobs import Launchers
from ci.facts.tree.registry import REGISTER_FILE, RUNNER_FILE, read_registry
from ci.facts.tree.workflow_file import load_workflows
from ci.facts.tree.workflows import WORKFLOWS, find_workflows, read_workflows
from ci.plan.tree.model import RunnerDefaults, Stated, TreeFacts, source_at

__all__ = ["SCRIPTS", "gather_launchers", "gather_tree", "tree_files"]

SCRIPTS: Final = ("scripts/ci/amd", "scripts/ci")
_ROCM: Final = re.compile(r"^(?:ROCM_VERSION|rocm_version)=[\"']?(rocm[\w.]+)[\"']?", re.MULTILINE)
_WORKDIR: Final = re.compile(r"^WORKDIR=[\"']?([^\"'\n]+)[\"']?", re.MULTILINE)


def gather_tree(root: Path, hardware: HardwareCatalog) -> TreeFacts:
    """Everything that a checkout says of its own CI; nothing of it is imported or run.

    A checkout without workflows or without a runner has facts too: what is missing is in `unread`.
    """
    unread: list[Problem] = []
    registry = read_registry(root, unread)
    launchers = gather_launchers(root, hardware, registry.defaults)
    documents = load_workflows(find_workflows(root, unread), unread)
    workflows = read_workflows(documents, launchers, unread)
    return TreeFacts(
        root=str(root), registry=registry, workflows=workflows, unread=tuple(dict.fromkeys(unread))
    )


def tree_files(root: Path) -> list[Path]:
    """Every file that the facts may be read from."""
    workflows = sorted((root / WORKFLOWS).glob("*.y*ml"))
    return [*(root / file for file in (REGISTER_FILE, RUNNER_FILE)), *_scripts(root), *workflows]


def gather_launchers(root: Path, hardware: HardwareCatalog, defaults: RunnerDefaults) -> Launchers:
    """What the scripts that start containers and commands in them do without an option."""
    rocm: dict[str, Stated[str]] = {}
    workdir = ""
    for path in _scripts(root):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.name == EXEC_SCRIPT and (found := _WORKDIR.search(text)):
            workdir = found[1]
        elif path.name.startswith("amd_ci_start_container") and (found := _ROCM.search(text)):
            line = text.count("\n", 0, found.start()) + 1
            rocm[path.name] = Stated(value=found[1], source=source_at(path.name, line))
    return Launchers(workdir=workdir or f"{CHECKOUT}/test", rocm=rocm, defaults=defaults, hardware=hardware)


def _scripts(root: Path) -> Iterator[Path]:
    for folder in SCRIPTS:
        yield from sorted(path for path in (root / folder).glob("amd_ci_*.sh") if path.is_file())
