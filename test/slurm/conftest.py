"""One real Slurm cluster for all these tests, healthy before each."""

from collections.abc import Iterator

import pytest

from support.child_processes import default_signals, ended_children
from support.slurm_cluster import Cluster

__all__ = ["cluster", "default_signals", "ended_children", "started_cluster"]


@pytest.fixture(scope="session")
def started_cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started_cluster: Cluster) -> Iterator[Cluster]:
    """Both nodes idle, no job, no fault; what the test breaks is repaired after it."""
    yield started_cluster
    started_cluster.heal()
