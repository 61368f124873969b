"""Which login goes to which registry."""

from ci.images.credentials import credentials_for
from support.catalog_files import catalog

IMAGES = catalog().images


def test_credentials_go_only_where_their_row_says() -> None:
    hub = {"HUB_USERNAME": "u", "HUB_TOKEN": "canary"}
    own = {"AMD_CI_IMAGE_USERNAME": "v", "AMD_CI_IMAGE_TOKEN": "canary2"}
    found, _ = credentials_for(IMAGES, "docker.io", hub | own)
    assert found is not None
    assert (found.username, "canary" in repr(found)) == ("u", False)
    assert credentials_for(IMAGES, "ghcr.io", hub) == (None, "")
    other, _ = credentials_for(IMAGES, "ghcr.io", hub | own)
    assert other is not None
    assert other.username == "v"
    nobody, note = credentials_for(IMAGES, "docker.io", {"HUB_TOKEN": "canary"})
    assert nobody is None
    assert note == "HUB_TOKEN is set and HUB_USERNAME is not: no login"
