"""The docker executor beside the plain commands, in one run on loopback registries and one engine.

1. Resolving an image: one tag list, manifest and configuration of ours beside a loop of `docker manifest inspect --insecure`
   over seven days, newest first, as SGLang's start script walks them. Both find the same tag; ours also learns its digests,
   labels and size.
2. From the container's creation to a test's first event, beside `docker run` and `docker exec` of the same Python.
3. A second run with --keep beside the first.

Needs root and Debian's packages, as the integration tests do; AMD_CI_TEST_DOCKER_HOST names an engine to use.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from ci.catalog.catalog import load_catalog  # noqa: E402
from ci.images.resolve import resolve_image  # noqa: E402
from ci.plan.container.image import image_request  # noqa: E402
from support.docker_runs import PASSING, Runs, make_repository  # noqa: E402  # the path is set above
from support.engines import (  # noqa: E402
    Engine,
    Registry,
    make_base_image,
    make_python_image,
    make_tiny_image,
    session_engine,
)

_ROUNDS = 7
_RUNS = 5
_DAYS = 7
_TODAY = date(2026, 5, 29)
_NAME = "rocm/sgl-dev"


def call_ms(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def median_ms(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """The median of several calls, after one that warms up."""
    work()
    return statistics.median(call_ms(work) for _ in range(rounds))


def say(text: str) -> None:
    """Write a line now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tag_of(day: date) -> str:
    """An official tag of a day."""
    return f"v0.5.15-rocm700-mi30x-{day:%Y%m%d}"


def walk_back(registry: Registry) -> str:
    """The peer: one probe a day, newest first, until one answers."""
    for back in range(_DAYS):
        tag = tag_of(_TODAY - timedelta(days=back))
        argv = ["docker", "manifest", "inspect", "--insecure", f"{registry.address}/{_NAME}:{tag}"]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return tag
    return ""


def resolving(engine: Engine, scratch: Path) -> None:
    """Part 1."""
    catalog = load_catalog()
    make_tiny_image(engine, "sglang-amd-ci-test/bench:1", b"bench")
    for age_days, title in ((0, "today's image"), (_DAYS - 1, f"an image of {_DAYS - 1} days ago")):
        with running_registry(scratch / f"registry-{age_days}") as registry:
            tag = tag_of(_TODAY - timedelta(days=age_days))
            registry.push(engine, "sglang-amd-ci-test/bench:1", f"{_NAME}:{tag}")
            environ = {"AMD_CI_REGISTRY": registry.address}

            def ours(environ: dict[str, str] = environ) -> str:
                ask = image_request(catalog.images, family="mi30x", today=_TODAY, environ=environ)
                found = resolve_image(catalog, ask, environ, engine_host=engine.host)
                assert found.config_digest, found.problem
                return found.reference.rpartition(":")[2]

            def theirs(registry: Registry = registry) -> str:
                return walk_back(registry)

            assert ours() == theirs() == tag
            mine, peer = median_ms(ours), median_ms(theirs)
            say(f"  {title}: ours {mine:.1f} ms, loop {peer:.1f} ms ({peer / mine:.1f} of ours)")


@contextlib.contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """A registry for a while."""
    registry = Registry(folder).start()
    try:
        yield registry
    finally:
        registry.stop()


def moment_s(event: dict[str, Any]) -> float:
    """When an event was."""
    return datetime.fromisoformat(event["time"]).astimezone(UTC).timestamp()


def first(events: list[dict[str, Any]], kind: str, **keys: object) -> dict[str, Any]:
    """The first event of a kind with these values."""
    return next(
        event
        for event in events
        if event["type"] == kind and all(event.get(name) == value for name, value in keys.items())
    )


def run_once(runs: Runs, *options: str) -> list[dict[str, Any]]:
    """One run of one small test; its events."""
    ended = runs.run("--test", PASSING, *options)
    assert ended.code == 0, ended.text
    return runs.events()


def plain_ms(engine: Engine, image: str) -> float:
    """The peer: a container that waits, and one command in it that starts the same Python."""
    name = "amd-ci-bench-plain"
    began = time.perf_counter()
    started = engine.cli(
        "run", "-d", "--rm", "--init", "--network", "none", "--name", name, image, "sleep", "60"
    )
    assert started.returncode == 0, started.stderr
    done = engine.cli("exec", name, "python3", "-c", "import pytest")
    took_ms = 1000 * (time.perf_counter() - began)
    assert done.returncode == 0, done.stderr
    engine.cli("rm", "-f", name)
    return took_ms


def starting(runs: Runs, engine: Engine) -> None:
    """Part 2."""
    ours_ms, inside_ms, plain = [], [], []
    for _ in range(_RUNS):
        events = run_once(runs)
        created = moment_s(first(events, "phase-started", phase="create"))
        tests = moment_s(first(events, "phase-started", phase="tests"))
        test = moment_s(first(events, "test-started"))
        ours_ms.append(1000 * (test - created))
        inside_ms.append(1000 * (test - tests))
        plain.append(plain_ms(engine, runs.image))
    mine, peer = statistics.median(ours_ms), statistics.median(plain)
    say(f"  create to first test event: {mine:.0f} ms; docker run + docker exec: {peer:.0f} ms")
    say(
        f"  overhead {mine - peer:.0f} ms, {mine / peer:.2f} times; of ours, agent to first test: {statistics.median(inside_ms):.0f} ms"
    )


def keeping(runs: Runs, engine: Engine) -> None:
    """Part 3."""
    firsts: list[float] = []
    seconds: list[float] = []
    for _ in range(_RUNS):
        for times in (firsts, seconds):
            events = run_once(runs, "--keep")
            times.append(
                1000 * (moment_s(first(events, "test-started")) - moment_s(first(events, "run-started")))
            )
        for row in engine.client.api.containers(all=True, filters={"label": ["sglang-amd-ci.run"]}):
            if row["Labels"].get("sglang-amd-ci.kept") == "1":
                engine.client.api.remove_container(row["Id"], force=True)
    mine, before = statistics.median(seconds), statistics.median(firsts)
    say(
        f"  start of the run to first test event: first {before:.0f} ms, second {mine:.0f} ms ({mine / before:.2f} of the first)"
    )


def main() -> None:
    with session_engine() as engine, tempfile.TemporaryDirectory(prefix="amd-ci-bench-") as folder:
        scratch = Path(folder)
        image = make_python_image(engine, make_base_image(engine), "small")
        say(f"engine {engine.client.version()['Version']} at {engine.host}; medians of {_ROUNDS} and {_RUNS}")
        say("resolving, over loopback:")
        resolving(engine, scratch)
        runs = Runs(make_repository(scratch / "repository"), engine.host, image, scratch / "work" / "runs")
        say("one small test in a container:")
        starting(runs, engine)
        say("with --keep:")
        keeping(runs, engine)


if __name__ == "__main__":
    main()
