"""The engine's environment that is made here: looked up for a plan, without making it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.catalog import Catalog
from ci.catalog.engines import Engine
from ci.engine.environment import KERNEL_STUB, EngineEnvironment, folder_digest
from ci.engine.folders import changed_files, is_whole
from ci.engine.interpreter import Kernels, examine
from ci.engine.locate import StandIns, find_environment, find_stand_ins
from ci.engine.trees import tree_wants
from ci.errors import CiError, InfrastructureError
from ci.facts.content import file_digests, package_digests, packages_of
from ci.facts.interpreters import find_engine
from ci.plan.engine_build import EngineBuild, EnginePlace, EngineSource, EngineWork
from ci.plan.facts import EngineFact
from ci.system.file_digests import digest_of_files

__all__ = ["find_engine_build"]

# changed files that a note names
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is looked up, and for what."""

    catalog: Catalog
    engine: Engine
    checkout: Path | None
    version: str
    python: str
    planning_only: bool
    environ: Mapping[str, str]


def find_engine_build(
    catalog: Catalog,
    engine: Engine,
    *,
    checkout: Path | None,
    version: str,
    python: str,
    planning_only: bool,
    environ: Mapping[str, str],
) -> tuple[EngineBuild, EngineFact]:
    """The environment of a release (`version`), of a checkout's own SGLang, or that of a given interpreter.

    Raises:
        UsageError: there is no such release, or the checkout does not say what it wants.
        InfrastructureError: the given interpreter cannot serve here; a release without a row cannot be resolved.
    """
    look = _Look(
        catalog=catalog,
        engine=engine,
        checkout=checkout,
        version=version,
        python=python,
        planning_only=planning_only,
        environ=environ,
    )
    stand_ins = find_stand_ins(catalog.models, catalog.stand_ins, environ)
    return _given(look, stand_ins) if python else _made(look, stand_ins)


def _made(look: _Look, stand_ins: StandIns) -> tuple[EngineBuild, EngineFact]:
    rows = look.catalog.sglang
    own = look.checkout is not None and not look.version
    source = EngineSource.CHECKOUT if own else EngineSource.RELEASE
    version = "" if own else look.version or rows.newest
    try:
        environment = find_environment(
            rows, version=look.version, checkout=look.checkout, environ=look.environ
        )
    except InfrastructureError as error:
        if not look.planning_only:
            raise
        return _unresolved(look, stand_ins, source, version, error)
    layer = environment.layer
    unpinned = (
        ()
        if layer.pinned_here
        else tuple(line.rstrip(" \\") for line in layer.pins.splitlines() if line.strip())
    )
    notes = [
        f"the compiled kernels are stood in for by {KERNEL_STUB.name} (sgl_kernel): a call into it fails the test"
    ]
    if not layer.pinned_here:
        notes.append(
            f"not pinned here: {layer.name} was resolved on this machine, its versions are in the plan"
        )
    changed = _changed(
        (environment.base_folder, environment.folder, stand_ins.weights.made, stand_ins.hub.parent)
    )
    size = environment.size()
    if not environment.is_ready():
        notes.append(f"the engine's environment is made first: {size.disk_mib / 1024:.1f} GiB on disk")
    build = EngineBuild(
        work=EngineWork(
            source=source,
            environment=environment.digest,
            requirements=unpinned,
            kernels=environment.stub_digest,
            weights=stand_ins.weights.digest,
            changed=changed.digest,
        ),
        place=_place(environment.folder / "bin", (), stand_ins, environment),
        ready=environment.is_ready(),
        arguments=_arguments(look, version),
        notes=(*notes, *changed.notes),
        partial=changed.partial,
    )
    which = (
        "the checkout's own SGLang"
        if own
        else ("--sglang" if look.version else "sglang.toml: the newest release with a row")
    )
    return build, EngineFact(
        python=str(environment.python),
        python_version=environment.python_minor,
        engine_version=version,
        source=f"{which}, in an environment that is made here ({environment.folder})",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changed:
    """What is no longer as it was made; `digest` is empty when nothing is."""

    digest: str
    notes: tuple[str, ...]
    partial: tuple[str, ...]


def _changed(folders: Sequence[Path]) -> _Changed:
    """Compare what has been made with what was written down when it was made."""
    files, notes, partial = dict[str, str](), list[str](), list[str]()
    for folder in folders:
        if not is_whole(folder):
            continue
        found = changed_files(folder)
        if found is None:
            what = f"{folder.name} was made before its files were written down: whether they changed since is unknown"
            partial.append(f"{what} (./inv engine.remove, then it is made again)")
        elif found:
            files |= {f"{folder.name}/{path}": digest for path, digest in found.items()}
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            shown = ", ".join(list(found)[:_SHOWN])
            notes.append(
                f"{folder.name} is not as it was made: {shown}{more} (./inv engine.remove undoes it)"
            )
    return _Changed(
        digest=digest_of_files(files) if files else "", notes=tuple(notes), partial=tuple(partial)
    )


def _unresolved(
    look: _Look, stand_ins: StandIns, source: EngineSource, version: str, error: CiError
) -> tuple[EngineBuild, EngineFact]:
    """What can be planned without a network."""
    build = EngineBuild(
        work=EngineWork(
            source=source,
            environment="",
            requirements=(),
            kernels=folder_digest(KERNEL_STUB),
            weights=stand_ins.weights.digest,
        ),
        place=_place(Path(), (), stand_ins, None),
        ready=False,
        arguments=_arguments(look, version),
        partial=(f"the engine's environment is unresolved: {error.what}",),
    )
    fact = EngineFact(
        python="python3",
        python_version=look.catalog.sglang.base.python,
        engine_version=version,
        source="unresolved",
        found=False,
    )
    return build, fact


def _given(look: _Look, stand_ins: StandIns) -> tuple[EngineBuild, EngineFact]:
    """`--python PATH`: asked what it has; that its SGLang can be imported here is looked at before a run."""
    own = look.checkout / "python" if look.checkout is not None else None
    path: tuple[Path, ...] = (KERNEL_STUB,)
    kernels = folder_digest(KERNEL_STUB)
    if look.planning_only:
        fact = find_engine(look.engine, given=look.python, ours=False, environ=look.environ)
        version = fact.engine_version if fact is not None else ""
        python_version = fact.python_version if fact is not None else ""
    else:
        found = examine(Path(look.python), asked=f"--python {look.python}", environ=look.environ, source=own)
        version, python_version, path = found.sglang_version, "", found.python_path
        kernels = kernels if found.kernels is Kernels.ABSENT else found.kernels.value
    build = EngineBuild(
        work=EngineWork(
            source=EngineSource.GIVEN,
            environment="",
            requirements=(),
            kernels=kernels,
            weights=stand_ins.weights.digest,
        ),
        place=_place(Path(look.python).absolute().parent, path, stand_ins, None),
        ready=True,
        arguments=_arguments(look, version),
        notes=(
            "--python: of what is installed there the digest has the engine, its kernels and pytest alone",
        ),
    )
    names = packages_of(look.catalog, look.engine, rehearsal=True)
    packages = package_digests(
        Path(look.python),
        names,
        environ=look.environ,
        digests=file_digests(look.environ),
        built_in=look.engine.built_in,
    )
    return build, EngineFact(
        python=look.python,
        python_version=python_version,
        engine_version=version,
        source=f"--python ({look.python})",
        packages=packages,
    )


def _arguments(look: _Look, version: str) -> tuple[str, ...]:
    """What this SGLang needs on a CPU; `version` is that of a release, empty where it is not known."""
    if look.checkout is not None and not look.version:
        return tree_wants(look.checkout, look.catalog.sglang).arguments
    return look.catalog.sglang.arguments_for(version) if version else ()


def _place(
    programs: Path, pythonpath: tuple[Path, ...], stand_ins: StandIns, environment: EngineEnvironment | None
) -> EnginePlace:
    hub = stand_ins.hub
    folders = environment.read_only_folders if environment is not None else ()
    return EnginePlace(
        path=(str(programs),),
        pythonpath=tuple(map(str, pythonpath)),
        hf_home=str(hub.parent),
        folders=tuple(map(str, (*folders, hub.parent))),
    )
