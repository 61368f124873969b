"""One real Slurm cluster for all these tests, healthy before each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.child_processes import default_signals, ended_children
from support.engines import base_image, engine, small_image
from support.slurm_cluster import Cluster
from support.slurm_runs import Project, make_project

__all__ = [
    "accounting",
    "base_image",
    "cluster",
    "copied_project",
    "default_signals",
    "ended_children",
    "engine",
    "project",
    "small_image",
    "started_cluster",
]


@pytest.fixture(scope="session")
def started_cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def accounting() -> Iterator[Cluster]:
    """Another cluster, with slurmdbd, which soon forgets jobs."""
    with Cluster(accounting=True, min_job_age_s=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(started_cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """Both nodes idle, no job, no fault; what the test breaks is repaired after it, before its `tmp_path` is removed."""
    yield started_cluster
    started_cluster.heal()


@pytest.fixture(scope="session")
def copied_project(started_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"), started_cluster)


@pytest.fixture
def project(cluster: Cluster, copied_project: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of this repository whose runs and notes are this test's own, and whose rows are as ours after it."""
    rows = {path: path.read_bytes() for path in (copied_project.repository / "ci/catalog").glob("*.toml")}
    yield replace(copied_project, runs=tmp_path / "runs", notes=tmp_path / "notes")
    for path, before in rows.items():
        path.write_bytes(before)
