"""Logs of SGLang's present CI: which suite its `run_suite.py` ran, with which options, and what failed."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ci.repro.log_text import LogLine

__all__ = ["SglangRun", "read_sglang_log"]

_CALL = re.compile(r"\brun_suite\.py\s+(?P<options>.*)")
_ENDED = re.compile(r"^(?:✗|x) (?:FAILED|TIMEOUT): (?P<file>\S+\.py)\b")
_LISTED = re.compile(r"^\s{1,4}(?:[-•] )?(?P<file>\S+\.py) \((?P<why>(?:exit code|timeout)[^)]*)\)\s*$")
_BEGUN = re.compile(r"^(?:\[.*\] )?python3 (?P<file>/\S+\.py)(?: -f)?\s*$")
_END = re.compile(r"^filename='(?P<file>[^']+\.py)'")
_CASE = re.compile(
    r"^(?:FAIL|ERROR): (?P<case>test\w*) \((?P<module>[\w.]+?)\.(?P<cls>[A-Z]\w*)(?:\.\w+)?\)\s*$"
)
_NODE = re.compile(r"^(?:FAILED|ERROR) (?P<node>\S+\.py(?:::[^\s]+)?)(?: - |$)")
_VALUE = {"--hw", "--suite", "--auto-partition-id", "--auto-partition-size", "--timeout-per-file"}
_ENV = re.compile(r"(?:^|\s)-e\s+(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|\S*)")


@dataclass(slots=True, kw_only=True)
class SglangRun:
    """One call of `run_suite.py`; `line` is its number in the log, `failed` are files in the order in which they failed.

    `part` counts from 0, as SGLang does; None when the whole suite was run. `env` is what the call's wrapper got by
    `-e`. `cases` are the failed cases by file, as far as the log names them. `unfinished` is the file that was running
    when the log ended.
    """

    line: int
    job: str
    suite: str
    part: int | None
    parts: int | None
    timeout_per_file_s: float | None
    nightly: bool
    options: tuple[str, ...]
    env: Mapping[str, str]
    failed: list[str] = field(default_factory=list)
    cases: dict[str, list[str]] = field(default_factory=dict)
    unfinished: str = ""


def read_sglang_log(lines: Iterable[LogLine]) -> list[SglangRun]:
    """Every different call of `run_suite.py --hw amd` in a log and what failed in it, in the log's order."""
    runs: list[SglangRun] = []
    current: SglangRun | None = None
    running = ""
    for line in _joined(lines):
        if call := _call(line):
            same = next((run for run in runs if _same(run, call)), None)
            if same is None:
                runs.append(call)
            # a script is shown once before it runs, and once more with its values filled in
            current, running = same or call, ""
            continue
        if current is None:
            continue
        text = line.text
        if found := _BEGUN.match(text):
            running = current.unfinished = found["file"]
        elif found := _END.match(text):
            current.unfinished = ""
        elif found := _CASE.match(text):
            if running:
                _add(current.cases.setdefault(running, []), f"{found['cls']}::{found['case']}")
        elif (found := _ENDED.match(text)) or (found := _LISTED.match(text)):
            _add(current.failed, found["file"])
            current.unfinished = ""
        elif found := _NODE.match(text):
            _add(current.failed, found["node"])
    for run in runs:
        _tidy(run)
    return runs


def _joined(lines: Iterable[LogLine]) -> Iterable[LogLine]:
    """Lines of a script that a backslash continues, as one."""
    held: LogLine | None = None
    for line in lines:
        text = line.text if held is None else f"{held.text} {line.text.strip()}"
        first = held or line
        joined = LogLine(number=first.number, job=line.job, step=line.step, text=text)
        if text.endswith("\\"):
            held = LogLine(number=first.number, job=line.job, step=line.step, text=text[:-1].rstrip())
            continue
        held = None
        yield joined
    if held is not None:
        yield held


def _call(line: LogLine) -> SglangRun | None:
    match = _CALL.search(line.text)
    if match is None:
        return None
    options = _options(match["options"])
    if options.get("--hw") != "amd" or not options.get("--suite") or "$" in options["--suite"]:
        return None
    part, parts = _whole(options.get("--auto-partition-id")), _whole(options.get("--auto-partition-size"))
    if (part is None) != (parts is None):
        return None  # the script with its `${{ matrix.part }}` not filled in
    before = line.text[: match.start()]
    return SglangRun(
        line=line.number,
        job=line.job,
        suite=options["--suite"],
        part=part,
        parts=parts,
        timeout_per_file_s=_whole(options.get("--timeout-per-file")),
        nightly="--nightly" in options,
        options=tuple(name for name in options if name not in (*_VALUE, "--nightly")),
        env={found["name"]: found["value"].strip("\"'") for found in _ENV.finditer(before)},
    )


def _options(text: str) -> dict[str, str]:
    """Options with their values; one without a value has an empty one."""
    try:
        words: Sequence[str] = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word in ("&&", "||", ";", "|", ">", "2>&1"):
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            found[name] = value
            name = "" if equals else name
        elif name:
            found[name] = word
            name = ""
    return found


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text) else None


def _same(one: SglangRun, two: SglangRun) -> bool:
    return (one.suite, one.part, one.parts, one.nightly) == (two.suite, two.part, two.parts, two.nightly)


def _add(items: list[str], item: str) -> None:
    if item not in items:
        items.append(item)


def _tidy(run: SglangRun) -> None:
    """Paths as they are registered, `test/registered/...`, each once; cases under the same names."""
    run.failed = list(dict.fromkeys(_registered(name) for name in run.failed))
    run.cases = {_registered(file): cases for file, cases in run.cases.items()}
    run.unfinished = _registered(run.unfinished)


def _registered(path: str) -> str:
    """`/sglang-checkout/test/registered/x.py` and `registered/x.py` as `test/registered/x.py`."""
    for root in ("registered/", "python/sglang/jit_kernel/"):
        before, found, after = path.partition(root)
        if found and (not before or before.endswith("/")):
            return f"{'test/' if root == 'registered/' else ''}{root}{after}"
    return path
