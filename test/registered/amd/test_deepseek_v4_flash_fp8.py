"""DeepSeek-V4-Flash with FP8 experts: GSM8K, then the speed of single batches on the same server."""

import pytest

if __name__ == "__main__":  # before the harness is imported: pytest puts it on the path
    raise SystemExit(pytest.main([__file__]))

from collections.abc import Iterator

from harness.register import register_amd_ci
from harness.server import Server, launch
from harness.suites.deepseek_v4 import measure_accuracy, measure_perf, server_spec

register_amd_ci(est_time=7200, suite="nightly-amd-8-gpu-mi35x-deepseek-v4-flash", nightly=True)

SERVER = server_spec(
    "sgl-project/DeepSeek-V4-Flash-FP8", path_variable="DEEPSEEK_V4_FP8_MODEL_PATH", launch_timeout_s=3600
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with launch(SERVER) as running:
        yield running


def test_accuracy(server: Server) -> None:
    measure_accuracy(server)


def test_perf(server: Server) -> None:
    measure_perf(server)
