"""What this machine can do: one finding per thing that a run depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.catalog.hardware import CPU
from ci.errors import CiError
from ci.facts.cluster import look_at_slurm, row_to_add
from ci.facts.container_host import gather_container_facts
from ci.facts.gather import REPOSITORY, find_hardware, runs_dir
from ci.facts.git import commit_of
from ci.facts.interpreters import find_engine
from ci.facts.platform_support import require_rehearsal_platform
from ci.plan.facts import EngineFact, PartitionFact

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `ok` is None where nothing could be checked."""

    name: str
    ok: bool | None
    text: str


def examine(catalog: Catalog, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Hardware, platform, engines, commit, disk, Docker and Slurm, each on its own: one failure hides no other."""
    findings = [_hardware(catalog, environ), _platform()]
    for engine in catalog.engines.values():
        service = engine.services.get(CPU)
        ours = service is not None and not service.made_here
        try:
            fact = find_engine(engine, given="", ours=ours, environ=environ)
        except CiError as error:
            findings.append(Finding(name=f"engine {engine.id}", ok=False, text=error.what))
            continue
        findings.append(_engine(engine, fact, ours=ours))
    commit = commit_of(REPOSITORY)
    findings.append(Finding(name="commit", ok=bool(commit.value), text=f"{commit.text} ({commit.source})"))
    findings.append(_disk(runs_dir(environ)))
    findings += _docker(catalog, environ)
    findings.append(_slurm(catalog, environ))
    return tuple(findings)


def _docker(catalog: Catalog, environ: Mapping[str, str]) -> list[Finding]:
    """The Docker engine, and what a container on this machine would get."""
    try:
        hardware_class = find_hardware(catalog, environ).cls
        profile = catalog.containers.profile_for(hardware_class, fabric=False)
        facts = gather_container_facts(catalog, profile, environ)
    except CiError as error:
        return [Finding(name="container", ok=False, text=error.what)]
    where = f"{facts.docker} ({facts.docker_source})"
    files = "unknown" if facts.nofile_max is None else f"{facts.nofile_max}"
    engine = Finding(name="docker", ok=True, text=f"{where}; a container may open {files} files")
    if facts.problem:
        engine = Finding(name="docker", ok=False, text=facts.problem)
    has = [device.path for device in facts.devices] + [
        f"{mount.source} as {mount.target}" for mount in facts.mounts
    ]
    if facts.cache_free_bytes is not None:
        has.append(f"{facts.cache_free_bytes / 2**30:.1f} GiB free in the cache")
    lacks = f"; lacks {'; '.join(facts.absent)}" if facts.absent else ""
    text = f"profile {profile.id}: {', '.join(has) or 'needs nothing of this machine'}{lacks}"
    complete: bool | None = not profile.devices or bool(facts.devices)
    if facts.problem:
        complete, text = None, f"{text}; without Docker there is none"
    mirror = f"{facts.mirror} ({facts.mirror_source})" if facts.mirror else facts.mirror_source
    return [
        engine,
        Finding(name="container", ok=complete, text=text),
        Finding(name="mirror", ok=None if not facts.mirror else True, text=mirror),
    ]


def _slurm(catalog: Catalog, environ: Mapping[str, str]) -> Finding:
    """The cluster of this machine and its row; a machine without Slurm lacks nothing."""
    found = look_at_slurm(catalog, environ)
    if found.problem:
        return Finding(name="slurm", ok=None, text=f"{found.problem}; --executor slurm needs it")
    slurm = f"Slurm {found.version}, cluster {found.here}"
    row = catalog.clusters.get(found.here)
    if row is None:
        text = f"{slurm}, which has no row in clusters.toml; add it: {row_to_add(found.here)}"
        return Finding(name="slurm", ok=False, text=text)
    shown = ", ".join(_partition(one) for one in found.partitions)
    missing = row.missing([one.name for one in found.partitions])
    text = f"{slurm}: {catalog.where(row)}, runtime {row.runtime}; partitions: {shown or 'none'}"
    if missing:
        text = f"{text}; the row's {', '.join(missing)} does not exist"
    return Finding(name="slurm", ok=not missing, text=text)


def _partition(fact: PartitionFact) -> str:
    limit = "no time limit" if fact.limit_min is None else f"at most {fact.limit_min} min"
    return f"{fact.name} ({fact.nodes} nodes, {limit}{'' if fact.up else ', not up'})"


def _engine(engine: Engine, fact: EngineFact | None, *, ours: bool) -> Finding:
    name = f"engine {engine.id}"
    if fact is not None:
        return Finding(name=name, ok=True, text=f"{engine.package} {fact.engine_version} in {fact.python}")
    if ours:
        text = f"no {engine.package} in this interpreter; a stage's session makes an environment that has it"
        return Finding(name=name, ok=None, text=text)
    return Finding(
        name=name, ok=False, text=f"no python3 on the PATH has {engine.package}: stages are rehearsed here"
    )


def _hardware(catalog: Catalog, environ: Mapping[str, str]) -> Finding:
    try:
        found = find_hardware(catalog, environ)
    except CiError as error:
        return Finding(name="hardware", ok=False, text=error.render())
    notes = "".join(f"; {note}" for note in found.notes)
    return Finding(
        name="hardware", ok=True, text=f"{found.cls}, {len(found.gpus)} GPUs ({found.source}){notes}"
    )


def _platform() -> Finding:
    try:
        require_rehearsal_platform()
    except CiError as error:
        return Finding(name="rehearsal", ok=False, text=error.what)
    return Finding(name="rehearsal", ok=True, text="Linux x86-64, glibc, AVX2")


def _disk(runs: Path) -> Finding:
    there = next(path for path in (runs, *runs.parents) if path.exists())
    usage = disk_usage(there)
    text = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free at {there}"
    return Finding(name="run folders", ok=usage.free > 2**30, text=text)
