"""Facts and requests for planning tests: values alone, no machine is asked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ci.catalog.bounds import Bound
from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery, Registration
from ci.errors import Problem
from ci.plan.compare.replay import draft_again, made_again, request_again, verified
from ci.plan.draft import draft_plan
from ci.plan.facts import DockerFacts, EngineFact, Facts, Known, PartitionFact, SlurmFacts
from ci.plan.make import make_plan
from ci.plan.model import Plan
from ci.plan.request import Request
from support.catalog_files import catalog

__all__ = [
    "STAGE_A",
    "STAGE_B_SMALL",
    "again",
    "bound",
    "catalog",
    "discovery",
    "facts",
    "mi300x",
    "on_cluster",
    "planned",
    "registration",
    "request",
]

STAGE_A = "stage-a-test-1-gpu-small-amd"
STAGE_B_SMALL = "stage-b-test-1-gpu-small-amd"


def registration(file: str, suite: str = STAGE_A, est_time_s: float = 60, **changes: object) -> Registration:
    """An enabled AMD registration."""
    row = Registration(
        file=file, backend="amd", suite=suite, est_time_s=est_time_s, nightly=False, disabled=None, line=1
    )
    return replace(row, **changes)  # type: ignore[arg-type]  # the keywords are Registration's own


def discovery(rows: Sequence[Registration], problems: Sequence[Problem] = ()) -> Discovery:
    """What reading a tree would have given."""
    return Discovery(
        registrations=tuple(rows),
        kinds={row.file: "pytest" for row in rows},
        problems=tuple(problems),
        files_seen=len(rows),
    )


def facts(rows: Sequence[Registration], **changes: object) -> Facts:
    """A laptop without a GPU, at a clean commit."""
    engine = EngineFact(
        python="/usr/bin/python3", python_version="3.11.7", engine_version="1.0", source="test"
    )
    value = Facts(
        hardware_class="cpu",
        hardware_source="no GPU in /sys/class/kfd",
        gpu_ids=(),
        commit=Known(value="a" * 40, source="git"),
        root="/tree",
        checkout=None,
        runs_dir="/tree/.runs",
        tests=discovery(rows),
        fixed_files=frozenset(),
        engines={"llamacpp": engine, "sglang": engine},
        environ={"PATH": "/usr/bin", "HOME": "/home/x"},
        event=Known(value="local", source="default"),
        host="laptop",
        user="x",
        today=date(2026, 5, 29),
        today_source="test",
        today_tried=False,
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # the keywords are Facts' own


def mi300x(rows: Sequence[Registration], gpus: int = 8, **changes: object) -> Facts:
    """A box with MI300X GPUs, a render node for each."""
    ids = tuple(str(number) for number in range(gpus))
    box = {"hardware_class": "mi300x", "hardware_source": "KFD", "gpu_ids": ids, "render_nodes": gpus}
    return facts(rows, **(box | changes))


def on_cluster(
    rows: Sequence[Registration],
    name: str,
    *,
    partitions: Sequence[PartitionFact] = (),
    here: str | None = None,
    problem: str = "",
    **changes: object,
) -> Facts:
    """Facts of a cluster of the fixture catalog, with a partition that takes any job if no other is given."""
    row = catalog().clusters[name]
    slurm = SlurmFacts(
        cluster=Known(value=name, source="--cluster"),
        here=name if here is None else here,
        version="22.05.8",
        partitions=tuple(partitions)
        or (PartitionFact(name=row.partition or "all", default=True, up=True, limit_min=None, nodes=9),),
        problem=problem,
    )
    nodes = {
        "hardware_class": row.hardware,
        "hardware_source": f"cluster[{name}]",
        "gpu_ids": tuple(map(str, range(row.gpus_per_node))),
        "elsewhere": True,
        "slurm": slurm,
    }
    return facts(rows, **(nodes | changes))


def request(stage: str = "stage-a-amd", **changes: object) -> Request:
    """A request with nothing said but the stage."""
    return replace(Request(stage=stage), **changes)  # type: ignore[arg-type]  # the keywords are Request's own


def planned(rows: Catalog, here: Facts, asked: Request, found: DockerFacts | None = None) -> Plan:
    """The plan of a request, as a session makes it; `found` is what was found out about the container that it needs."""
    return make_plan(rows, here, draft_plan(rows, here, asked), found)


def again(
    rows: Catalog,
    here: Facts,
    asked: Request,
    saved: Plan,
    found: DockerFacts | None = None,
    *,
    as_saved: bool = False,
) -> Plan:
    """A saved plan again, as a session does it."""
    request = request_again(asked, saved)
    draft = draft_again(rows, draft_plan(rows, here, request), saved)
    return verified(saved, made_again(rows, here, draft, saved, found), as_saved=as_saved)


def bound(op: str, limit: float, hardware: str = "mi300x", **changes: object) -> Bound:
    """A row of bounds.toml for the metric `m` of `test/registered/b/test_x.py`."""
    values: dict[str, object] = {
        "test": "test/registered/b/test_x.py",
        "metric": "m",
        "unit": "ms",
        "report_only": False,
        "why": "",
        "source": f"{op}{limit}",
    }
    return Bound(hardware=(hardware,), op=op, limit=limit, **(values | changes))  # type: ignore[arg-type]  # values by name
