"""How much of a pull is done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.images.progress import Progress


def downloading(layer: str, current: int, total: int) -> dict[str, object]:
    return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": total}}


def test_progress_adds_layers_up_and_knows_a_standstill() -> None:
    progress = Progress(300)
    assert progress.feed({"id": "a", "status": "Pulling fs layer"}, 0)
    assert progress.feed(downloading("a", 50, 100), 1)
    assert not progress.feed(downloading("a", 50, 100), 2)
    assert not progress.feed({"id": "a", "status": "Retrying in 5 seconds"}, 3)
    assert progress.feed(downloading("b", 100, 200), 5)
    assert (progress.done_bytes, progress.total_bytes) == (150, 300)
    assert progress.rate_bytes_s == pytest.approx(150 / 5)
    assert progress.feed({"id": "a", "status": "Download complete"}, 6)
    assert progress.done_bytes == 200


def test_a_total_is_not_claimed_while_layers_wait_and_others_are_there_already() -> None:
    progress = Progress(300)
    progress.feed({"id": "a", "status": "Already exists"}, 0)
    progress.feed({"id": "b", "status": "Waiting"}, 0)
    assert progress.total_bytes is None
    progress.feed(downloading("b", 1, 90), 1)
    assert progress.total_bytes == 90


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=40))
def test_progress_never_exceeds_its_total(steps: list[tuple[str, int]]) -> None:
    progress = Progress(0)
    for number, (layer, current) in enumerate(steps):
        progress.feed(downloading(layer, current, 100), number)
        total = progress.total_bytes
        assert total is not None
        assert 0 <= progress.done_bytes <= total
        assert (progress.rate_bytes_s or 0) >= 0


def test_a_layer_that_is_unpacked_is_transferred_and_moves_on() -> None:
    progress = Progress(0)
    assert progress.text == "0 of 0 layers"
    progress.feed(downloading("a", 40, 100), 0)
    unpacking = {"id": "a", "status": "Extracting", "progressDetail": {"current": 10, "total": 300}}
    assert progress.feed(unpacking, 1)
    assert not progress.feed(unpacking, 2)
    assert (progress.done_bytes, progress.total_bytes) == (100, 100)
    assert progress.text == "unpacking, 0 of 1 layers"
    progress.feed({"id": "a", "status": "Pull complete"}, 3)
    progress.feed({"id": "b", "status": "Already exists"}, 3)
    assert progress.text == "2 of 2 layers"
    event = progress.event("pull", "docker.io")
    assert (event.phase, event.text, event.done, event.unit) == (
        "pull",
        "docker.io: 2 of 2 layers",
        100,
        "bytes",
    )


def test_figures_that_are_missing_count_nothing() -> None:
    progress = Progress(0)
    assert progress.feed({"id": "a", "status": "Downloading"}, 0)
    assert (progress.done_bytes, progress.total_bytes) == (0, None)
    progress.feed({"id": "b", "status": "Extracting"}, 0)
    assert progress.done_bytes == 0
    assert not progress.feed({"status": "Downloading"}, 1)
    assert not progress.feed({"id": "latest", "status": "Pulling from org/engine"}, 1)
    assert progress.text.endswith("0 of 2 layers")


def test_the_rate_is_that_of_the_last_seconds() -> None:
    progress = Progress(0)
    progress.feed(downloading("a", 0, 10_000), 0)
    assert progress.rate_bytes_s is None
    progress.feed(downloading("a", 5000, 10_000), 0)
    assert progress.rate_bytes_s is None
    for second in range(1, 31):
        progress.feed(downloading("a", 5000 + second, 10_000), second)
    assert progress.rate_bytes_s == pytest.approx(1)


def test_a_transfer_is_never_larger_than_it_is() -> None:
    progress = Progress(50)
    progress.feed(downloading("a", 70, 100), 0)
    assert progress.total_bytes == 70
