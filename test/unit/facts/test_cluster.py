"""Which cluster a run is for, and what is said when it cannot be known."""

from dataclasses import replace

import pytest

from ci.catalog.executors import ExecutorKind
from ci.errors import InfrastructureError, UsageError
from ci.facts.cluster import find_cluster
from ci.plan.facts import Known, PartitionFact, SlurmFacts
from ci.slurm.client import SlurmError
from support.planning import catalog, request

PARTITION = PartitionFact(name="ci", default=True, up=True, limit_min=60, nodes=2)
ASKED = request(executor=ExecutorKind.SLURM)


class Answers:
    """A Slurm of this cluster; none when it is empty."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.asked = 0

    def config(self) -> dict[str, str]:
        self.asked += 1
        if not self.cluster:
            raise SlurmError("no answer from Slurm", cause="scontrol is not on the PATH")
        return {"ClusterName": self.cluster, "SLURM_VERSION": "22.05.8"}

    def partitions(self) -> tuple[PartitionFact, ...]:
        return (PARTITION,)


def here(monkeypatch: pytest.MonkeyPatch, cluster: str) -> Answers:
    answers = Answers(cluster)
    monkeypatch.setattr("ci.facts.cluster.Slurm", lambda *_, **__: answers)
    return answers


def test_the_cluster_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "laptop")
    found = find_cluster(catalog(), ASKED, {})
    assert found == SlurmFacts(
        cluster=Known(value="laptop", source="ClusterName of the Slurm here"),
        here="laptop",
        version="22.05.8",
        partitions=(PARTITION,),
    )


def test_one_that_is_named_is_taken_and_the_one_here_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "laptop")
    found = find_cluster(catalog(), replace(ASKED, cluster="north"), {})
    assert (found.cluster, found.here) == (Known(value="north", source="--cluster"), "laptop")


def test_for_names_alone_no_slurm_is_asked_about_a_named_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = here(monkeypatch, "laptop")
    assert find_cluster(catalog(), replace(ASKED, cluster="north"), {}, named_only=True).here == ""
    assert answers.asked == 0


def test_without_slurm_a_cluster_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "")
    with pytest.raises(InfrastructureError, match="scontrol is not on the PATH") as caught:
        find_cluster(catalog(), ASKED, {})
    assert "--cluster laptop --dry-run" in caught.value.render()
    assert "not on the PATH" in find_cluster(catalog(), replace(ASKED, cluster="north"), {}).problem


@pytest.mark.parametrize(("given", "cause"), [("nroth", "did you mean 'north'"), ("", "laptop, north")])
def test_a_cluster_without_a_row_gets_the_row_to_add(
    monkeypatch: pytest.MonkeyPatch, given: str, cause: str
) -> None:
    here(monkeypatch, "new")
    with pytest.raises(UsageError, match="has no row") as caught:
        find_cluster(catalog(), replace(ASKED, cluster=given), {})
    text = caught.value.render()
    assert cause in text
    assert f'[[cluster]] name = "{given or "new"}"' in text


def test_hardware_of_another_class_is_refused_and_a_rehearsal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, "north")
    with pytest.raises(UsageError, match="the nodes of cluster north are mi300x"):
        find_cluster(catalog(), replace(ASKED, hardware="mi355x"), {})
    for hardware in ("mi300x", "cpu", "auto"):
        assert find_cluster(catalog(), replace(ASKED, hardware=hardware), {}).cluster.value == "north"
