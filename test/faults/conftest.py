"""The engines, registries and images of these tests; nothing is started before a test asks for it."""

import pytest

from support.agent_process import agent, nodes
from support.child_processes import default_signals, ended_children
from support.engines import base_image, engine, private_engine, registry, rehearsal_image, small_image
from support.groups import keep_together
from support.standins import standin

__all__ = [
    "agent",
    "base_image",
    "default_signals",
    "ended_children",
    "engine",
    "nodes",
    "private_engine",
    "registry",
    "rehearsal_image",
    "small_image",
    "standin",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    keep_together(items)
