"""What an installation depends on: facts of the checkout and of the container, and the flavour that they amount to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ci.catalog.dependencies import Dependencies, Flavour
from ci.errors import InfrastructureError
from ci.plan.container.aiter import AiterFact
from ci.plan.container.work import InstallWork

__all__ = [
    "GIT_TIMEOUT_S",
    "STAMP",
    "CheckoutFacts",
    "InsideFacts",
    "flavour_of",
    "question",
    "stage_of",
    "unknown_inside",
]

# the variable in which an image says which Dockerfile stage built it
STAMP = "GPU_ARCH"
# git looks at every file of AITER's repository
GIT_TIMEOUT_S = 30.0
_AITER_DIR = "/sgl-workspace/aiter"
_AITER = "amd-aiter"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFacts:
    """What the rows ask of a checkout.

    `tree` identifies its content (empty: unknown, `tree_source` says why). `files` are those of the rows' files and choices
    that exist, as paths in the tree. `pins` holds values by `<pin>` or `<pin>@<stage>`.
    """

    tree: str
    tree_source: str
    files: frozenset[str]
    pins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideFacts:
    """Facts from the container: versions are empty where a package is not installed, paths where there is none.

    `stamp` is the image's GPU_ARCH, `variables` those of the flavours' signs that are set, with their values, `programs`
    where the installers' programs are, `dirs` those of the rows' folders that exist.
    """

    python: str
    python_version: str
    hip: str
    torch_lib: str
    stamp: str
    variables: Mapping[str, str]
    programs: Mapping[str, str]
    dirs: frozenset[str]
    aiter: AiterFact


def question(rows: Dependencies) -> dict[str, Any]:
    """The inspector's input for `InsideFacts`, as JSON values."""
    dirs = {row.needs_dir for row in rows.steps} | {installer.cache for installer in rows.installers}
    signs = {sign for flavour in rows.flavours.values() for sign in flavour.signs}
    programs = {installer.program for installer in rows.installers}
    programs |= {row.needs_absent_program for row in rows.steps}
    return {
        "dirs": sorted(dirs - {""}),
        "variables": sorted({*signs, STAMP, *(row.constraint_variable for row in rows.installers)}),
        "programs": sorted(programs - {""}),
        "distributions": [_AITER],
        "repositories": {_AITER: _AITER_DIR},
        "git_timeout_s": GIT_TIMEOUT_S,
    }


def stage_of(rows: Dependencies, *, flavour: str, family: str) -> str:
    """The Dockerfile stage of a flavour and family, e.g. `gfx942-rocm720`; empty where there is none."""
    row = rows.flavours.get(flavour)
    if row is None or not row.sglang or family not in rows.targets:
        return ""
    return rows.targets[family] + row.stage_suffix


def flavour_of(
    rows: Dependencies, install: InstallWork, inside: InsideFacts
) -> tuple[Flavour, str, list[str]]:
    """The flavour, its Dockerfile stage and notes: by the image's stamp, else its name, else what it holds.

    Raises:
        InfrastructureError: stamp and name contradict each other, or nothing says which flavour it is.
    """
    named, family = install.flavour, install.family
    if named and not rows.flavours[named].sglang:
        return rows.flavours[named], "", []
    stages = {
        gfx + flavour.stage_suffix: flavour
        for gfx in rows.targets.values()
        for flavour in rows.flavours.values()
        if flavour.sglang
    }
    if inside.stamp:
        if inside.stamp not in stages:
            raise InfrastructureError(
                f"the image says {STAMP}={inside.stamp}, a stage that no row has",
                cause=f"known: {', '.join(sorted(stages))}",
                then="add a [[flavour]] or [[target]] to ci/catalog/dependencies.toml",
            )
        if install.stage and install.stage != inside.stamp:
            raise InfrastructureError(
                f"the image was built by stage {inside.stamp}, its name says {install.stage}",
                cause="the tag was moved, or --rocm or --hardware does not fit the image",
                then="name the intended image: --image REF",
            )
        return stages[inside.stamp], inside.stamp, []
    if named:
        return rows.flavours[named], install.stage, []
    found = _inferred(rows, inside)
    if found is None:
        raise InfrastructureError(
            "nothing says which flavour this image is of",
            cause=f"it has no {STAMP}, none of the flavours' signs, and its HIP is {inside.hip or 'missing'}",
            then="name it: --rocm 720",
        )
    stage = stage_of(rows, flavour=found.id, family=family)
    return (
        found,
        stage,
        [f"the image has no {STAMP}: taken for {found.id} by what it holds (HIP {inside.hip})"],
    )


def _inferred(rows: Dependencies, inside: InsideFacts) -> Flavour | None:
    for flavour in rows.flavours.values():
        if any(inside.variables.get(sign) for sign in flavour.signs):
            return flavour
    for flavour in rows.flavours.values():
        if flavour.hip and inside.hip.startswith(flavour.hip):
            return flavour
    return None


def unknown_inside(rows: Dependencies, python: str) -> InsideFacts:
    """A container of which nothing is known: every folder of the rows, and no AITER."""
    return InsideFacts(
        python=python,
        python_version="",
        hip="",
        torch_lib="TORCH/lib",
        stamp="",
        variables={},
        programs={},
        dirs=frozenset(question(rows)["dirs"]),
        aiter=AiterFact(version="", head="", installed="", modified=False),
    )
