"""How a worker sees that the head is lost."""

from pathlib import Path

from ci.execute.slurm.worker import HeadWatch


def test_a_head_is_lost_when_it_has_not_shown_for_long_that_it_lives(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    watch = HeadWatch(beat, within_s=10)
    # not there yet, or not readable: that says nothing
    assert not any(watch.is_lost(6) for _ in range(3))
    for count in range(4):
        beat.write_text(f"n1\n{count}\n", encoding="ascii")
        assert [watch.is_lost(6), watch.is_lost(6)] == [False, False]
    assert watch.is_lost(6)
    beat.write_text("n1\n5\n", encoding="ascii")
    assert not watch.is_lost(6)
