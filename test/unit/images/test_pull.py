"""What a failed pull means."""

import pytest

from ci.images.pull import fault_of
from support.catalog_files import repository_catalog


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("toomanyrequests: You have reached your pull rate limit", True),
        ("received unexpected HTTP status: 503 Service Unavailable", True),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", True),
        ("dial tcp: lookup r: no such host", True),
        ("net/http: TLS handshake timeout", True),
        ("unexpected EOF", True),
        ("filesystem layer verification failed for digest sha256:1", True),
        ("manifest for x:1 not found: manifest unknown: manifest unknown", False),
        ("repository x not found: name unknown: y", False),
        ("no basic auth credentials", False),
        ("unauthorized: authentication required", False),
        ("pull access denied for x, repository does not exist or may require 'docker login': denied: no", False),
        ("error parsing HTTP 403 response body: invalid character", False),
        ("write /var/lib/docker/x: no space left on device", False),
    ],
)  # fmt: skip
@pytest.mark.live_rows
def test_our_rows_know_which_messages_of_an_engine_are_worth_another_try(text: str, *, retry: bool) -> None:
    found = fault_of(repository_catalog().images.faults, text)
    assert found is not None
    assert found.retry is retry
