"""What the engine is given when a container is made."""

from dataclasses import replace
from typing import Any

from ci.docker.create_args import create_arguments, key_of
from ci.docker.labels import PREFIX, labels_of
from support.containers import contained


def labels(**changes: str) -> dict[str, str]:
    made = labels_of(run="r", token="t", plan="p", kept=False, key="k", ttl_s=60)
    return made | {PREFIX + name: value for name, value in changes.items()}


class TestCreateArguments:
    def made(self, *, kept: bool = False) -> dict[str, Any]:
        return create_arguments(
            contained(),
            image="sha256:1",
            name="n",
            labels=labels(),
            run_dir="/runs/a: 'é' $(x)",
            root="/root:tree",
            ttl_s=60,
            kept=kept,
        )

    def test_paths_are_values_of_their_own(self) -> None:
        mounts = self.made()["host_config"]["Mounts"]
        assert {
            "Type": "bind",
            "Source": "/runs/a: 'é' $(x)",
            "Target": "/amd-ci/run",
            "ReadOnly": False,
        } in mounts
        assert {"Type": "bind", "Source": "/root:tree", "Target": "/amd-ci/root", "ReadOnly": True} in mounts

    def test_devices_groups_and_limits_are_numbers_and_what_exists(self) -> None:
        host = self.made()["host_config"]
        assert [row["PathOnHost"] for row in host["Devices"]] == ["/dev/kfd", "/dev/dri/renderD128"]
        assert host["GroupAdd"] == ["44", "110"]
        assert host["ShmSize"] == 16 << 30
        assert host["Init"] is True
        assert {"Name": "nofile", "Soft": 32768, "Hard": 32768} in host["Ulimits"]

    def test_the_engine_ends_it_with_us_unless_it_is_kept(self) -> None:
        held, kept = self.made(), self.made(kept=True)
        assert (held["stdin_open"], held["detach"]) == (True, False)
        assert held["entrypoint"][-2:] == ["60", "held"]
        assert (kept["stdin_open"], kept["entrypoint"][-1]) == (False, "kept")
        assert held["host_config"]["AutoRemove"] is True

    def test_a_kept_container_is_taken_for_the_same_alone(self) -> None:
        plan = contained()
        key = key_of(plan, root="/root")
        assert key == key_of(replace(plan, notes=("other",)), root="/root")
        assert key != key_of(plan, root="/other")
        assert key != key_of(replace(plan, work=replace(plan.work, image="sha256:2")), root="/root")
