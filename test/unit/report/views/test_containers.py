"""What the container verbs print: whose each container is, and what a sweep did."""

from dataclasses import replace

import pytest

from ci.docker.labels import PREFIX, labels_of, ownership_of
from ci.docker.sweep import Swept, Tenant
from ci.report.views.containers import show_not_looked_at, show_swept_containers, show_tenants


def tenant(*, kept: bool = False, status: str = "Up 2 hours", **changes: str) -> Tenant:
    labels = labels_of(run="run-1", token="t", plan="p", kept=kept, key="k", ttl_s=60)
    ownership = ownership_of(labels | {PREFIX + name: value for name, value in changes.items()})
    assert ownership is not None
    return Tenant(id="i", name="amd-ci-1", image="m", state="exited", status=status, ownership=ownership)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_each_container_has_its_run_and_whether_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    show_tenants({}, [tenant()])
    assert shown(capsys).endswith(
        "amd-ci-1 run-1 Up 2 hours running, or unknown 1 containers of this project"
    )
    # the pid of its run is another process now
    show_tenants({}, [tenant(start="1", status="")])
    assert "amd-ci-1 run-1 exited ended 1 containers" in shown(capsys)


def test_a_kept_one_says_for_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    show_tenants({}, [tenant(kept=True)])
    assert "for 60 s from its start" in shown(capsys)


def test_none_is_a_sentence_without_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_tenants({}, [])
    assert shown(capsys) == "0 containers of this project"


def test_what_could_not_be_removed_is_named_and_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    one = tenant()
    show_swept_containers(
        {}, [Swept(tenant=one, problem=""), Swept(tenant=replace(one, name="b"), problem="busy")]
    )
    assert capsys.readouterr().out.splitlines() == [
        "amd-ci-1 of run run-1: removed",
        "b of run run-1: busy",
        "1 containers were removed",
    ]


def test_an_engine_that_was_not_asked_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_not_looked_at({}, "no engine")
    assert shown(capsys) == "containers not checked: no engine"
