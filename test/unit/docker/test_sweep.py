"""Whose containers a sweep may remove."""

import os
from typing import Any

import pytest

from ci.docker.labels import PREFIX, labels_of, ownership_of
from ci.docker.sweep import Tenant, is_left_over, list_containers


def labels(**changes: str) -> dict[str, str]:
    made = labels_of(run="r", token="t", plan="p", kept=False, key="k", ttl_s=60)
    return made | {PREFIX + name: value for name, value in changes.items()}


def tenant(state: str = "running", **changes: str) -> Tenant:
    ownership = ownership_of(labels(**changes))
    assert ownership is not None
    return Tenant(id="i", name="n", image="m", state=state, status="", ownership=ownership)


class TestWhoseItIs:
    def test_our_own_is_alive(self) -> None:
        assert not is_left_over(tenant())

    @pytest.mark.parametrize(
        ("changes", "left_over"),
        [
            ({"start": "1"}, True),  # the pid is another process now
            ({"boot": "before"}, True),
            ({"start": "1", "host": "elsewhere"}, False),
            ({"boot": "before", "host": "elsewhere"}, False),
            ({"start": "1", "pidns": "pid:[1]"}, False),
            ({"start": "1", "kept": "1"}, False),
        ],
    )
    def test_only_a_provable_end_counts(self, changes: dict[str, str], left_over: bool) -> None:  # noqa: FBT001  # a parameter
        assert is_left_over(tenant(**changes)) is left_over

    def test_a_kept_one_that_ended_is_left_over(self) -> None:
        assert is_left_over(tenant("exited", start="1", kept="1"))
        assert not is_left_over(tenant("exited", kept="1"))

    def test_another_users_run_is_not_judged_without_being_root(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = tenant(start="1", uid="12345")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert not is_left_over(theirs)

    @pytest.mark.parametrize("name", ["run", "token", "pid", "start", "boot", "host", "kept", "ttl"])
    def test_a_container_without_all_labels_is_ignored(self, name: str) -> None:
        whole = labels()
        del whole[PREFIX + name]
        assert ownership_of(whole) is None

    def test_listing_asks_once_and_leaves_strangers_out(self) -> None:
        asked: list[Any] = []

        class Api:
            def containers(self, **keywords: Any) -> list[dict[str, Any]]:
                asked.append(keywords)
                mine = {"Id": "1", "Names": ["/a"], "State": "running", "Labels": labels()}
                return [mine, {"Id": "2", "Names": ["/b"], "Labels": {PREFIX + "run": "x"}}]

        client = type("Client", (), {"api": Api()})()
        assert [one.name for one in list_containers(client)] == ["a"]
        assert len(asked) == 1
