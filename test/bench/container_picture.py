"""A picture of a rehearsal of stage a in a container, for docs/container.md: `nox -s pages -- --picture`, as root with a Docker engine."""

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from support.engine_images import make_base_image, make_python_image  # noqa: E402
from support.engines import session_engine  # noqa: E402
from support.files import ci, run_folder  # noqa: E402

PICTURE = ROOT / "docs/images/container.svg"
# as docs/container.md has it made
IMAGE = ("sglang-amd-ci/rehearsal", "latest")
_RUN_S = 900.0


def main() -> None:
    """Draw it."""
    with session_engine() as engine, tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        engine.client.api.tag(make_python_image(engine, make_base_image(engine), "rehearsal"), *IMAGE)
        words = ("run", "stage-a-amd", "--executor", "docker", "--image", ":".join(IMAGE))
        done = ci(*words, runs=runs, env={"DOCKER_HOST": engine.host}, timeout_s=_RUN_S)
        if done.code:
            sys.exit(done.text)
        shutil.copy(run_folder(runs) / "terminal.svg", PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
