"""What a machine has for a container: device nodes, the pod's share of them, mounts and their switches, the mirror."""

import os
import socket
from pathlib import Path

import pytest

from ci.errors import UsageError
from ci.facts.container_host import gather_container_facts, nofile_max, pool_of
from ci.plan.container.needs import ContainerFacts
from support.catalog_files import catalog

CACHE = "/srv/cache"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for path in (
        "dev/kfd",
        "dev/dri/card0",
        "dev/dri/renderD128",
        "dev/dri/renderD129",
        "dev/dri/renderD1000",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK leaves a socket open when nobody listens, which is not what these tests are about."""
    monkeypatch.setattr("ci.facts.container_host._engine_problem", lambda _host: "")


def facts(host: Path, *, profile: str = "standard", **environ: str) -> ContainerFacts:
    rows = catalog().containers.profiles[profile]
    return gather_container_facts(
        catalog(), rows, {"DOCKER_HOST": "unix:///nowhere.sock", **environ}, sysroot=host
    )


def test_devices_that_exist_are_named_with_their_numeric_group(host: Path) -> None:
    os.chown(host / "dev/dri/renderD129", -1, 992) if os.geteuid() == 0 else None
    found = facts(host)
    paths = ["/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129", "/dev/dri/renderD1000"]
    assert [device.path for device in found.devices] == paths
    assert found.devices[2].gid == (host / "dev/dri/renderD129").stat().st_gid
    assert found.device_source == "/dev/dri"


def test_a_pods_share_comes_first(host: Path) -> None:
    share = host / "etc/podinfo/gha-render-devices"
    share.parent.mkdir(parents=True)
    share.write_text("--device /dev/dri/renderD129:/dev/dri/renderD129 --device=/dev/dri/renderD555\n")
    found = facts(host)
    assert [device.path for device in found.devices] == ["/dev/kfd", "/dev/dri/renderD129"]
    assert found.device_source == "/etc/podinfo/gha-render-devices"
    assert "/dev/dri/renderD555: No such file or directory" in found.absent


def test_a_share_that_names_no_device_is_reported_not_hidden(host: Path) -> None:
    share = host / "etc/podinfo/gha-render-devices"
    share.parent.mkdir(parents=True)
    share.write_text("none\n")
    assert "names no device" in facts(host).device_source


def test_a_machine_without_gpus_says_which_devices_are_absent(tmp_path: Path) -> None:
    found = facts(tmp_path)
    assert found.devices == ()
    assert "/dev/kfd: No such file or directory" in found.absent


def test_a_plan_for_another_machine_names_its_devices_without_looking(tmp_path: Path) -> None:
    rows = catalog().containers.profiles["standard"]
    environ = {"DOCKER_HOST": "unix:///nowhere.sock"}
    found = gather_container_facts(catalog(), rows, environ, elsewhere=True, sysroot=tmp_path)
    assert [(device.path, device.gid) for device in found.devices] == [("/dev/kfd", None)]
    assert "planned" in found.device_source
    assert (found.problem, found.nofile_max) == ("", None)
    assert not [line for line in found.absent if line.startswith("/dev/")]


def test_a_rehearsal_needs_no_device(host: Path) -> None:
    found = facts(host, profile="rehearsal")
    assert (found.devices, found.mounts, found.absent) == ((), (), ())


class TestCache:
    @pytest.fixture(autouse=True)
    def cache(self, host: Path) -> None:
        (host / CACHE.lstrip("/")).mkdir(parents=True)

    @pytest.mark.parametrize(
        ("environ", "mounted"),
        [
            ({}, False),
            ({"RUNNER_NAME": "linux-north-1gpu-x7"}, True),
            ({"RUNNER_NAME": "linux-west-8gpu-abc"}, True),
            ({"RUNNER_NAME": "linux-south-1gpu"}, False),
            ({"ENABLE_CACHE_HOST": "PVC"}, True),
            ({"ENABLE_CACHE_HOST": "0", "RUNNER_NAME": "linux-north-1gpu"}, False),
        ],
    )
    def test_the_switch_decides_and_the_runners_name_without_it(
        self, host: Path, environ: dict[str, str], *, mounted: bool
    ) -> None:
        found = facts(host, **environ)
        assert [mount.id for mount in found.mounts] == (["cache"] if mounted else [])
        assert found.cache == (CACHE if mounted else "")
        assert (found.cache_free_bytes or 0) > 0 if mounted else found.cache_free_bytes is None
        assert mounted or any(line.startswith("cache: ") for line in found.absent)

    def test_a_value_that_means_neither_is_refused(self, host: Path) -> None:
        with pytest.raises(UsageError, match="ENABLE_CACHE_HOST is 'perhaps'"):
            facts(host, ENABLE_CACHE_HOST="perhaps")

    def test_a_missing_folder_is_absent_with_its_path(self, host: Path) -> None:
        (host / CACHE.lstrip("/")).rmdir()
        found = facts(host, ENABLE_CACHE_HOST="1")
        assert found.mounts == ()
        assert f"cache: {CACHE} does not exist" in found.absent


def test_of_a_pattern_the_first_match_is_mounted_under_its_own_path(host: Path) -> None:
    library = host / "usr/lib/nic"
    library.mkdir(parents=True)
    for name in ("libnic.so.1.0", "libnic.so.1"):
        (library / name).touch()
    found = facts(host, profile="rdma")
    (mount,) = (each for each in found.mounts if each.id == "nic-library")
    assert mount.source == mount.target == "/usr/lib/nic/libnic.so.1"
    assert any(
        line.startswith("netlink-library: ") and line.endswith(" does not exist") for line in found.absent
    )


def test_only_a_machine_of_a_pool_has_a_mirror(host: Path) -> None:
    label = catalog().labels[0]
    assert pool_of(catalog(), {"AMD_CI_RUNNER_LABEL": label.label}) == label.pool
    assert facts(host).mirror == ""
    assert facts(host, LOCAL_DOCKER_REGISTRY="10.0.0.1:5000").mirror == "10.0.0.1:5000"


def test_how_many_files_an_engine_can_grant_is_its_own_limit_or_the_kernels(tmp_path: Path) -> None:
    """The test is the engine: whoever listens is looked at."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        found = nofile_max(f"unix://{tmp_path}/s")
    assert found is not None
    assert found >= 1024
    assert nofile_max("tcp://127.0.0.1:1") is None
    assert nofile_max(f"unix://{tmp_path}/absent") is None
