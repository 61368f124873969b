"""Pulls against broken registries and engines: every hop's own cause is kept, the right image or none is used."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ci.catalog.catalog import Catalog, load_catalog
from ci.catalog.limits import RegistryLimits
from ci.errors import ExitCode, InfrastructureError
from ci.images.pull import Pulled, pull_image
from ci.images.resolve import resolve_image
from ci.plan.container.image import image_request
from ci.plan.container.image_fact import ImageFact, require_image
from ci.record.event_json import json_of
from support.engines import Engine, PrivateEngine, Registry, make_tiny_image
from support.files import REPOSITORY, wait_for
from support.registry_faults import BLOB, MANIFEST, FaultyRegistry, garbage, refusing

TODAY = date(2026, 5, 29)
TAG = "v0.5.12.post1-rocm700-mi30x-20260528"
NAME = f"rocm/sgl-dev:{TAG}"


def catalog(*, registry_read_s: float = 1, **pull: Any) -> Catalog:
    """The repository's rows with short waits."""
    whole = load_catalog()
    registry = RegistryLimits(connect_s=1, read_s=registry_read_s, attempts=3)
    short = {"wait_s": 0.05, "jitter_s": 0, "stall_s": 1.5, "engine_back_s": 0.3, "attempts": 2}
    waits = replace(whole.limits.pull, **{**short, **pull})
    limits = replace(whole.limits, registry=registry, pull=waits)
    return replace(whole, limits=limits)


@dataclass
class Stage:
    """An image in a real registry, the engine that is to pull it, and what was said."""

    engine: Engine
    upstream: Registry
    config_digest: str
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def resolve(self, address: str = "", rows: Catalog | None = None) -> ImageFact:
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AMD_CI_CACHE": str(self.folder),
            **self.environ,
            "AMD_CI_REGISTRY": address or self.upstream.address,
        }
        rows = rows or catalog()
        ask = image_request(rows.images, family="mi30x", today=TODAY, environ=self.environ)
        return resolve_image(rows, ask, self.environ, engine_host=self.engine.host)

    def pull(self, image: ImageFact, *, mirror: str = "", rows: Catalog | None = None, **more: Any) -> Pulled:
        return pull_image(
            image,
            catalog=rows or catalog(),
            engine_host=self.engine.host,
            mirror=mirror,
            environ=self.environ,
            emit=lambda event: self.events.append(json_of(event)),
            stopped=more.pop("stopped", lambda: False),
            who=more.pop("who", "test"),
            **more,
        )

    def fails(self, image: ImageFact, **how: Any) -> InfrastructureError:
        with pytest.raises(InfrastructureError) as caught:
            self.pull(image, **how)
        return caught.value

    @property
    def notes(self) -> str:
        return "\n".join(event["text"] for event in self.events if event["type"] == "note")


def problems(error: InfrastructureError) -> list[str]:
    return [str(problem) for problem in error.problems]


@pytest.fixture(scope="module")
def published(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, str]]:
    """A registry with one official image of two layers that no other test's image shares, and its config digest."""
    registry = Registry(tmp_path_factory.mktemp("published")).start()
    reference = "amd-ci-test/pulled:latest"
    config_digest = make_tiny_image(engine, reference, os.urandom(400_000), os.urandom(200_000))
    registry.push(engine, reference, NAME)
    yield registry, config_digest
    registry.stop()


@pytest.fixture
def stage(engine: Engine, published: tuple[Registry, str], tmp_path: Path) -> Iterator[Stage]:
    """The image is published and not in the local store, before and after."""
    forget(engine, published[1])
    yield Stage(engine, published[0], published[1], tmp_path)
    forget(engine, published[1])


def copied(stage: Stage, target: Registry) -> Registry:
    """Another registry with the same image, which is not in the local store afterwards."""
    stage.pull(stage.resolve())
    target.push(stage.engine, stage.config_digest, NAME)
    forget(stage.engine, stage.config_digest)
    stage.events.clear()
    return target


def forget(engine: Engine, image: str) -> None:
    if engine.has(image):
        engine.client.api.remove_image(image, force=True)


# --- the mirror ---------------------------------------------------------------------------------------------

MIRROR_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "404": (
        {"request": MANIFEST, "status": 404, "body": b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'},
        "manifest",
    ),
    "401": (
        {"request": r"GET /v2/.*", "status": 401, "headers": {"WWW-Authenticate": 'Basic realm="x"'}},
        "no basic auth credentials",
    ),
    "429": ({"request": MANIFEST, "status": 429, "headers": {"Retry-After": "60"}}, "429"),
    "500": ({"request": MANIFEST, "status": 500}, "500"),
    "hang-before": ({"request": MANIFEST, "hang": True}, "no progress for 1.5 s"),
    "hang-during": ({"request": BLOB, "hang": True, "after_bytes": 1000}, "no progress for 1.5 s"),
    "truncated": ({"request": BLOB, "cut": True, "after_bytes": 1000}, "the engine was trying a layer again"),
    "corrupt": ({"request": BLOB, "corrupt": True}, "verification failed"),
}


@pytest.mark.parametrize("fault", MIRROR_FAULTS)
def test_a_broken_mirror_is_named_and_the_public_registry_gives_the_image(stage: Stage, fault: str) -> None:
    rule, cause = MIRROR_FAULTS[fault]
    with FaultyRegistry(stage.upstream.address) as mirror:
        mirror.breaks(**rule)
        pulled = stage.pull(stage.resolve(), mirror=mirror.address)
    assert (pulled.hop, pulled.local_id) == ("public", stage.config_digest)
    assert [hop.name for hop in pulled.hops] == ["local", "mirror", "public"]
    assert cause in pulled.hops[1].what
    assert mirror.address in pulled.hops[1].what
    assert stage.engine.has(f"{stage.upstream.address}/{NAME}")


def test_a_mirror_that_refuses_or_speaks_garbage_is_named(stage: Stage) -> None:
    image = stage.resolve()
    with refusing() as address:
        assert "connection refused" in stage.pull(image, mirror=address).hops[1].what
    forget(stage.engine, stage.config_digest)
    with garbage() as address:
        pulled = stage.pull(image, mirror=address)
    assert pulled.hop == "public"
    assert "malformed HTTP" in pulled.hops[1].what or "TLS" in pulled.hops[1].what


def test_a_mirror_with_another_image_under_the_tag_is_refused_and_its_tag_removed(
    stage: Stage, registry: Callable[[], Registry]
) -> None:
    mirror = registry()
    other = make_tiny_image(stage.engine, "amd-ci-test/other:latest", os.urandom(1000))
    mirror.push(stage.engine, "amd-ci-test/other:latest", NAME)
    pulled = stage.pull(stage.resolve(), mirror=mirror.address)
    assert (pulled.hop, pulled.local_id) == ("public", stage.config_digest)
    assert f"is {other}, not {stage.config_digest}" in pulled.hops[1].what
    assert not stage.engine.has(f"{mirror.address}/{NAME}")
    forget(stage.engine, other)


def test_a_good_mirror_is_used_by_its_config_digest_and_the_plain_name_is_set(
    stage: Stage, registry: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.images.pull_process.PROGRESS_EVERY_S", 0)  # a small image is there in no time
    mirror = copied(stage, registry())
    pulled = stage.pull(stage.resolve(), mirror=mirror.address)
    assert (pulled.hop, pulled.local_id) == ("mirror", stage.config_digest)
    name = f"{stage.upstream.address}/{NAME}"
    assert stage.engine.client.api.inspect_image(name)["Id"] == stage.config_digest
    assert any(event["type"] == "phase-progress" and event["done"] > 0 for event in stage.events)


def test_a_mirror_that_crawls_is_left(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as mirror:
        mirror.breaks(BLOB, drip=True, after_bytes=1000)
        rows = catalog(mirror_max_s=1)
        pulled = stage.pull(stage.resolve(), mirror=mirror.address, rows=rows)
        assert "not done after 1 s" in pulled.hops[1].what
        # the engine lets the transfer go when the process that asked for it is killed
        wait_for("the engine's hang-up", lambda: mirror.dropped, 5)
    assert pulled.hop == "public"


# --- the public registry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "missing"),
        (403, b'{"errors":[{"code":"DENIED","message":"no"}]}', "denied"),
    ],
)
def test_what_waiting_does_not_mend_is_not_tried_again(
    stage: Stage, status: int, body: bytes, word: str
) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        asked = public.count(MANIFEST)
        public.breaks(MANIFEST, status=status, body=body, headers={"Content-Type": "application/json"})
        error = stage.fails(image)
        assert public.count(MANIFEST) - asked <= 2  # HEAD, then GET
    assert error.exit_code == ExitCode.INFRASTRUCTURE
    assert f"[{word}]" in error.cause
    assert [line.partition(":")[0] for line in problems(error)] == ["local", "mirror", "public"]


def test_a_login_that_is_demanded_is_not_tried_again(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        public.breaks(r"GET /v2/.*", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        error = stage.fails(image)
    assert "[unauthorized]" in error.cause
    assert len([line for line in problems(error) if line.startswith("public")]) == 1


def test_a_rate_limit_is_waited_for_as_long_as_the_registry_asks(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        limit = b'{"errors":[{"code":"TOOMANYREQUESTS"}]}'
        public.breaks(r"GET .*/manifests/.*", status=429, body=limit, times=1)
        # our own question: the engine keeps the header to itself
        public.breaks(r"HEAD .*/manifests/.*", status=429, headers={"Retry-After": "1"})
        started = time.monotonic()
        pulled = stage.pull(image)
        waited = time.monotonic() - started
    assert pulled.hop == "public"
    assert "as the registry asks" in stage.notes
    assert waited >= 1
    assert "attempt 2 of 2" in stage.notes


def test_server_errors_are_tried_again_as_often_as_the_row_says_and_every_try_is_kept(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        public.breaks(MANIFEST, status=500)
        error = stage.fails(image, rows=catalog(attempts=3))
    tries = [line for line in problems(error) if line.startswith("public")]
    assert [line.partition(": ")[2][:9] for line in tries] == ["attempt 1", "attempt 2", "attempt 3"]
    assert "[server-error]" in error.cause


@pytest.mark.parametrize("fault", [{"hang": True, "after_bytes": 1000}, {"corrupt": True}])
def test_a_blob_that_breaks_once_is_pulled_the_second_time(stage: Stage, fault: dict[str, Any]) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        # both layers, and the config with them
        public.breaks(BLOB, times=2, **fault)
        pulled = stage.pull(image)
    assert (pulled.hop, pulled.local_id) == ("public", stage.config_digest)
    assert "attempt 2 of 2" in stage.notes


def test_a_tag_that_moved_between_resolve_and_pull_changes_nothing(
    stage: Stage, registry: Callable[[], Registry]
) -> None:
    public = copied(stage, registry())
    image = stage.resolve(public.address)
    other = make_tiny_image(stage.engine, "amd-ci-test/moved:latest", os.urandom(1000))
    public.push(stage.engine, "amd-ci-test/moved:latest", NAME)
    # the public registry as its own mirror: by tag it has the moved image, by digest still the right one
    pulled = stage.pull(image, mirror=public.address)
    assert (pulled.hop, pulled.local_id) == ("public", stage.config_digest)
    assert f"is {other}, not {stage.config_digest}" in pulled.hops[1].what
    forget(stage.engine, other)


# --- two at once, stops and deaths --------------------------------------------------------------------------


def test_two_pulls_of_one_image_share_one_and_the_waiting_one_says_for_whom(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        public.breaks(BLOB, pause_s=0.4)
        results: list[Pulled] = []
        first = threading.Thread(target=lambda: results.append(stage.pull(image, who="first")))
        first.start()
        wait_for("the first pull's lock", lambda: any((stage.folder / "locks").glob("*.lock")), 5)
        wait_for("its transfer", lambda: public.count(BLOB), 5)
        second = stage.pull(image, who="second")
        first.join()
        blobs = [request for request in public.asked if "/blobs/" in request]
    assert (results[0].hop, second.hop) == ("public", "local")
    assert results[0].local_id == second.local_id == stage.config_digest
    assert len(blobs) == len(set(blobs)) + 1  # the config is fetched by `resolve` as well
    assert f"is being pulled by another process (pid {os.getpid()}, run first" in stage.notes


def test_a_pull_that_is_stopped_ends_at_once_and_leaves_no_process(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        public.breaks(BLOB, drip=True, after_bytes=1000)
        error = stage.fails(image, stopped=lambda: public.waiting > 0)
        wait_for("the engine's hang-up", lambda: public.dropped, 5)
    assert error.exit_code == ExitCode.INTERRUPTED
    assert not children_that_pull(os.getpid())


def children_that_pull(parent: int) -> list[int]:
    """Pulling processes that a process started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if b"ci.images.pull_worker" in line and int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def test_a_killed_puller_takes_the_process_and_the_transfer_with_it(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        stage.resolve(public.address)
        # the config goes through to those who ask for it by hand, the layers drip
        public.breaks(BLOB, times=1)
        public.breaks(BLOB, drip=True, after_bytes=1000)
        runner = subprocess.Popen(
            [sys.executable, "tasks.py", "image.pull", "--family", "mi30x"],
            cwd=REPOSITORY,
            env={
                **stage.environ,
                "DOCKER_HOST": stage.engine.host,
                "AMD_CI_CACHE": str(stage.folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                "AMD_CI_TODAY": TODAY.isoformat(),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for("the transfer", lambda: public.waiting, 20)
            (puller,) = children_that_pull(runner.pid)
            runner.send_signal(signal.SIGKILL)
            wait_for("the engine's hang-up", lambda: public.dropped, 10)
            wait_for(
                "the process's end",
                lambda: (
                    not Path(f"/proc/{puller}/environ").exists()
                    or not Path(f"/proc/{puller}/cmdline").read_bytes()
                ),
                5,
            )
        finally:
            runner.kill()
            runner.wait()


# the SDK leaves a socket open each time it cannot connect
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_engine_is_reported_and_one_that_comes_back_is_used(
    private_engine: PrivateEngine, published: tuple[Registry, str], tmp_path: Path
) -> None:
    stage = Stage(private_engine, published[0], published[1], tmp_path)
    results: list[Pulled | str] = []

    def pull(image: ImageFact, back_s: float) -> threading.Thread:
        def work() -> None:
            try:
                results.append(stage.pull(image, rows=catalog(engine_back_s=back_s, stall_s=60)))
            except InfrastructureError as error:
                results.append(error.cause)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        public.breaks(BLOB, hang=True, after_bytes=1000)
        puller = pull(image, 0.3)
        wait_for("all blobs to hang", lambda: public.waiting == 3, 20)
        private_engine.kill()
        puller.join()
        private_engine.start()
        puller = pull(image, 30)
        wait_for("them to hang again", lambda: public.waiting == 6, 20)
        public.rules.clear()
        private_engine.kill()
        # by this thread: the engine ends with the thread that started it
        private_engine.start()
        puller.join()
    gc.collect()  # those sockets, here and not in a later test
    gone, pulled = results
    assert isinstance(gone, str)
    assert "the engine stopped during the pull" in gone
    assert isinstance(pulled, Pulled)
    assert pulled.local_id == stage.config_digest
    assert "the engine answers again" in stage.notes


# --- resolving ----------------------------------------------------------------------------------------------


def test_ten_thousand_tags_cost_one_list(stage: Stage) -> None:
    tags = [
        f"v0.5.{number % 20}-rocm{700 + number % 3}-mi30x-2026{number % 12 + 1:02}{number % 28 + 1:02}"
        for number in range(9_999)
    ]
    with FaultyRegistry(stage.upstream.address) as public:
        body = json.dumps({"name": "rocm/sgl-dev", "tags": [*tags, TAG]}).encode()
        public.breaks(r"GET /v2/rocm/sgl-dev/tags/list.*", status=200, body=body)
        image = stage.resolve(public.address)
        lists = public.count(r"GET .*/tags/list.*")
    assert image.config_digest == stage.config_digest
    assert lists == 1
    assert sum(row.count for row in image.candidates) == len({*tags, TAG})


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ({"status": 500}, "HTTP 500"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "HTTP 429"),
        ({"hang": True}, "does not answer"),
        ({"status": 200, "body": b"<html>"}, "did not answer with JSON"),
        ({"status": 200, "body": b'{"tags": 7}'}, "did not answer with a tag list"),
        ({"cut": True, "after_bytes": 10}, "cannot be reached"),
    ],
)
def test_a_registry_that_can_t_be_asked_leaves_the_image_unresolved_with_its_cause(
    stage: Stage, rule: dict[str, Any], cause: str
) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        public.breaks(r"GET /v2/.*/tags/list.*", **rule)
        image = stage.resolve(public.address, catalog(registry_read_s=0.3))
    assert image.config_digest == ""
    assert cause in image.problem
    with pytest.raises(InfrastructureError, match="no image could be resolved"):
        require_image(image, strict=False)


def test_a_manifest_whose_content_is_another_is_refused(stage: Stage) -> None:
    with FaultyRegistry(stage.upstream.address) as public:
        public.breaks(BLOB, corrupt=True)
        image = stage.resolve(public.address)
    assert image.config_digest == ""
    assert "should have digest" in image.problem


def test_without_its_registry_a_local_image_is_named_and_not_taken(stage: Stage) -> None:
    stage.pull(stage.resolve())
    with refusing() as address:
        image = stage.resolve(address)
        with pytest.raises(InfrastructureError) as caught:
            require_image(image, strict=False)
        line = f"has {TAG}: --image {stage.config_digest}"
        assert line in caught.value.render()
        rows = catalog()
        ask = image_request(
            rows.images, family="mi30x", today=TODAY, environ=stage.environ, image=stage.config_digest
        )
        named = resolve_image(rows, ask, stage.environ, engine_host=stage.engine.host)
    assert named.config_digest == stage.config_digest
    assert stage.pull(named).hop == "local"


# --- credentials --------------------------------------------------------------------------------------------


def test_the_token_reaches_the_registry_and_nothing_else(
    stage: Stage, registry: Callable[..., Registry]
) -> None:
    private = registry(auth=True)
    make_tiny_image(stage.engine, "amd-ci-test/private:latest", os.urandom(300_000))
    private.push(stage.engine, "amd-ci-test/private:latest", NAME)
    forget(stage.engine, "amd-ci-test/private:latest")
    seen: list[bytes] = []
    done: list[bool] = []

    def watch() -> None:
        while not done:
            for pid in children_that_pull(os.getpid()):
                for name in ("cmdline", "environ"):
                    try:
                        seen.append((Path("/proc") / str(pid) / name).read_bytes())
                    except OSError:
                        continue
            time.sleep(0.01)

    stage.environ |= {"AMD_CI_IMAGE_USERNAME": private.user, "AMD_CI_IMAGE_TOKEN": private.password}
    watcher = threading.Thread(target=watch)
    watcher.start()
    with FaultyRegistry(private.address) as public:
        image = stage.resolve(public.address)
        pulled = stage.pull(image)
        sent = any(text.startswith("Basic ") for text in public.authorizations)
    done.append(True)
    watcher.join()
    forget(stage.engine, pulled.local_id)
    assert pulled.hop == "public"
    assert sent
    assert seen, "the pulling process was not seen"
    printed = json.dumps(stage.events) + repr(image) + repr(pulled)
    assert private.password not in printed
    assert not [text for text in seen if private.password.encode() in text]


def test_a_refused_login_warns_and_the_pull_goes_on_anonymously(stage: Stage) -> None:
    canary = "canary-7f3a"
    with FaultyRegistry(stage.upstream.address) as public:
        image = stage.resolve(public.address)
        stage.environ |= {"DOCKERHUB_AMD_USERNAME": "ci", "DOCKERHUB_AMD_TOKEN": canary}
        # the engine's login asks twice: without credentials, then with them
        public.breaks(
            r"GET /v2/", status=401, headers={"WWW-Authenticate": f'Basic realm="{canary}"'}, times=2
        )
        pulled = stage.pull(image)
    assert pulled.hop == "public"
    assert "the login with DOCKERHUB_AMD_USERNAME and DOCKERHUB_AMD_TOKEN was refused" in stage.notes
    assert "continuing anonymously" in stage.notes
    assert canary not in json.dumps(stage.events)
