"""Which images of the local store are old."""

from datetime import date
from itertools import pairwise

from ci.images.store import choose_old
from support.catalog_files import catalog

TODAY = date(2026, 5, 29)
IMAGES = catalog().images


def tag(
    version: str = "v0.5.12", flavour: str = "rocm700", family: str = "mi30x", day: str = "20260528"
) -> str:
    return f"{version}-{flavour}-{family}-{day}"


def test_old_unused_images_of_ours_go_and_the_newest_stay() -> None:
    def row(number: int, *names: str) -> dict[str, object]:
        return {
            "Id": f"sha256:{number}",
            "RepoTags": list(names),
            "RepoDigests": [],
            "Created": 0,
            "Size": 10,
        }

    rows = [
        row(1, f"org/engine:{tag(day='20260528')}"),
        row(2, f"10.0.0.1:5000/org/engine:{tag(day='20260501')}", f"org/engine:{tag(day='20260501')}"),
        row(3, f"org/engine:{tag(day='20260401')}"),
        row(4, "org/engine:built-by-hand"),
        row(5, "debian:bookworm"),
        row(6, f"evil/x-org/engine:{tag(day='20260401')}"),
    ]
    found = choose_old(rows, {"sha256:3"}, images=IMAGES, today=TODAY, older_days=7, keep=1)
    assert [(image.id, image.kept) for image in found] == [
        ("sha256:1", "among the newest 1"),
        ("sha256:2", ""),
        ("sha256:3", "a container uses it"),
        ("sha256:4", ""),
    ]
    assert len(found[1].names) == 2
    for before, after in pairwise(found):
        assert before.age_days <= after.age_days
