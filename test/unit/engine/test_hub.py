"""Weights by digest, and a hub cache that holds what it was asked for and nothing else."""

from pathlib import Path

import pytest

from ci.engine.folders import whole
from ci.engine.hub import hub_folder, make_hub
from ci.engine.weights import Weights, convert
from ci.errors import InfrastructureError


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    (tmp_path / "Small.Q4.gguf").write_bytes(b"weights")
    (tmp_path / "engines").mkdir()
    return Weights(engines=tmp_path / "engines", gguf=tmp_path / "Small.Q4.gguf")


def fill(folder: Path) -> None:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")


def test_the_digest_is_known_before_the_conversion(weights: Weights, tmp_path: Path) -> None:
    assert not weights.is_ready()
    (tmp_path / "other.gguf").write_bytes(b"other weights")
    other = Weights(engines=weights.engines, gguf=tmp_path / "other.gguf")
    assert len({weights.digest, other.digest}) == 2
    assert weights.digest[:12] in str(weights.folder)


def test_names_lead_to_the_same_weights_offline(weights: Weights) -> None:
    whole(weights.made, fill)
    hub = make_hub(weights, ["org/small", "org/big"], tell=quiet)
    for name in ("models--org--small", "models--org--big"):
        revision = (hub / name / "refs" / "main").read_text()
        assert len(revision) == 40
        file = hub / name / "snapshots" / revision / "config.json"
        assert file.samefile(weights.folder / "config.json")
    assert make_hub(weights, ["org/big", "org/small", "org/big"], tell=quiet) == hub


def test_a_name_without_a_row_any_more_is_not_found(weights: Weights) -> None:
    whole(weights.made, fill)
    both = make_hub(weights, ["org/small", "org/big"], tell=quiet)
    one = make_hub(weights, ["org/small"], tell=quiet)
    assert one == hub_folder(weights, ["org/small"]) != both
    assert [path.name for path in one.iterdir()] == ["models--org--small"]


def test_a_full_disk_is_found_before_the_conversion(weights: Weights) -> None:
    with pytest.raises(InfrastructureError, match="GiB"):
        convert(weights, Path("/no/python3"), environ={}, tell=quiet, free=lambda _folder: 0)
    assert not list(weights.engines.glob("*/"))


@pytest.mark.processes
def test_a_conversion_that_fails_leaves_nothing(weights: Weights) -> None:
    with pytest.raises(InfrastructureError, match=r"Small\.Q4\.gguf"):
        convert(weights, Path("/no/python3"), environ={}, tell=quiet)
    assert not list(weights.engines.glob("*/"))
