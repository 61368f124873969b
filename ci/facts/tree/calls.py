"""Commands that run tests: calls of the suite runner, and files that are given to Python or pytest."""

import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ci.facts.tree.scripts import Command
from ci.plan.tree.model import ANY, CallKind, RunnerDefaults, TestCall

__all__ = ["CHECKOUT", "EXEC_SCRIPT", "Step", "test_calls"]

CHECKOUT: Final = "/sglang-checkout"
EXEC_SCRIPT: Final = "amd_ci_exec.sh"
_RUNNER: Final = "run_suite.py"
_SUITE_RUNNER: Final = "test/run_suite.py"
_PYTHON: Final = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?|(?:.*/)?torchrun")
_PYTEST: Final = re.compile(r"(?:.*/)?py\.?test")
_TEST_FILE: Final = re.compile(r"(?:test|bench)_\w+\.py|\w+_test\.py")
_NUMBER: Final = re.compile(r"\d{1,9}")
# options of either runner, by what they say
_PART: Final = ("--auto-partition-id", "--partition-id")
_PARTS: Final = ("--auto-partition-size", "--total-partitions")
_FOLDER: Final = ("-w", "--workdir")
# options of pytest with a value in the next word
_WITH_VALUE: Final = frozenset(
    {"-k", "-m", "-n", "-p", "-o", "-c", "-W", "--timeout", "--ignore", "--deselect"}
)
_FLAGS: Final = frozenset(
    {"--nightly", "--continue-on-error", "--enable-retry", "--timeout-from-est-time", "--list"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step of a command; `sometimes` are options that it has in some runs, `workdir` the exec script's own folder."""

    name: str
    file: str
    line: int
    timeout_min: float | None
    sometimes: tuple[str, ...]
    workdir: str
    defaults: RunnerDefaults


def test_calls(command: Command, step: Step, line: int) -> Iterator[TestCall]:
    """What of a command runs tests; nothing for any other command."""
    words = list(command.words)
    programs = (n for n, word in enumerate(words) if _PYTHON.fullmatch(word) or _PYTEST.fullmatch(word))
    at = next((n for n in programs if n == 0 or words[n - 1] not in _FOLDER), None)
    if at is None:
        return
    before, rest = words[:at], words[at:]
    env, workdir = _wrapped(before)
    if not workdir and any(word.endswith(EXEC_SCRIPT) for word in before):
        workdir = step.workdir
    workdir = workdir or command.folder
    runner = next((n for n, word in enumerate(rest) if posixpath.basename(word) == _RUNNER), None)
    given = (*env, *command.env)
    if runner is not None:
        yield _suite_call(_within(workdir, rest[runner]), rest[runner + 1 :], given, step, line)
        return
    files = tuple(_files(rest, workdir))
    if files:
        yield TestCall(
            kind=CallKind.FILES,
            files=files,
            env=given,
            step=step.name,
            step_line=step.line,
            step_timeout_min=step.timeout_min,
            line=line,
            file=step.file,
        )


def _suite_call(
    runner: str, words: Sequence[str], env: tuple[tuple[str, str], ...], step: Step, line: int
) -> TestCall:
    options = tuple(_options(words))
    value = dict(options)
    parts = _number(next((value[name] for name in _PARTS if name in value), ""))
    part = _number(next((value[name] for name in _PART if name in value), ""))
    retries = "--enable-retry" in value
    limit = _number(value.get("--timeout-per-file", ""))
    defaults = step.defaults
    attempts = defaults.max_attempts.value if defaults.max_attempts is not None else 1
    return TestCall(
        kind=CallKind.SUITE if runner == _SUITE_RUNNER else CallKind.OTHER_RUNNER,
        runner=runner,
        suite=value.get("--suite", ""),
        hardware=value.get("--hw", ""),
        nightly="--nightly" in value,
        part=part if parts is not None else None,
        parts=parts,
        timeout_per_file_s=limit,
        attempts=int(_number(value.get("--max-attempts", "")) or attempts) if retries else 1,
        retry_wait_s=_given(value, "--retry-wait-seconds") if retries else None,
        retry_timeout_increase_s=_given(value, "--retry-timeout-increase") if retries else None,
        env=env,
        options=options,
        sometimes=step.sometimes,
        step=step.name,
        step_line=step.line,
        step_timeout_min=step.timeout_min,
        line=line,
        file=step.file,
    )


def _given(value: dict[str, str], name: str) -> float | None:
    number = _number(value.get(name, ""))
    return None if number is None else float(number)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.partition("=")
        if not equals and rest and name not in _FLAGS and not rest[0].startswith("--"):
            value = rest.pop(0)
        yield name, value


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _wrapped(words: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Variables by `-e` and the folder by `-w` of a command that runs another in a container."""
    env: list[tuple[str, str]] = []
    workdir = ""
    for word, following in itertools.pairwise(words):
        if word in _FOLDER:
            workdir = following
        elif word in ("-e", "--env"):
            name, _, value = following.partition("=")
            env.append((name, value))
    return tuple(env), workdir


def _files(words: Sequence[str], workdir: str) -> Iterator[str]:
    """Test files and folders that are given to pytest, or the test file that is given to Python."""
    pytest = next((n for n, word in enumerate(words) if _PYTEST.fullmatch(posixpath.basename(word))), None)
    if pytest is None:
        script = next((word for word in words[1:] if not word.startswith("-")), "")
        found = _within(workdir, script) if _TEST_FILE.fullmatch(posixpath.basename(script)) else ""
        if found and not found.startswith("scripts/"):
            yield found
        return
    value = False
    for word in words[pytest + 1 :]:
        if not value and not word.startswith("-") and (".py" in word or "/" in word):
            yield _within(workdir, word.partition("::")[0])
        value = word in _WITH_VALUE


def _within(workdir: str, path: str) -> str:
    """A path as the checkout has it; one outside the checkout stays absolute."""
    whole = posixpath.normpath(posixpath.join(workdir or CHECKOUT, path))
    if ANY in path or whole == CHECKOUT:
        return path
    return whole.removeprefix(f"{CHECKOUT}/")
