"""Looks at an installation from inside a container: one file of standard-library Python (3.10 and later).

    PYTHON inspector.py facts JSON         # what the dependency rows ask: versions, folders, programs, commits
    PYTHON inspector.py fingerprint JSON   # the protected distributions as they are; imports none of them
    PYTHON inspector.py import JSON        # imports names as a server in the working directory would
    PYTHON inspector.py kill TOKEN         # kills every process whose environment has the token, removes its temporary folder

Prints JSON on its standard output: one object, `import` one a line. Exit codes: 0, 2 when the call is invalid.
What imported packages print goes to standard error.
"""

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

__all__ = ["facts", "fingerprint", "kill", "main"]

Answer = dict[str, Any]

# written by every installer in its own way, so that a reinstallation of the same files would look like a change
_NOT_CONTENT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_PAUSE_S = 0.01
_OUR_TOKENS = "amdci-"


def main(arguments: list[str]) -> int:
    """Run one mode; returns the exit code."""
    modes = {"facts": facts, "fingerprint": fingerprint, "import": _import_names}
    if len(arguments) != 2 or arguments[0] not in (*modes, "kill"):
        sys.stderr.write("usage: inspector.py facts|fingerprint|import JSON, or kill TOKEN\n")
        return 2
    # the folder of this file, where Python put it first, is nowhere a server would look
    del sys.path[0]
    if arguments[0] == "kill":
        _say(sys.stdout, kill(arguments[1]))
        return 0
    try:
        asked = json.loads(arguments[1])
    except ValueError as error:
        sys.stderr.write(f"the second argument is not JSON: {error}\n")
        return 2
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for answer in modes[arguments[0]](asked):
            _say(out, answer)
    return 0


def _say(out: TextIO, answer: Answer) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def facts(asked: Answer) -> Iterator[Answer]:
    """What `ci.plan.container.install.question` asks for."""
    programs = {name: shutil.which(name) for name in asked["programs"]}
    yield {
        "python": sys.executable,
        "python_version": ".".join(str(part) for part in sys.version_info[:3]),
        "torch": _torch(),
        "variables": {name: os.environ[name] for name in asked["variables"] if os.environ.get(name)},
        "programs": {name: path for name, path in programs.items() if path},
        "dirs": [folder for folder in asked["dirs"] if Path(folder).is_dir()],
        "distributions": {name: _distribution(name) for name in asked["distributions"]},
        "repositories": {
            name: _repository(folder, asked["git_timeout_s"])
            for name, folder in asked["repositories"].items()
        },
    }


def _torch() -> Answer:
    """Version, HIP version and library folder, read from torch's files: importing it takes seconds."""
    found = {"version": "", "hip": "", "lib": ""}
    try:
        found["version"] = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return found
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return found
    folder = Path(spec.origin).parent
    found["lib"] = str(folder / "lib")
    try:
        text = (folder / "version.py").read_text(errors="replace")
    except OSError:
        return found
    match = re.search(r"^hip\b[^=\n]*=\s*(.+)$", text, re.MULTILINE)
    try:
        found["hip"] = ast.literal_eval(match.group(1).strip()) or "" if match else ""
    except (ValueError, SyntaxError):
        found["hip"] = ""
    return found


def _distribution(name: str) -> Answer:
    """Version and, where the installer noted it, the commit."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return {"version": "", "commit": ""}
    try:
        url = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        url = {}
    commit = (url.get("vcs_info") or {}).get("commit_id", "") if isinstance(url, dict) else ""
    return {"version": distribution.version or "", "commit": commit}


def _repository(folder: str, timeout_s: float) -> Answer:
    """The commit of a folder, and whether its files differ; empty when it is not a repository or git is missing."""
    nothing: Answer = {"head": "", "modified": False}
    if not Path(folder, ".git").exists():
        return nothing

    def git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
        argv = ["git", "-c", f"safe.directory={folder}", "-C", folder, *arguments]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )

    try:
        head = git("rev-parse", "--verify", "HEAD^{commit}")
        status = git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    except (OSError, subprocess.TimeoutExpired):
        return nothing
    if head.returncode != 0 or status.returncode != 0:
        return nothing
    return {"head": head.stdout.decode().strip(), "modified": bool(status.stdout.strip())}


def fingerprint(asked: Answer) -> Iterator[Answer]:
    """The protected distributions; `absent` are start directories that are not there."""
    starts = [folder for folder in asked["starts"] if Path(folder).is_dir()]
    rows = []
    for name, module in asked["protected"].items():
        row: Answer = {"distribution": name, "version": "", "record": "", "location": ""}
        row |= {"imported": {}, "shadowed": {}}
        rows.append(row)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        row["version"] = distribution.version or ""
        row["record"] = _record(distribution)
        row["location"] = str(distribution.locate_file(""))
        for folder in starts:
            origin, namespace = _found(module, folder)
            if namespace:
                row["shadowed"][folder] = namespace
            else:
                row["imported"][folder] = origin
    yield {"distributions": rows, "absent": [folder for folder in asked["starts"] if folder not in starts]}


def _record(distribution: importlib.metadata.Distribution) -> str:
    """A digest over the hashes of the installed files, 16 hex digits; empty where the installer kept no list."""
    text = distribution.read_text("RECORD")
    if text is None:
        return ""
    kept = []
    for line in text.splitlines():
        path, _, rest = line.partition(",sha256=")
        folder, _, name = path.strip('"').rpartition("/")
        if rest and not (folder.endswith(".dist-info") and name in _NOT_CONTENT):
            kept.append(line)
    return hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()[:16]


def _found(module: str, folder: str) -> tuple[str, str]:
    """The file that a module comes from for a program started in a folder, and the folder of an empty namespace."""
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return "", ""
    finally:
        sys.path.remove(folder)
    if spec is None:
        return "", ""
    if spec.origin is None and spec.submodule_search_locations is not None:
        return "", next(iter(spec.submodule_search_locations), folder)
    return spec.origin or "", ""


def _import_names(asked: Answer) -> Iterator[Answer]:
    """Import each name from the working directory; `importing` comes before each, so that a crash names its cause."""
    sys.path.insert(0, str(Path.cwd()))
    for name in asked["names"]:
        yield {"importing": name}
        yield _imported(name)


def _imported(name: str) -> Answer:
    answer = {"name": name, "problem": "", "file": "", "shadowed_by": "", "real": ""}
    parts = name.split(".")
    found: Any = None
    try:
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            if found is not None and hasattr(found, parts[depth - 1]):
                found = getattr(found, parts[depth - 1])
                continue
            found = importlib.import_module(path)
    except BaseException as error:  # noqa: BLE001 - whatever an import raises, SystemExit too, is the answer
        answer["problem"] = f"{type(error).__name__}: {error}".strip()[:500]
    top = sys.modules.get(parts[0])
    answer["file"] = getattr(top, "__file__", None) or ""
    if top is not None and not answer["file"] and hasattr(top, "__path__"):
        answer["shadowed_by"] = next(iter(top.__path__), "")
        answer["real"] = _real(parts[0])
        if not answer["problem"]:
            answer["problem"] = "it is an empty namespace package"
    return answer


def _real(module: str) -> str:
    """Where a shadowed package is: asked of the finders behind Python's own, then of the folders that it searches."""
    own = (
        importlib.machinery.BuiltinImporter,
        importlib.machinery.FrozenImporter,
        importlib.machinery.PathFinder,
    )
    for finder in sys.meta_path:
        if finder in own or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(module, None)
        if spec is not None and spec.origin is not None:
            return spec.origin
    for folder in sys.path:
        file = Path(folder, module, "__init__.py")
        if file.exists():
            return str(file)
    return ""


def kill(token: str) -> Answer:
    """SIGKILL to every process that has a variable with this value, until a pass finds none; its folder goes too."""
    killed: dict[int, str] = {}
    passes, wanted = 0, b"=" + token.encode()
    while token:
        passes += 1
        found = [pid for pid in _processes() if pid != os.getpid() and _holds(pid, wanted)]
        for pid in found:
            killed[pid] = killed.get(pid) or _command(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not found:
            break
        time.sleep(_PAUSE_S)
    # the folders of a run's tests, which its agent removes when it is not killed
    if token.startswith(_OUR_TOKENS) and "/" not in token:
        shutil.rmtree(Path(tempfile.gettempdir()) / token, ignore_errors=True)
    return {"killed": [{"pid": pid, "command": text} for pid, text in killed.items()], "passes": passes}


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _holds(pid: int, wanted: bytes) -> bool:
    """Whether a running process has the value; one that has ended and was not waited for holds nothing."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(item.endswith(wanted) for item in variables)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace").strip()[:200]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
