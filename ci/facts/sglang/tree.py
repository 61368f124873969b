"""Which SGLang is examined: a checkout, a release from the package index, or the one of an interpreter."""

import ast
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci.catalog.discovery import DiscoveryRules
from ci.catalog.registrations.roots import require_sglang_tree
from ci.catalog.versions import InvalidVersion, Version
from ci.errors import InfrastructureError, UsageError
from ci.nox.environments import find_uv
from ci.system import clock
from ci.system.file_lock import cache_dir, held
from ci.system.process import Completed, capture

__all__ = ["SglangTree", "find_checkout", "find_installed", "find_release"]

_PACKAGE: Final = "sglang"
_FETCH_S: Final = 300.0
_POLL_S: Final = 0.2
_QUESTION: Final = """
import importlib.util, json, sys
spec = importlib.util.find_spec("sglang")
print(json.dumps(list(spec.submodule_search_locations)[0] if spec and spec.submodule_search_locations else ""))
"""
# how uv says that an index has no such version
_NO_VERSION: Final = "there is no version of"


@dataclass(frozen=True, slots=True, kw_only=True)
class SglangTree:
    """`folder` holds the package `sglang`; `roots` are the folders whose files may read variables, all below `base`."""

    title: str
    folder: Path
    base: Path
    roots: tuple[Path, ...]
    version: str
    version_source: str


def find_checkout(given: str, rules: DiscoveryRules) -> SglangTree:
    """A checkout of SGLang.

    Raises:
        UsageError: it is not one.
    """
    root = Path(given).expanduser().absolute()
    require_sglang_tree(root, rules)
    version, source = _version_of(root / "python" / _PACKAGE)
    if not version and (root / ".git").exists():
        described = capture(["git", "-C", str(root), "describe", "--tags", "--match", "v[0-9]*", "--long"])
        tag, _, rest = described.text.partition("-")
        if described.code == 0:
            exact = rest.startswith("0-")
            version = tag.removeprefix("v") if exact else f"{tag.removeprefix('v')}.dev+{rest}"
            source = f"git describe: {described.text}"
    return SglangTree(
        title=f"SGLang at {root}",
        folder=root / "python",
        base=root,
        roots=(root,),
        version=version,
        version_source=source,
    )


def find_installed(python: str, environ: Mapping[str, str]) -> SglangTree:
    """The SGLang that an interpreter has.

    Raises:
        UsageError: it is not a Python.
        InfrastructureError: it has no SGLang.
    """
    done = capture([python, "-c", _QUESTION], cwd=Path("/"), env=environ)
    try:
        answer = json.loads(done.text.splitlines()[-1]) if done.code == 0 else None
    except (ValueError, IndexError):
        answer = None
    if answer is None:
        raise UsageError(
            f"--python {python}: it is not a Python",
            cause=done.why or f"exit {done.code}",
            then="name one: --python PATH",
        )
    if not answer:
        raise InfrastructureError(
            f"--python {python}: it has no package {_PACKAGE!r}",
            then="name the version to examine as well: --sglang VERSION or --checkout PATH",
        )
    return _package(Path(answer), title=f"SGLang of {python}")


def find_release(version: str, environ: Mapping[str, str]) -> SglangTree:
    """A release, fetched once into this user's cache without its dependencies.

    Raises:
        UsageError: the index has no such version.
        InfrastructureError: no network, or no space.
    """
    try:
        name = str(Version(version))
    except InvalidVersion as error:
        raise UsageError(
            f"--sglang {version}: invalid version",
            cause="a release is meant, e.g. 0.5.23",
            then="for sources: --checkout PATH",
        ) from error
    folder = cache_dir(environ) / "sglang" / name
    if not (folder / _PACKAGE).is_dir():
        with held(
            folder.with_name(f"{name}.lock"),
            {"fetches": f"sglang {name}"},
            on_wait=lambda _other: None,
            pause=_pause,
        ):
            if not (folder / _PACKAGE).is_dir():
                _fetch(name, folder, environ)
    return _package(folder / _PACKAGE, title=f"SGLang {name}")


def _pause() -> None:
    clock.sleep_s(_POLL_S)


def _package(package: Path, *, title: str) -> SglangTree:
    version, source = _version_of(package)
    return SglangTree(
        title=title,
        folder=package.parent,
        base=package.parent,
        roots=(package,),
        version=version,
        version_source=source,
    )


def _fetch(version: str, folder: Path, environ: Mapping[str, str]) -> None:
    uv = find_uv(environ)
    partial = folder.with_name(f"{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    target = ["--python", sys.executable, "--target", str(partial)]
    try:
        done = capture(
            [uv, "pip", "install", "--quiet", "--no-deps", *target, f"{_PACKAGE}=={version}"],
            timeout_s=_FETCH_S,
            env=environ,
        )
        if done.code == 0:
            partial.rename(folder)
            return
    except OSError as error:
        raise InfrastructureError(
            f"cannot write {folder}: {error.strerror}",
            then=f"df -h {folder.parent}; AMD_CI_CACHE=DIR names another cache",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if _NO_VERSION in _errors(done):
        near = [found for sign in ("<", ">") if (found := _beside(sign, version, uv, environ))]
        raise UsageError(
            f"--sglang {version}: SGLang has no such release",
            cause=f"the nearest are {' and '.join(near)}" if near else "the index has none near it",
            then=f"nox -s contract -- --sglang {near[0]}" if near else "nox -s contract -- --checkout PATH",
        )
    raise InfrastructureError(
        f"cannot fetch SGLang {version} from the package index",
        cause=_errors(done) or done.why or f"uv ended with {done.code}",
        then="check the network, then again; without one: --checkout PATH, or --python PATH of an environment that has it",
    )


def _errors(done: Completed) -> str:
    """What uv printed, in one line."""
    return " ".join(done.stderr.decode(errors="replace").split())


def _beside(sign: str, version: str, uv: str, environ: Mapping[str, str]) -> str:
    """The release next to a version: the last before it or the first after it."""
    order = ["--resolution", "lowest"] if sign == ">" else []
    done = capture(
        [uv, "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", *order, "-"],
        timeout_s=_FETCH_S,
        env=environ,
        stdin=f"{_PACKAGE}{sign}{version}\n".encode(),
    )
    return done.text.partition("==")[2].strip() if done.code == 0 else ""


def _version_of(package: Path) -> tuple[str, str]:
    """What the file says that a build writes, empty without one."""
    path = package / "_version.py"
    try:
        module = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return "", "unknown: no _version.py, which a build writes"
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            if names & {"__version__", "version"} and isinstance(node.value.value, str):
                return node.value.value, str(path)
    return "", f"unknown: {path} has none"
