"""Arguments for pytest that a stage cannot honour: refused before anything is run, each with what to use instead.

Here are those that are known by their name. What the engine's own pytest and its plugins do not know the agent finds out, once,
before the first test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci.errors import Problem

__all__ = ["check_pytest_args"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    what: str
    hint: str


_RUNS_NOTHING = _Refusal(what="runs no test", hint="leave it out; --list shows the tests of a stage")
_IN_PARALLEL = _Refusal(
    what="would run cases in processes of its own", hint="--jobs N runs N test files at a time"
)
_FOR_A_PERSON = _Refusal(
    what="waits for a person, and tests have no terminal", hint="leave it out; a failure has its traceback"
)
_NEEDS_CACHE = _Refusal(
    what="needs pytest's cache, which is off", hint="--last-failed, before the second --, is ours"
)
_IS_PLANNED = _Refusal(what="is set by the plan", hint="leave it out")
_RETRIES = _Refusal(what="would hide a flaky test", hint="attempts of a suite are in ci/catalog/stages.toml")
_PUBLISHES = _Refusal(what="sends the output to a public page", hint="the log is in the run folder")

_REFUSED: Mapping[str, _Refusal] = {
    **dict.fromkeys(
        (
            *(
                "--collect-only",
                "--collectonly",
                "--co",
                "--setup-only",
                "--setuponly",
                "--setup-plan",
                "--setupplan",
            ),
            *(
                "--fixtures",
                "--funcargs",
                "--fixtures-per-test",
                "--markers",
                "--help",
                "-h",
                "--version",
                "-V",
            ),
            "--cache-show",
        ),
        _RUNS_NOTHING,
    ),
    **dict.fromkeys(
        ("-n", "--numprocesses", "--dist", "--tx", "-d", "-f", "--looponfail", "--forked"), _IN_PARALLEL
    ),
    **dict.fromkeys(("--pdb", "--pdbcls", "--trace"), _FOR_A_PERSON),
    **dict.fromkeys(
        (
            *("--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first"),
            *("--lfnf", "--last-failed-no-failures", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip"),
            *("--sw-reset", "--stepwise-reset", "--cache-clear"),
        ),
        _NEEDS_CACHE,
    ),
    **dict.fromkeys(("-c", "--config-file", "--rootdir", "--confcutdir"), _IS_PLANNED),
    **dict.fromkeys(("--reruns", "--force-flaky", "--flake-finder"), _RETRIES),
    "--pastebin": _PUBLISHES,
}


def check_pytest_args(arguments: Sequence[str], problems: list[Problem]) -> None:
    """Arguments that cannot be honoured are added to `problems`."""
    for word in arguments:
        # `-n4` and `-n=4` are `-n 4`; `--reruns=2` has its value behind the sign
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        refusal = _REFUSED.get(name)
        if refusal is not None:
            problems.append(Problem(where=f"-- {word}", what=refusal.what, hint=refusal.hint))
