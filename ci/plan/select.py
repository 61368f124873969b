"""Which suites and tests a request means on this machine."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ci.catalog.catalog import Catalog
from ci.catalog.cpu_tests import CpuTests
from ci.catalog.hardware import CPU
from ci.catalog.registrations.parse import Discovery, Registration
from ci.catalog.registrations.test_requirements import has_case
from ci.catalog.stages import Suite
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.plan.cpu_tests import known_to_be_endless, known_to_need_gpu
from ci.plan.facts import Facts
from ci.plan.model import LeftOut, TestWork
from ci.plan.request import Request
from ci.plan.shards import Shard, longest_first, split

__all__ = [
    "Estimate",
    "Selected",
    "Selection",
    "estimates",
    "resolve_file",
    "select",
    "tests_of_suites",
    "within",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A suite and the tests of it that will run; `all_tests` are those before sharding."""

    suite: Suite
    shard: Shard | None
    tests: tuple[TestWork, ...]
    all_tests: tuple[TestWork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was selected, and what was not with its reason."""

    suites: tuple[Selected, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A test file and its estimate."""

    id: str
    est_s: float


def estimates(tests: Discovery, suite: Suite, fixed_files: Container[str]) -> tuple[Estimate, ...]:
    """The enabled tests of a suite as a stage session selects them, longest first; `fixed_files` are those that the tree has."""
    found = [
        Estimate(id=row.file, est_s=row.est_time_s)
        for row in _registered(tests, suite)
        if row.disabled is None and row.nightly == suite.nightly
    ]
    found += [Estimate(id=file, est_s=_fixed_est_s(suite)) for file in suite.files if file in fixed_files]
    return tuple(longest_first(found))


def select(
    catalog: Catalog, facts: Facts, request: Request, problems: list[Problem], *, gpus: int
) -> Selection:
    """Choose suites, then tests, then the shard, for as many GPUs as tests can have; what is invalid is added to `problems`."""
    suites = _suites(catalog, request, problems)
    if request.shard is not None and len(suites) != 1:
        counts = ", ".join(f"{suite.id} has {suite.shards}" for suite in catalog.suites_of(request.stage))
        what = f"{request.shard} needs exactly one suite, {len(suites)} are selected"
        problems.append(Problem(where="--shard", what=what, hint=f"add --suite S: {counts}"))
    wanted = _wanted(catalog, facts, request, suites, problems)
    gpu_only = _without_gpu(catalog, facts, known_to_need_gpu) if request.only_runnable else {}
    endless = {} if request.names_tests else _without_gpu(catalog, facts, known_to_be_endless)
    selected: list[Selected] = []
    left_out: list[LeftOut] = []
    notes: list[str] = []
    for suite in suites:
        because = "" if request.compared else _misfit(catalog, facts, suite, gpus)
        if because:
            left_out.append(LeftOut(suite=suite.id, test="", because=because))
            continue
        nodes = None if wanted is None else wanted[suite.id]
        tests = []
        for registration in _registered(facts.tests, suite):
            if registration.disabled is not None:
                why = registration.disabled or "no reason given"
                left_out.append(LeftOut(suite=suite.id, test=registration.file, because=f"disabled: {why}"))
            elif registration.file in gpu_only:
                why = f"--only runnable: needs a GPU: {gpu_only[registration.file]}"
                left_out.append(LeftOut(suite=suite.id, test=registration.file, because=why))
            elif registration.file in endless:
                why = f"waits without end for a GPU: {endless[registration.file]}; --test {registration.file} runs it"
                left_out.append(LeftOut(suite=suite.id, test=registration.file, because=why))
            elif registration.nightly != suite.nightly:
                kind = "nightly" if registration.nightly else "not nightly"
                notes.append(
                    f"{registration.file}:{registration.line} is registered for {suite.name} as {kind}: left out"
                )
            else:
                tests.append(_test(facts, suite, registration))
        tests += _fixed_files(facts, suite)
        shard = tests
        if request.shard is not None:
            shards = split(tests, request.shard.count, suite.split)
            shard = list(shards[request.shard.index - 1])
            problems += _in_other_shards(request, shards, nodes or {})
            if request.shard.count != suite.shards:
                notes.append(f"shard {request.shard}: {suite.id} has {suite.shards} shards in CI")
        tests, shard = _named(tests, nodes), _named(shard, nodes)
        if not tests:
            if wanted is None:
                left_out.append(
                    LeftOut(suite=suite.id, test="", because=f"no test is registered for {suite.name}")
                )
        else:
            selected.append(
                Selected(
                    suite=suite,
                    shard=request.shard,
                    tests=tuple(longest_first(shard)),
                    all_tests=tuple(longest_first(tests)),
                )
            )
    return Selection(suites=tuple(selected), left_out=tuple(left_out), notes=tuple(notes))


def _without_gpu(
    catalog: Catalog, facts: Facts, known: Callable[[CpuTests, Iterable[str]], Mapping[str, str]]
) -> Mapping[str, str]:
    """Why a test cannot run here, by its file: for SGLang's own tests, which have rows."""
    if facts.checkout is None or facts.hardware_class != CPU:
        return {}
    return known(catalog.cpu_tests, {row.file for row in facts.tests.registrations})


def _suites(catalog: Catalog, request: Request, problems: list[Problem]) -> tuple[Suite, ...]:
    suites = catalog.suites_of(request.stage)
    if not request.suites:
        return suites
    by_name = {name: suite for suite in suites for name in (suite.id, suite.name)}
    chosen: dict[str, Suite] = {}
    for name in request.suites:
        if name in by_name:
            chosen[by_name[name].id] = by_name[name]
            continue
        other = next((suite for suite in catalog.suites if name in (suite.id, suite.name)), None)
        if other is not None:
            session = catalog.stage(other.stage).session
            problems.append(
                Problem(
                    where="--suite",
                    what=f"{name!r} is of another stage",
                    hint=f"nox -s {session} -- --suite {other.id}",
                )
            )
        else:
            hint = closest(name, [suite.id for suite in suites])
            problems.append(
                Problem(where="--suite", what=f"unknown suite {name!r} in {request.stage}", hint=hint)
            )
    return tuple(suite for suite in suites if suite.id in chosen)


def _misfit(catalog: Catalog, facts: Facts, suite: Suite, gpus: int) -> str:
    """Why a suite cannot run on this hardware; empty when it can, or when it is rehearsed."""
    if facts.hardware_class == CPU:
        return ""
    family = catalog.family_of(facts.hardware_class)
    if family != suite.family:
        return f"needs {suite.family}, this machine is {facts.hardware_class} ({family})"
    if gpus < suite.gpus:
        return f"needs {suite.gpus} GPUs, this machine has {gpus}"
    return ""


def _registered(tests: Discovery, suite: Suite) -> list[Registration]:
    return [row for row in tests.registrations if row.backend == "amd" and row.suite == suite.name]


def _named(tests: Sequence[TestWork], nodes: Mapping[str, tuple[str, ...]] | None) -> list[TestWork]:
    """Those that were named, with the cases that were; all of them when no test was."""
    if nodes is None:
        return list(tests)
    return [replace(test, cases=nodes[test.id]) for test in tests if test.id in nodes]


def _in_other_shards(
    request: Request, shards: Sequence[Sequence[TestWork]], named: Container[str]
) -> Iterator[Problem]:
    """Tests that were named and are in another shard of the suite than the requested one."""
    for index, tests in enumerate(shards, start=1):
        holder = Shard(index=index, count=len(shards))
        for test in tests if holder != request.shard else ():
            if test.id in named:
                what = f"{test.id} is in shard {holder}, not in {request.shard}"
                hint = f"--shard {holder}, or leave out --shard"
                yield Problem(where=request.tests_source, what=what, hint=hint)


def _test(facts: Facts, suite: Suite, registration: Registration) -> TestWork:
    return TestWork(
        id=registration.file,
        path=registration.file,
        kind=facts.tests.kinds[registration.file],
        cases=(),
        est_s=registration.est_time_s,
        timeout_s=suite.timeout_per_file_s,
        env={},
    )


def _fixed_est_s(suite: Suite) -> float:
    return suite.timeout_s / len(suite.files) / 2


def _fixed_files(facts: Facts, suite: Suite) -> list[TestWork]:
    """Tests of a job that runs fixed files: no estimate is registered, so each gets an even share of the step."""
    return [
        TestWork(
            id=file,
            path=file,
            kind="pytest",
            cases=(),
            est_s=_fixed_est_s(suite),
            timeout_s=suite.timeout_per_file_s,
            env={},
        )
        for file in suite.files
        if file in facts.fixed_files
    ]


def _wanted(
    catalog: Catalog, facts: Facts, request: Request, suites: Sequence[Suite], problems: list[Problem]
) -> dict[str, dict[str, tuple[str, ...]]] | None:
    """By suite: node ids by file, none for the whole file. None when no test was named."""
    files = {
        suite.id: {row.file for row in _registered(facts.tests, suite)} | set(suite.files) for suite in suites
    }
    if request.failed:
        found = {}
        for suite, here in files.items():
            nodes = [node for of, node in request.failed if of == suite]
            found[suite] = _by_file(catalog, facts, request, nodes, here, problems)
        return found
    if request.tests:
        here = set().union(*files.values())
        named = _by_file(catalog, facts, request, request.tests, here, problems)
        return dict.fromkeys(files, named)
    return None


def _by_file(
    catalog: Catalog,
    facts: Facts,
    request: Request,
    nodes: Sequence[str],
    here: set[str],
    problems: list[Problem],
) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, list[str]] = {}
    for node in nodes:
        name, _, case = node.partition("::")
        file = resolve_file(name, here)
        if file is None:
            problems.append(_unknown_test(catalog, facts, request, name, here))
            continue
        if case and (problem := _wrong_case(facts, request, file, case)) is not None:
            problems.append(problem)
        cases = wanted.setdefault(file, [])
        if case and f"{file}::{case}" not in cases:
            cases.append(f"{file}::{case}")
    whole = {node.partition("::")[0] for node in nodes if "::" not in node}
    return {
        file: () if any(resolve_file(name, {file}) for name in whole) else tuple(cases)
        for file, cases in wanted.items()
    }


def _wrong_case(facts: Facts, request: Request, file: str, case: str) -> Problem | None:
    """A case that the file cannot hold, by its source; parameters are found out when pytest collects them."""
    known = facts.tests.cases.get(file, ())
    if facts.tests.kinds.get(file) == "script":
        what = f"{file} is run as a program and has no case {case!r}"
        return Problem(where=request.tests_source, what=what, hint=f"--test {file}")
    if not known or has_case(known, case):
        return None
    names = [name for name in known if "*" not in name]
    plain = case.partition("[")[0]
    return Problem(
        where=request.tests_source, what=f"{file} has no case {case!r}", hint=closest(plain, names)
    )


def tests_of_suites(
    catalog: Catalog, facts: Facts, suites: Iterable[Suite]
) -> Mapping[str, tuple[TestWork, ...]]:
    """The enabled tests of each suite's stage, as a stage session selects them, by the suite's name."""
    found: dict[str, tuple[TestWork, ...]] = {}
    for stage in dict.fromkeys(suite.stage for suite in suites):
        selection = select(catalog, facts, Request(stage=stage, compared=True), [], gpus=0)
        found |= {one.suite.name: one.all_tests for one in selection.suites}
    return found


def resolve_file(name: str, known: set[str]) -> str | None:
    """A file by its path, or by a tail of its path that only one file has."""
    clean = name.removeprefix("./").rstrip("/")
    if clean in known:
        return clean
    matches = [file for file in known if clean and file.endswith("/" + clean)]
    return matches[0] if len(matches) == 1 else None


def _unknown_test(catalog: Catalog, facts: Facts, request: Request, name: str, here: set[str]) -> Problem:
    elsewhere = sorted(
        {
            (catalog.stage(suite.stage).session, suite.id)
            for suite in catalog.suites
            for row in _registered(facts.tests, suite)
            if resolve_file(name, {row.file})
        }
    )
    if elsewhere:
        session, suite_id = elsewhere[0]
        hint = f"it is registered there: nox -s {session} -- --suite {suite_id} --test {name}"
    else:
        hint = closest(name, here)
    where = request.tests_source
    return Problem(where=where, what=f"no test {name!r} is registered for what is selected", hint=hint)


def within(test: TestWork, limit_s: float, env: Mapping[str, str]) -> TestWork:
    """The test with its own limit cut to its suite's, and with its own part of the environment."""
    return replace(test, timeout_s=min(test.timeout_s, limit_s), env=env)
