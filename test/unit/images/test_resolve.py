"""An image that is asked for in a registry that cannot be one."""

from datetime import date

import pytest

from ci.errors import UsageError
from ci.images.resolve import resolve_image
from ci.plan.container.image import image_request
from support.catalog_files import catalog

TODAY = date(2026, 5, 29)
IMAGES = catalog().images


@pytest.mark.parametrize("registry", ["myhost", "http://10.0.0.1:5000", "a b"])
def test_what_replaces_the_registry_has_to_be_one(registry: str) -> None:
    ask = image_request(IMAGES, family="mi30x", today=TODAY, environ={"AMD_CI_REGISTRY": registry})
    with pytest.raises(UsageError):
        resolve_image(catalog(), ask, {}, engine_host="unix:///nowhere")
