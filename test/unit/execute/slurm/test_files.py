"""The folder `slurm` of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ci.agent.claims import Claims
from ci.agent.roles.group import lost_name, meetings
from ci.agent.roles.nodes import SETTLED
from ci.agent.spec import Spec
from ci.errors import InfrastructureError
from ci.execute.slurm.claims import claims_of
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.ledger import Claim


def test_workers_by_their_numbers(tmp_path: Path) -> None:
    files = SlurmFiles(run=tmp_path)
    assert not files.workers
    for number in ("10", "9"):
        files.make_worker(number)
    (files.folder / "workers" / ".new").touch()
    assert files.workers == ("9", "10")


def test_a_folder_of_workers_that_cannot_be_read_is_an_error_with_a_next_command(tmp_path: Path) -> None:
    files = SlurmFiles(run=tmp_path)
    files.folder.mkdir()
    (files.folder / "workers").touch()
    with pytest.raises(InfrastructureError, match=r"cannot read .*workers: Not a directory"):
        _ = files.workers


def test_the_agents_find_the_head_by_the_same_names(tmp_path: Path) -> None:
    files = SlurmFiles(run=tmp_path)
    agent = Claims(files.queue, "1")
    assert agent.take(4, 1)
    assert [path.name for path in files.claims.iterdir()] == ["4.1"]
    assert claims_of(files, "1") == (Claim(place=4, tried=1),)
    files.again(4).touch()
    assert agent.look().again == {4}
    files.closed.touch()
    assert agent.look().is_closed


def test_the_agents_of_roles_find_the_head_by_the_same_names(tmp_path: Path) -> None:
    spec = SimpleNamespace(run_dir=tmp_path, node=SimpleNamespace(start=2))
    folder, files = meetings(cast("Spec", spec)), SlurmFiles(run=tmp_path)
    assert files.meetings(2) == folder
    assert files.lost(2, 7) == folder / lost_name(7)
    assert files.settled(2) == folder / SETTLED
