"""Which hardware this machine has: KFD topology, else rocminfo or amd-smi, else the runner's label.

Sources that disagree are an error that names both: a run on the wrong hardware is worse than none.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ci.catalog.hardware import CPU, EmptyMeans, HardwareCatalog
from ci.errors import InfrastructureError, UsageError
from ci.facts.gpus import Gpu, Run, Seen, ask_tools, numbered, read_kfd

__all__ = ["Hardware", "detect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The class of this machine, the GPUs that a run may use, where that is known from, and what else was noticed."""

    cls: str
    gpus: tuple[Gpu, ...]
    source: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What a runner label says."""

    cls: str
    gpus: int
    source: str


def detect(
    *, sysfs: Path, run: Run, label: str | None, visible: Mapping[str, str], catalog: HardwareCatalog
) -> Hardware:
    """Find the hardware of this machine.

    Args:
        sysfs: `/sys`.
        run: runs rocminfo and amd-smi; called only when the KFD's topology does not exist.
        label: the runner's label or name, None outside Actions.
        visible: the caller's environment, of which the `visible` rows are read.
        catalog: `hardware.toml`.

    Raises:
        UsageError: sources disagree, a GPU is unknown or not in SGLang's CI, GPUs of several classes, or a variable
            names a GPU that does not exist.
        InfrastructureError: fewer GPUs than the runner's label promises.
    """
    promise, notes = _promise(label, catalog)
    seen = read_kfd(sysfs) or ask_tools(run)
    if seen is None and promise is not None:
        seen = _promised(promise, catalog)
    if seen is None:
        source = "no KFD topology, no answer from rocminfo or amd-smi"
        return Hardware(cls=CPU, gpus=(), source=source, notes=tuple(notes))
    limited, limit_notes = _limit(seen, visible, catalog)
    notes += [*seen.notes, *limit_notes]
    gpus_by_class: dict[str, list[Gpu]] = defaultdict(list)
    for gpu in limited:
        if _counts(gpu, catalog):
            gpus_by_class[_classify(gpu, seen.source, catalog)].append(gpu)
        else:
            notes.append(f"GPU {gpu.index} ({gpu.target}) is ignored: {catalog.ignored_because(gpu.target)}")
    if len(gpus_by_class) > 1:
        raise _mixed(gpus_by_class, seen.source)
    cls, gpus = next(iter(gpus_by_class.items()), (CPU, []))
    if promise is not None:
        notes += _compare(promise, seen, cls, catalog)
    return Hardware(cls=cls, gpus=tuple(gpus), source=seen.source, notes=tuple(notes))


# --- what the runner's label says


def _promise(label: str | None, catalog: HardwareCatalog) -> tuple[_Promise | None, list[str]]:
    if not label:
        return None, []
    found = catalog.label_rule(label)
    if found is None:
        return None, [f"the runner label {label!r} has no hardware class"]
    rule, gpus = found
    return _Promise(cls=rule.cls, gpus=gpus, source=f"runner label {label!r}"), []


def _promised(promise: _Promise, catalog: HardwareCatalog) -> Seen:
    cls = catalog.classes[promise.cls]
    gpu = Gpu(id="", index=0, target=cls.target, vram_mib=int(cls.vram_gib * 1024))
    notes = ("the GPUs themselves were not found",)
    return Seen(gpus=numbered([gpu] * promise.gpus), source=promise.source, notes=notes)


# --- what the sources amount to


def _counts(gpu: Gpu, catalog: HardwareCatalog) -> bool:
    """Whether it is one that a run is for, and not the graphics of a laptop."""
    return gpu.pci_id in catalog.devices or not catalog.ignored_because(gpu.target)


def _classify(gpu: Gpu, source: str, catalog: HardwareCatalog) -> str:
    """The class of a GPU that counts."""
    device = catalog.devices.get(gpu.pci_id or 0)
    if device is None and gpu.pci_id is not None:
        raise _unknown_device(gpu, source, catalog)
    if device is not None and not device.cls:
        raise UsageError(
            f"GPU {gpu.index} is an {device.name} ({device.pci_id:#06x}, {source}), which is not in SGLang's CI",
            cause="no runner pool has it, so no bound has been measured on it",
            then="exclude it with HIP_VISIBLE_DEVICES, or rehearse: --hardware cpu",
        )
    votes = [(device.cls, f"PCI device id {device.pci_id:#06x}")] if device is not None else []
    votes += [(cls, f"marketing name {gpu.name!r}") for cls in _by_name(gpu, catalog)]
    if not votes:
        votes = [(cls, f"{_gib(gpu)} of VRAM") for cls in _by_vram(gpu, catalog)]
    if not votes:
        raise UsageError(
            f"GPU {gpu.index} ({source}) shows no class: {_description(gpu)}",
            cause="no row of hardware.toml has its PCI device id, its name or its VRAM size",
            then="see `amd-smi static --asic --vram`, then add a [[device]] or [[class]] row",
        )
    cls = catalog.classes[votes[0][0]]
    if len({vote for vote, _ in votes}) > 1:
        why = "; ".join(f"{why} says {vote}" for vote, why in votes)
        raise _disagreement(
            f"GPU {gpu.index}: {why} ({source})", "a row of hardware.toml is wrong, or a tool is"
        )
    if gpu.target and gpu.target != cls.target:
        why = f"{votes[0][1]} says {cls.id}, which is {cls.target}; its target is {gpu.target}"
        raise _disagreement(
            f"GPU {gpu.index}: {why} ({source})", "a row of hardware.toml is wrong, or a tool is"
        )
    if gpu.vram_mib and not cls.has_vram(gpu.vram_mib / 1024):
        why = f"{votes[0][1]} says {cls.id}, which has {cls.vram_gib:g} GiB; it reports {_gib(gpu)}"
        cause = (
            "a GPU that is split into partitions reports a part of its memory; SGLang's CI runs on whole GPUs"
        )
        raise _disagreement(f"GPU {gpu.index}: {why} ({source})", cause)
    return cls.id


def _by_name(gpu: Gpu, catalog: HardwareCatalog) -> list[str]:
    return [cls.id for cls in catalog.classes.values() if cls.has_name(gpu.name)]


def _by_vram(gpu: Gpu, catalog: HardwareCatalog) -> list[str]:
    return [cls.id for cls in catalog.classes.values() if cls.has_vram(gpu.vram_mib / 1024)]


def _gib(gpu: Gpu) -> str:
    return f"{gpu.vram_mib / 1024:.1f} GiB"


def _description(gpu: Gpu) -> str:
    return f"{gpu.name or 'no name'}, {gpu.target or 'no target'}, {_gib(gpu)} of VRAM"


def _disagreement(what: str, cause: str) -> UsageError:
    then = "see `amd-smi static --asic --vram --partition`; to rehearse instead: --hardware cpu"
    return UsageError(f"the sources of this machine's hardware disagree: {what}", cause=cause, then=then)


def _unknown_device(gpu: Gpu, source: str, catalog: HardwareCatalog) -> UsageError:
    likely = _by_name(gpu, catalog) or _by_vram(gpu, catalog)
    known = ", ".join(cls.id for cls in catalog.classes.values() if cls.target)
    row = [
        "[[device]]",
        f"pci_id = {gpu.pci_id:#06x}",
        f"name = {json.dumps(gpu.name or 'what amd-smi static --asic calls it')}",
        f'class = "{likely[0]}"'
        if likely
        else f"# class: one of {known}; leave it out if SGLang's CI has no such GPU",
        'source = "where the id is listed"',
    ]
    return UsageError(
        f"GPU {gpu.index} has the PCI device id {gpu.pci_id:#06x}, which is not known ({source})",
        cause=f"hardware.toml has no row for it; it shows {_description(gpu)}",
        then="\n    ".join(["add to ci/catalog/hardware.toml:", *row]),
    )


def _mixed(gpus_by_class: Mapping[str, Sequence[Gpu]], source: str) -> UsageError:
    classes = "; ".join(
        f"{cls}: GPU {', '.join(str(gpu.index) for gpu in gpus)}"
        for cls, gpus in sorted(gpus_by_class.items())
    )
    return UsageError(
        f"this machine has GPUs of several classes ({source}): {classes}",
        cause="a run has one hardware class, its bounds depend on it",
        then="choose GPUs of one class: HIP_VISIBLE_DEVICES=0,1",
    )


def _compare(promise: _Promise, seen: Seen, cls: str, catalog: HardwareCatalog) -> list[str]:
    """Hold what was seen against the runner's label; more GPUs than it promises are only worth a note."""
    count = sum(_counts(gpu, catalog) for gpu in seen.gpus)
    if count < promise.gpus:
        raise InfrastructureError(
            f"{seen.source} shows {count} of the {promise.gpus} GPUs that {promise.source} promises",
            cause="a GPU failed, or the container does not have all of them",
            then="see dmesg and `amd-smi list` on the host; run it again on another machine",
        )
    if cls not in {promise.cls, CPU}:
        what = f"{seen.source} says {cls}; {promise.source} says {promise.cls}"
        raise _disagreement(what, "the runner is in the wrong pool, or a label row of hardware.toml is wrong")
    if count > promise.gpus:
        return [f"{seen.source} shows {count} GPUs, {promise.source} promises {promise.gpus}"]
    return []


# --- what the caller allows


def _limit(seen: Seen, visible: Mapping[str, str], catalog: HardwareCatalog) -> tuple[list[Gpu], list[str]]:
    """The GPUs that the caller's variables leave, in their order, with ids as the last level's variable needs them."""
    gpus, notes = list(seen.gpus), list[str]()
    for level in sorted({row.level for row in catalog.visible}):
        gpus = [replace(gpu, id=str(number)) for number, gpu in enumerate(gpus)]
        given: dict[str, str] = {}
        for row in catalog.visible:
            if row.level == level and (value := visible.get(row.name)) is not None:
                if value.strip() or row.empty is EmptyMeans.NONE:
                    given[row.name] = value.strip()
                else:
                    notes.append(f"{row.name} is empty, which is read as not set")
        if not given:
            continue
        names = " and ".join(f"{name}={value}" for name, value in given.items())
        if not any(_counts(gpu, catalog) for gpu in seen.gpus):
            # a rehearsing laptop may set CUDA_VISIBLE_DEVICES for a GPU of another vendor
            notes.append(f"{names} has no effect on a machine without an AMD Instinct GPU")
            continue
        choices = {name: _chosen(name, value, gpus) for name, value in given.items()}
        gpus = next(iter(choices.values()))
        if any(choice != gpus for choice in choices.values()):
            raise UsageError(
                f"{names} name different GPUs", then="set one of them, or both to the same value"
            )
        notes.append(f"{names} leaves GPU {', '.join(str(gpu.index) for gpu in gpus) or 'none'}")
    return gpus, notes


def _chosen(name: str, value: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs of a list of places or `GPU-<unique id>` beginnings; `-1` alone and nothing at all mean none."""
    if value in {"", "-1"}:
        return []
    chosen: list[Gpu] = []
    for token in (part.strip() for part in value.split(",")):
        if token.isdecimal() and token.isascii():
            fits = list(gpus[int(token) : int(token) + 1])
        elif re.fullmatch(r"GPU-[0-9a-fA-F]{1,16}", token):
            fits = [gpu for gpu in gpus if gpu.unique_id.startswith(token[4:].lower())]
        else:
            fits = []
        if len(fits) != 1 or fits[0] in chosen:
            why = (
                "names one twice"
                if fits and fits[0] in chosen
                else "names no GPU"
                if not fits
                else "names several"
            )
            there = f"0 to {len(gpus) - 1}" if gpus else "none: an earlier variable hides all"
            raise UsageError(
                f"{name}={value}: {token!r} {why}",
                cause=f"the GPUs that it can name: {there}",
                then=f"correct {name}, or unset it",
            )
        chosen += fits
    return chosen
