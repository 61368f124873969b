"""DeepSeek-V4-Pro with FP4 experts: GSM8K, then the speed of single batches on the same server."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.register import register_amd_ci
from harness.server import Server, launch
from harness.suites.deepseek_v4 import measure_accuracy, measure_perf, server_spec

register_amd_ci(est_time=14400, suite="nightly-amd-8-gpu-mi35x-deepseek-v4-pro", nightly=True)

SERVER = server_spec(
    "deepseek-ai/DeepSeek-V4-Pro", path_variable="DEEPSEEK_V4_PRO_MODEL_PATH_FP4", launch_timeout_s=5400
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(SERVER) as running:
        yield running


def test_accuracy(server: Server) -> None:
    measure_accuracy(server)


def test_perf(server: Server) -> None:
    measure_perf(server)
