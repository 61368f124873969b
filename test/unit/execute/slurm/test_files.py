"""The folder `slurm` of a run."""

from pathlib import Path

import pytest

from ci.errors import InfrastructureError
from ci.execute.slurm.files import SlurmFiles


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
