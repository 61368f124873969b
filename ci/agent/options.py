"""Arguments for pytest, tried out before the first test: what its parser, its plugins and a folder's conftest.py do not know."""

import contextlib
import io
import os
from types import ModuleType
from typing import TYPE_CHECKING

from .spec import Spec, Test

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_options", "try_options"]

# values of pytest's and its plugins' options with which no case is run, or not in the process that reports it
_RUN_NOTHING = {
    "collectonly": "--collect-only",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "showfixtures": "--fixtures",
    "show_fixtures_per_test": "--fixtures-per-test",
    "markers": "--markers",
    "help": "--help",
    "version": "--version",
    "usepdb": "--pdb",
    "trace": "--trace",
    "numprocesses": "-n",
    "looponfail": "--looponfail",
    "reruns": "--reruns",
}


class _Probe:
    """A pytest plugin that looks at the options as they were understood, and ends pytest before it does anything."""

    def __init__(self, library: ModuleType) -> None:
        self.parsed = False
        self.problems: list[str] = []
        library.hookimpl(tryfirst=True)(type(self).pytest_cmdline_main)

    def pytest_cmdline_main(self, config: "pytest.Config") -> int:
        self.parsed = True
        options = vars(config.option)
        for name, option in _RUN_NOTHING.items():
            if options.get(name):
                self.problems.append(f"{option}: no case would be run, or not by this run")
        for word in options.get("file_or_dir") or ():
            self.problems.append(f"{word}: tests are named by --test, before the second --")
        marks = config.pluginmanager.get_plugin("mark")
        if marks is not None:  # an invalid expression of -k or -m is found with the first test otherwise
            marks.pytest_collection_modifyitems(items=[], config=config)
        return 0


def pytest_options(spec: Spec) -> list[str]:
    """What pytest is given before the tests.

    No configuration file: one above the tree, or this repository's strict one, would change what runs.
    """
    return [
        *("-c", os.devnull, f"--rootdir={spec.root}", f"--confcutdir={spec.root}"),
        *("-p", "no:cacheprovider", "--capture=no", "--color=no", "-q", *spec.pytest_args),
    ]


def try_options(spec: Spec, test: Test, library: ModuleType) -> list[str]:
    """What is wrong with the arguments for this test's folder. In a process of its own, where the test would run."""
    probe, said = _Probe(library), io.StringIO()
    # as for a test, whose folder's conftest.py may define options
    folder = str((spec.root / test.path).parent)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            library.main([*pytest_options(spec), f"--confcutdir={spec.root}", folder], plugins=[probe])
    except Exception as error:  # noqa: BLE001 - a plugin that cannot be imported
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    problems = [each for each in probe.problems if not each.startswith(f"{folder}: ")]
    words = [
        line.removeprefix("ERROR: ").rpartition("error: ")[2]
        for line in said.getvalue().splitlines()
        if line.startswith("ERROR: ") or ": error: " in line
    ]
    # a conftest.py that cannot be imported fails its tests, which say so
    return [*problems, *(word for word in words if not word.startswith("usage: "))]
