"""A registered test that is started by hand, without a stage session, stops here with the command that runs it."""

import pytest

from harness.errors import SpecError
from harness.spec import current


def pytest_configure() -> None:
    try:
        current()
    except SpecError as error:
        raise pytest.UsageError(str(error)) from None
