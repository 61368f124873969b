"""Finding the interpreter that has an engine's package, by asking it; the package is never imported."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci.catalog.engines import Engine
from ci.errors import InfrastructureError, UsageError
from ci.plan.facts import EngineFact
from ci.system.process import capture

__all__ = ["find_engine"]

# Asked with its own folder as working directory, so that no folder of ours can pass for the package.
_QUESTION = """
import importlib.metadata, importlib.util, json, sys
name = sys.argv[1]
found = importlib.util.find_spec(name) is not None
version = ""
if found:
    for distribution in importlib.metadata.packages_distributions().get(name, [name]) if sys.version_info >= (3, 10) else [name]:
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            pass
print(json.dumps({"found": found, "version": version, "python": "%d.%d.%d" % sys.version_info[:3],
                  "pytest": importlib.util.find_spec("pytest") is not None, "ok": sys.version_info >= (3, 10)}))
"""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why an interpreter won't do; one that is a Python lacks something, one that is not was a mistake in the call."""

    why: str
    is_python: bool


def find_engine(engine: Engine, *, given: str, ours: bool, environ: Mapping[str, str]) -> EngineFact | None:
    """The interpreter for an engine: the one given, else ours (in rehearsal), else the first on the PATH that has it.

    Raises:
        UsageError: the given interpreter is not a Python.
        InfrastructureError: the given interpreter is older than 3.10 or lacks the engine; an interpreter has the engine but
            not pytest, which runs the tests.
    """
    if given:
        fact = _ask(engine, Path(given), environ, source="--python")
        if isinstance(fact, EngineFact):
            return fact
        cause = (
            f"the tests run in the interpreter that has {engine.package}, Python 3.10 or newer, with pytest"
        )
        what = f"--python {given}: {fact.why}"
        if fact.is_python:
            raise InfrastructureError(what, cause=cause, then=f"{given} -m pip list")
        raise UsageError(what, cause=cause, then="which -a python3")
    if ours:
        fact = _ask(engine, Path(sys.executable), environ, source="default: this project's environment")
        return fact if isinstance(fact, EngineFact) else None
    for folder in environ.get("PATH", "").split(":"):
        path = Path(folder) / "python3"
        if not folder or not path.is_file():
            continue
        fact = _ask(
            engine,
            path,
            environ,
            source=f"default: the first python3 on the PATH with {engine.package}",
        )
        if isinstance(fact, EngineFact):
            return fact
    return None


def _ask(engine: Engine, python: Path, environ: Mapping[str, str], *, source: str) -> "EngineFact | _Refusal":
    """The fact, or why this interpreter won't do."""
    done = capture([str(python), "-c", _QUESTION, engine.package], cwd=Path("/"), env=environ)
    try:
        answer = json.loads(done.stdout.decode().splitlines()[-1]) if done.code == 0 else None
    except (ValueError, IndexError):
        answer = None
    if not isinstance(answer, dict):
        return _Refusal(done.why or f"it is not a Python: exit {done.code}", is_python=False)
    if not answer["ok"]:
        return _Refusal(f"it is Python {answer['python']}, 3.10 or newer is needed", is_python=True)
    if not answer["found"]:
        return _Refusal(f"it has no package {engine.package!r}", is_python=True)
    if not answer["pytest"]:
        raise InfrastructureError(
            f"{python} has {engine.package} but not pytest, which runs the tests",
            then=f"{python} -m pip install pytest",
        )
    return EngineFact(
        python=str(python),
        python_version=str(answer["python"]),
        engine_version=str(answer["version"]),
        source=f"{source} ({python})",
    )
