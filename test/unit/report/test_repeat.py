"""The printed line that repeats a run: our own option reader takes it for exactly what failed, with all else as it was."""

import json
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ci.cli.options import RunOptions, read_run_options, run_parser
from ci.errors import NothingSelectedError, UsageError
from ci.execute.earlier_run import failed_part, with_failed
from ci.execute.run import _started
from ci.execute.run_folder import RunFolder, read_plan
from ci.plan.compare.replay import only_tests
from ci.plan.model import Plan
from ci.plan.request import CHANGING, SELECTING
from ci.record.event_log import line_of
from ci.record.events import Case, Event
from ci.record.fold import fold
from ci.record.model import RunRecord
from ci.record.values import CaseOutcome, PlannedTest
from ci.report.repeat import repeat, repeat_run, repeat_test
from ci.repro.find import find_run
from ci.repro.options import ReproOptions
from support.planning import catalog, mi300x, planned, registration
from support.records import attempt_events, ended, run_events, run_started

STAGE, SESSION = "stage-b-amd", "stage_b_amd"
SMALL, LARGE = "1-gpu-small", "2-gpu"
NAMES = {suite.id: suite.name for suite in catalog().suites_of(STAGE)}
FILES = {
    SMALL: ["test/registered/a.py", "test/registered/b c.py", "test/registered/shared.py"],
    LARGE: ["test/registered/shared.py", "test/registered/x.py"],
}
FACTS = mi300x([registration(file, NAMES[suite]) for suite, files in FILES.items() for file in files])
Chosen = set[tuple[str, str, tuple[str, ...]]]


def read(words: Sequence[str]) -> RunOptions:
    assert words[:4] == ["nox", "-s", SESSION, "--"] or words == ["nox", "-s", SESSION]
    return read_run_options(STAGE, "nox", tuple(words), words[4:])


def chosen(plan: Plan) -> Chosen:
    return {(suite.id, test.id, test.cases) for suite in plan.work.suites for test in suite.tests}


def failed(record: RunRecord) -> Chosen:
    """What did not pass, from the tests' own events."""
    found: Chosen = set()
    for test in record.tests:
        if test.status in ("failed", "not-run"):
            cases = [case.case for attempt in test.attempts for case in attempt.failed_cases]
            nodes = tuple(node for node in test.asked if node in [case.partition("[")[0] for case in cases])
            found.add((test.suite, test.id, nodes or test.asked))
    return found


def kept(options: RunOptions) -> dict[str, object]:
    """All that a request says but which tests it means."""
    one = options.request
    rest = replace(one, suites=(), shard=None, tests=(), failed=(), command=(), tests_source="")
    return {"request": rest, "place": options.place, "json": options.json}


@dataclass
class Ran:
    """A run in a folder of runs: its plan, how it was asked for, and its record."""

    runs: Path
    words: list[str]
    plan: Plan
    number: int = 1

    @property
    def folder(self) -> RunFolder:
        return RunFolder(path=self.runs / f"2026052{self.number}T000000Z-{STAGE}-00000000")

    def end(self, how: Callable[[str, str, tuple[str, ...]], str]) -> RunRecord:
        """Write the record; `how` says of suite, test and cases: passed, failed, not-run or the case that failed."""
        started = _started(self.plan, catalog(), {}, self.folder)
        events: list[Event] = [replace(started, time="2026-05-29T07:12:03.000Z")]
        for suite, test, cases in sorted(chosen(self.plan)):
            outcome = how(suite, test, cases)
            if outcome == "not-run":
                continue
            cases_failed = (
                () if outcome in ("passed", "failed") else (Case(case=outcome, outcome=CaseOutcome.FAILED),)
            )
            end = (
                ended("passed", "passed") if outcome == "passed" else ended("failed", "product", exit_code=1)
            )
            events += attempt_events(test, replace(end, cases=cases_failed), suite=suite)
        self.folder.path.mkdir()
        self.folder.plan.write_text(json.dumps(self.plan.to_json()))
        self.folder.events.write_bytes(b"".join(line_of(event) for event in events))
        return fold(events)

    def again(self, line: str) -> "Ran":
        """What the line means, read as a session reads it."""
        words = shlex.split(line)
        options = read(words)
        if options.plan_file:
            plan = replace(read_plan(self.runs / options.plan_file))
            plan = failed_part(catalog(), plan, options.plan_file, self.runs) if options.failed else plan
            placement = replace(plan.placement, command=tuple(words))
            return Ran(self.runs, words, replace(plan, placement=placement), self.number + 1)
        before = read(self.words)
        if not before.plan_file:
            assert kept(options) == kept(before)
        return Ran(self.runs, words, made(options, self.runs), self.number + 1)


def made(options: RunOptions, runs: Path) -> Plan:
    request = options.request
    if options.last_failed is not None:
        request = with_failed(request, options.last_failed, runs, root=Path("/tree"), checkout=False)
    return planned(catalog(), FACTS, request)


values = st.text(max_size=12) | st.sampled_from(["a\nb", "x  y", "--test=z", "'\"$(id)`!", "é", "\t", ""])
nodes = st.sampled_from([*FILES[SMALL], *FILES[LARGE], "shared.py"]).flatmap(
    lambda file: st.sampled_from([file, f"{file}::test_one", f"{file}::TestB::test_two"])
)
options_ = st.tuples(
    st.lists(st.sampled_from([SMALL, LARGE, NAMES[SMALL], NAMES[LARGE]]), max_size=2),
    st.lists(nodes, max_size=3),
    st.sampled_from(["", "1/2", "2/2"]),
    st.lists(st.tuples(st.sampled_from("AB"), values.filter(lambda text: "\0" not in text)), max_size=2),
    st.lists(
        st.sampled_from(["--fail-fast", "--json", "--jobs=2", "--hardware=mi300x", "--python=/p q/python3"]),
        unique=True,
    ),
    st.lists(values, max_size=2),
)


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """A command that names its options in any order, each in either spelling."""
    suites, tests, shard, env, more, pytest_args = draw(options_)
    pairs = [("--suite", suite) for suite in suites] + [("--test", test) for test in tests]
    pairs += [("--shard", shard)] if shard else []
    pairs += [("--env", f"{name}={value}") for name, value in env]
    groups = [[f"{name}={value}"] if draw(st.booleans()) else [name, value] for name, value in pairs]
    groups += [[word] for word in more]
    words = [word for group in draw(st.permutations(groups)) for word in group]
    words += ["--", *pytest_args] if pytest_args else []
    return ["nox", "-s", SESSION, *(["--", *words] if words else [])]


@settings(max_examples=150, deadline=None)
@given(words=commands(), data=st.data())
def test_every_printed_line_means_exactly_what_failed(words: list[str], data: st.DataObject) -> None:
    def how(suite: str, test: str, cases: tuple[str, ...]) -> str:
        failing = [f"{case}{parameter}" for case in cases for parameter in ("", "[p]")]
        return data.draw(st.sampled_from(["passed", "failed", "not-run", *failing]), label=f"{suite} {test}")

    with tempfile.TemporaryDirectory() as place:
        try:
            ran = Ran(Path(place), words, made(read(words), Path(place)))
        except (UsageError, NothingSelectedError):
            assume(False)
        for _generation in range(3):
            record = ran.end(how)
            line = repeat(record)
            assert line.isprintable()
            expected = failed(record)
            again = ran.again(line)
            assert chosen(again.plan) == (expected or chosen(ran.plan))
            for test in record.to_repeat:
                one = repeat_test(record, test)
                assert one.isprintable()
                if one:
                    assert chosen(ran.again(one).plan) == {
                        row for row in expected if row[:2] == (test.suite, test.id)
                    }
            ran = again
            if not chosen(ran.plan):
                break


def record_of(command: str, *tests: tuple[str, str], failing: Sequence[str] = ("a.py",)) -> RunRecord:
    rows = tuple(PlannedTest(suite=suite, test=test, est_s=1) for suite, test in tests)
    events: list[Event] = [replace(run_started([], command=command, session="s", run="R"), tests=rows)]
    for suite, test in tests:
        end = ended("failed", "product") if test in failing else ended("passed", "passed")
        events += attempt_events(test, end, suite=suite)
    return fold(events)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("nox -s s", "nox -s s -- --suite S --test a.py"),
        ("nox -s s -- --test a.py --test b.py", "nox -s s -- --suite S --test a.py"),
        ("nox -s s -- --suite name --shard 3/14", "nox -s s -- --suite name --test a.py"),
        ("nox -s s -- --last-failed OLD --jobs 2", "nox -s s -- --suite S --test a.py --jobs 2"),
        ("nox -s s -- --last-failed --jobs 2", "nox -s s -- --suite S --test a.py --jobs 2"),
        (
            "nox -s s -- --env 'A=b c' -- -k 'x or y'",
            "nox -s s -- --suite S --test a.py --env 'A=b c' -- -k 'x or y'",
        ),
        ("nox -s s -- --env 'A=b\nc' --keep", "nox -s s -- --plan R --failed --keep"),
        ("nox -s s -- --plan /p.json --keep", "nox -s s -- --plan R --failed --keep"),
        ("nox -s s -- --env 'cut", "nox -s s -- --suite S --test a.py"),
    ],
)
def test_the_line_is_short_and_keeps_the_other_options(command: str, line: str) -> None:
    assert repeat(record_of(command, ("S", "a.py"), ("S", "b.py"))) == line


def test_many_tests_are_named_by_their_run() -> None:
    tests = [f"t{number}.py" for number in range(6)]
    record = record_of("nox -s s -- --jobs 2", *(("S", test) for test in tests), failing=tests)
    assert repeat(record) == "nox -s s -- --last-failed R --jobs 2"
    assert repeat_test(record, record.tests[0]) == "nox -s s -- --suite S --test t0.py --jobs 2"


def test_tests_of_two_suites_are_named_by_their_run() -> None:
    record = record_of("nox -s s", ("S", "a.py"), ("T", "a.py"))
    assert repeat(record) == "nox -s s -- --last-failed R"


def test_a_run_without_failures_is_repeated_as_a_whole() -> None:
    record = record_of("nox -s s -- --shard 3/14", ("S", "b.py"))
    assert repeat(record) == "nox -s s -- --shard 3/14"
    assert repeat_run("nox -s s -- --env 'A=\n'", session="s", run="R") == "nox -s s -- --plan R"


def test_a_record_of_nothing_has_no_line() -> None:
    assert repeat(fold([])) == ""
    assert repeat(fold(run_events({"a.py": [ended("passed", "passed")]}, command=""))) == "nox -s stage_a_amd"


def test_repro_takes_a_failed_test_of_two_suites_from_the_one_in_which_it_failed(tmp_path: Path) -> None:
    words = ["nox", "-s", SESSION, "--", "--test", "shared.py"]
    ran = Ran(tmp_path, words, made(read(words), tmp_path))
    ran.end(lambda suite, _test, _cases: "failed" if suite == LARGE else "passed")
    found = find_run(ReproOptions(source=str(ran.folder.path)), catalog(), {})
    assert found.plan is not None
    part = only_tests(catalog(), found.plan, found.failed)
    assert chosen(part) == {(LARGE, "test/registered/shared.py", ())}
    assert part == failed_part(catalog(), ran.plan, ran.folder.name, tmp_path)


def test_the_options_to_leave_out_are_those_of_the_reader() -> None:
    actions = {name: action for action in run_parser("x")._actions for name in action.option_strings}
    counts = {name: {0: 0, "?": None, None: 1}[actions[name].nargs] for name in (*SELECTING, *CHANGING)}
    assert counts == {**SELECTING, **CHANGING}
