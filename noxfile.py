# /// script
# requires-python = ">=3.11"
# ///
"""SGLang's CI on AMD GPUs: a session per stage, the same on a laptop, on an MI300X, in a container and in Actions.

nox -s stage_a_amd                                             a whole stage (without a GPU: a rehearsal)
nox -s stage_b_amd -- --suite 1-gpu-small --shard 3/14         one shard of one of its suites
nox -s stage_b_amd -- --suite 1-gpu-small --list               its tests; `--dry-run` prints the plan and stops
nox --usage "stage_b_amd(1-gpu-small)"                         help of a session
"""

# Python 3.8 must be able to parse this file: `uvx nox` takes the first Python on the PATH, and below 3.10 an
# older Nox that does not read the block above. No newer syntax before this check.
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - see above
    sys.stderr.write(
        f"error (exit 4): this project needs Python 3.11 or newer, and Nox was started on {sys.version.split()[0]}\n"
        f"  cause: the first Python on the PATH is older ({sys.executable})\n"
        "  next:  uvx --python 3.11 nox ...\n"
    )
    raise SystemExit(4)

import atexit
import functools
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import nox
import nox.command

# Not `nox.needs_version`: Nox reads that before it runs this file, and would ask for an upgrade that an old
# Python cannot have. 2026.8.10 is the first that honours `requires-python` and reports how a command ended.
if tuple(int(part) for part in metadata.version("nox").split(".")[:3]) < (2026, 8, 10):
    sys.stderr.write(
        f"error (exit 4): this project needs Nox 2026.8.10 or newer, and this is {metadata.version('nox')}\n"
        "  next:  uvx nox@latest ..., or: pip install --upgrade nox\n"
    )
    raise SystemExit(4)

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:  # the console script `nox` does not put it there
    sys.path.insert(0, str(ROOT))

# What a listing does not need is imported where it is used: `nox -l` must stay under 0.2 s, of which Nox itself
# takes 0.16 s.
from ci.catalog.menu import MenuRow, menu  # noqa: E402 - needs the path
from ci.errors import CiError, InfrastructureError, StaleError, UsageError  # noqa: E402
from ci.nox.exit_codes import (  # noqa: E402
    PYTEST_CODES,
    UNSET,
    Codes,
    files_with_mark,
    leave,
    meaning,
    original_path,
    quiet_nox,
    suite_arguments,
    targets,
    targets_among,
    unknown_sessions,
)
from ci.system.environ import exports_telemetry  # noqa: E402
from ci.system.inert import guard_output  # noqa: E402
from ci.system.output import outlive_readers  # noqa: E402
from ci.system.signals import die_with_parent, parent_command, stop_once  # noqa: E402

# Nox itself prints each command line: a value in it must not be a workflow command.
outlive_readers()
guard_output(os.environ)

REQUIREMENTS = ROOT / "requirements"

# The dependency groups of each kind of environment. A stage has the rehearsal's engine and weights on a GPU
# machine too: the plan decides whether it is a rehearsal, and planning already needs the environment.
HOST = ("run",)
STAGE = ("run", "rehearsal", "model")
TELEMETRY = ("telemetry",)
FLEET = ("run", "fleet")
TEST = (*STAGE, *TELEMETRY, "tasks", "test", "fleet")
PAGES = (*TEST, "pages")
LINT = (*FLEET, *TELEMETRY, "tasks", "test", "pages", "lint")
DEV = (*TEST, "pages", "lint")
SITE = ("docs",)
IN_CONTAINER = ("container", "container-test", "rehearsal", "model")

OUR_PYTHONS = ("3.11", "3.12", "3.13")
MEASURED_PYTHON = "3.13"  # not the one of `tests`: whoever runs both runs nothing twice
CONTAINER_PYTHON = "3.10"  # of the ROCm 7.2 image

PEER_SGLANG = "0.5.10.post1"  # the peer of `bench`: a release that ships its collector

# one test process more than cores: tests wait for children, containers and deadlines
AT_ONCE = ("-n", str((os.cpu_count() or 1) + 1), "-p", "ci.system.signals")
# those that measure time run afterwards, alone
PARTS = (("-m", "not alone", *AT_ONCE, "--dist", "loadgroup"), ("-m", "alone"))
UNIT_TESTS = "test/unit"
REAL_SGLANG_TESTS = "test/real_sglang"
PAGE_TESTS = "test/pages"
PICTURES_OF_RUNS = ("test/bench/report_picture.py", "test/bench/container_picture.py")
PICTURE_OF_ROOMS = ("-m", "support.rooms_picture")
DOCS_SITE = ("-m", "support.docs_site")
SMALLEST_REHEARSAL = "test/integration/test_smallest_rehearsal.py"

# How long Nox waits after a signal before it sends SIGTERM to the child, and then before it kills it. The child has
# got no SIGINT from Nox, so the first is short; `ci` needs up to 7 s to clean up.
INTERRUPT_TIMEOUT_S = 0.3
TERMINATE_TIMEOUT_S = 8

# What a child gets beside our own variables: the PATH as it was before uv and Nox put theirs first.
CHILD_ENV: Mapping[str, str | None] = {
    "PATH": original_path(os.environ.get("PATH", os.defpath)),
    **dict.fromkeys(UNSET),
}

ANY = range(256)  # exit codes

CODES = Codes()
NAMES: list[str] = []

Function = Callable[..., None]


# --- how a session starts, runs a command and ends ----------------------------------------------------------


def register(
    *, default: bool = False, name: str = "", tags: Sequence[str] = (), pythons: Sequence[str] = ()
) -> Callable[[Function], None]:
    """Register a session that makes its own environment and whose failures are all noted in `CODES`.

    With `pythons` there is one for each, `NAME(3.12)`, which gets it as `version`; `NAME` alone chooses all of them.
    """

    def add(function: Function) -> None:
        @functools.wraps(function)
        def guarded(session: nox.Session, **version: str) -> None:
            with CODES.session():
                try:
                    function(session, **version)
                except CiError as error:
                    complain(error)
                    session.error(error.what)

        own = name or function.__name__
        NAMES.extend((own, *(f"{own}({version})" for version in pythons)))
        if pythons:  # Nox's own `python` is for environments that Nox makes
            nox.parametrize("version", [nox.param(version, id=version) for version in pythons])(guarded)
        nox.session(name=own, default=default, tags=tags, venv_backend="none")(guarded)

    return add


def complain(error: CiError) -> None:
    """Show an error and note its exit code."""
    sys.stderr.write(error.render() + "\n")
    CODES.note(error.exit_code)


def attempt(
    session: nox.Session, *command: str | Path, codes: Mapping[int, int] | None = None, log: bool = True
) -> int:
    """Run a command and note its exit code, which is returned as a code of our table; `log`: Nox shows the command."""
    code = 0
    try:
        session.run(
            *command,
            env=CHILD_ENV,
            external=True,
            log=log,
            stderr=None,  # Nox would mix it into standard output, and `--json` would not be JSON
            interrupt_timeout=INTERRUPT_TIMEOUT_S,
            terminate_timeout=TERMINATE_TIMEOUT_S,
        )
    except nox.command.CommandFailed as error:
        code = CODES.note(error.return_code, codes)
    if CODES.interrupted:  # a child that cleans up and ends with 0 must not let the next command start
        raise KeyboardInterrupt
    return code


def run(
    session: nox.Session, *command: str | Path, codes: Mapping[int, int] | None = None, log: bool = True
) -> None:
    """Run a command; its failure ends the session."""
    code = attempt(session, *command, codes=codes, log=log)
    if code:
        session.error(meaning(code))


def ci(session: nox.Session, groups: tuple[str, ...], *arguments: str) -> None:
    """Run `python -m ci` in the environment of these dependency groups; it says by itself what it does and why it fails."""
    run(session, made(session, *groups), "-m", "ci", *arguments, log=False)


def pytest(
    python: Path, *arguments: str | Path, module: Sequence[str] = ("pytest",)
) -> tuple[str | Path, ...]:
    """A command line of pytest that ends with Nox and handles SIGTERM like Ctrl-C; `module` may measure it.

    Our own tests are the same in the next run: pytest's rewriting of their asserts, 7 s in each process, is kept.
    """
    keeps_bytecode = ("/usr/bin/env", "-u", "PYTHONDONTWRITEBYTECODE")  # also where the PATH has none
    return (*keeps_bytecode, python, "-m", "ci.system.signals", *module, *arguments)


def made(session: nox.Session, *groups: str, python: str = "") -> Path:
    """The Python of an environment with these dependency groups, which is made on first use.

    Raises:
        InfrastructureError: uv or this Python is missing, uv failed, or the folder cannot be written.
    """
    from ci.nox.environments import environment, find_python, find_uv, pin_files, prepare, running  # noqa: PLC0415

    try:
        folder = session.cache_dir.parent
    except OSError as error:
        raise InfrastructureError(
            f"cannot create the folder of the environments: {error.strerror}: {error.filename}",
            cause="the checkout is read-only or belongs to another user",
            then=f"name a writable folder: nox --envdir FOLDER -s {session.name} ...",
        ) from error
    interpreter = running()
    if python:
        interpreter = find_python(
            python,
            uv=find_uv(os.environ),
            environ=os.environ,
            output=lambda command: output(session, command),
        )
    wanted = environment(folder, interpreter, pin_files(REQUIREMENTS, groups))
    if wanted.is_ready():
        wanted.note_use()
        return wanted.python
    session.log(f"making environment {wanted}, once")
    started_s = time.monotonic()
    prepare(wanted, uv=find_uv(os.environ), run=lambda command: install(session, command), log=session.log)
    session.log(f"environment {wanted.folder.name}: ready after {time.monotonic() - started_s:.1f} s")
    return wanted.python


def install(session: nox.Session, command: Sequence[str]) -> None:
    """Run a uv command, also with `--install-only`."""
    from ci.nox.environments import uv_failed  # noqa: PLC0415

    try:
        session.run_install(
            *command,
            env=CHILD_ENV,
            external=True,
            stderr=None,
            interrupt_timeout=INTERRUPT_TIMEOUT_S,
            terminate_timeout=TERMINATE_TIMEOUT_S,
        )
    except nox.command.CommandFailed as error:
        raise uv_failed(error.return_code, then=f"fix that, then again: nox -s {session.name}") from error
    if CODES.interrupted:
        raise KeyboardInterrupt


def output(session: nox.Session, command: Sequence[str]) -> str:
    """A command's standard output; empty when it fails."""
    try:
        printed = session.run_install(
            *command,
            env=CHILD_ENV,
            external=True,
            silent=True,
            log=False,
            stderr=subprocess.DEVNULL,
            success_codes=ANY,
        )
    except nox.command.CommandFailed:
        return ""
    return printed if isinstance(printed, str) else ""


# --- the stages ---------------------------------------------------------------------------------------------


def stage_groups(session: nox.Session) -> tuple[str, ...]:
    """What a stage needs, and what sends its spans if the user wants that and it can be had: it never costs a run."""
    if not exports_telemetry(os.environ):
        return STAGE
    try:
        made(session, *STAGE, *TELEMETRY)
    except InfrastructureError as error:
        session.log(f"the run will not be sent to OpenTelemetry: {error.what}")
        return STAGE
    return (*STAGE, *TELEMETRY)


def stage(row: MenuRow) -> None:
    """Register a stage, or one suite of it."""

    def function(session: nox.Session) -> None:
        ci(session, stage_groups(session), "run", row.stage_id, *suite_arguments(row.suite, session.posargs))

    function.__doc__ = f"{row.title}\n\n{row.description}"
    register(name=row.name, tags=row.tags)(function)


# One by one: `nox.parametrize` would start a process per suite with the same options, and give all suites one
# description.
try:
    for each in menu():
        stage(each)
except CiError as broken:
    sys.stderr.write(broken.render() + "\n")
    raise SystemExit(int(broken.exit_code)) from broken


# --- what computes and checks -------------------------------------------------------------------------------


@register()
def plan(session: nox.Session) -> None:
    """Show what a stage would do, and the source of each value: `-- STAGE [options]` or `-- --diff A B`.

    A and B are plan.json files or run folders; differences are shown field by field. `-- --compare
    mi300x,mi325x STAGE [options]` shows only what differs between hardware classes.
    """
    # a rehearsal's plan names the engine's version, so it needs the same environment as the stage
    groups = HOST if session.posargs[:1] in ([], ["--diff"]) else STAGE
    ci(session, groups, "plan", *session.posargs)


@register()
def envs(session: nox.Session) -> None:
    """Show sets of environment variables: `-- show`, `-- diff`, `-- explain`."""
    ci(session, HOST, "envs", *session.posargs)


@register(default=True, tags=("quick",))
def check(session: nox.Session) -> None:
    """Check catalog, environment sets, quarantine, pins, workflows and reference, and report every problem at once.

    `-- --checkout PATH` checks the registered tests and the workflows of an SGLang tree.
    """
    python = made(session, *HOST)
    code = attempt(session, python, "-m", "ci", "check", *session.posargs)
    if not session.posargs:
        code = code or attempt(session, python, "-m", "ci", "docs", "--check")
    check_pins()
    if code:
        session.error(meaning(code))


@register()
def contract(session: nox.Session) -> None:
    """Compare variables and server arguments with what an SGLang reads and accepts: `-- --sglang VERSION | --checkout PATH`.

    With `--python PATH`, an interpreter that can import it, its own parser is asked; else its source is read. A row of
    ours that does not fit is exit 1, readers in the tree that do not agree on a value exit 10.
    """
    ci(session, HOST, "contract", *session.posargs)


@register()
def tree(session: nox.Session) -> None:
    """Show what an SGLang tree says of its own CI: `-- --checkout PATH [--against catalog [--write]] [--json]`.

    Registrars, suites, folders and limits of its runner, and every AMD job of its workflows, each with its file and line.
    With `--against catalog` it shows what our rows say otherwise; `--write` writes the tree's values into them, `--new` adds
    a row for each suite that only the tree has.
    """
    ci(session, HOST, "tree", *session.posargs)


@register()
def amd_coverage(session: nox.Session) -> None:
    """List an SGLang tree's tests that run for CUDA and not for AMD, the likeliest to run there first: `-- --checkout PATH`.

    Each with its reasons, an AMD suite, est_time and the line to add. `--backtest LATER_TREE` judges the list by what a
    later tree enables for AMD.
    """
    ci(session, HOST, "amd_coverage", *session.posargs)


@register()
def ci_plan(session: nox.Session) -> None:
    """Show the jobs that CI would start for a change: `-- --base REF --why`. In Actions the event gives the rest.

    `-- --event schedule` plans a full run, `-- --shadow` shows what the rules would leave out, `-- --verdict` judges
    the jobs of a run that has ended.
    """
    ci(session, HOST, "ci_plan", *session.posargs)


@register(tags=("quick",))
def parity(session: nox.Session) -> None:
    """Compare every job in Actions with the same command on a machine with its hardware; a difference is exit 1."""
    ci(session, STAGE, "parity", *session.posargs)


@register(tags=("quick",))
def shards(session: nox.Session) -> None:
    """Show how evenly each suite is split, what blocks it, and how many shards are enough: `-- [--checkout PATH] [--deadline MIN]`.

    By the estimates of our tests, or of an SGLang tree's: longest shard, lower bound, gap, the shards that would take as long, the
    file to split by case, and the fewest shards for a deadline.
    """
    ci(session, HOST, "shards", *session.posargs)


@register()
def fleet(session: nox.Session) -> None:
    """Simulate a fleet of machines and a day's changes: `-- [--checkout PATH] [--gpus POOL=N] [--per-day ARRIVAL=N]`.

    Queue wait, time to green and red, GPU hours, utilisation, and what stage gates, fail-fast, selection and shard counts cost.
    `--compare A B` takes two folders of rows; `--target MIN [--budget GPU_HOURS]` looks for shards and routing; `--output FILE` is
    a page with plots.
    """
    ci(session, FLEET, "fleet", *session.posargs)


@register()
def report(session: nox.Session) -> None:
    """Merge the runs of a workflow into one page, one JUnit file and one summary: `-- RUN|ZIP|URL ... [--output DIR]`.

    Sources are run folders, folders of them, artifacts as zip archives, and the address of a run of Actions. It shows how even the
    shards were, and names runs that are missing, given twice or of another plan; 0 when all are there, whatever their tests
    ended with.
    """
    ci(session, HOST, "report", *session.posargs)


@register(default=True, tags=("quick",))
def lint(session: nox.Session) -> None:
    """Run ruff and mypy on all code and tests, three linters on the workflows, and compare the picture of the rooms."""
    python = made(session, *LINT)
    tools = python.parent
    codes = [
        attempt(session, python, "-m", "ruff", "check", "."),
        attempt(session, python, "-m", "ruff", "format", "--check", "."),
        attempt(session, python, "-m", "mypy", "ci", "test", "tasks.py", "noxfile.py", "inv"),
        attempt(session, tools / "actionlint"),
        attempt(session, tools / "zizmor", "--offline", "--persona", "auditor", "."),
        attempt(
            session,
            *(tools / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
            *sorted(Path(".github/workflows").glob("*.yml")),
        ),
    ]
    with session.chdir("test"):
        codes.append(attempt(session, python, *PICTURE_OF_ROOMS, "--check"))
    if any(codes):
        session.error("see above")


# --- this repository's own tests ----------------------------------------------------------------------------


@register(default=True)
def tests(session: nox.Session) -> None:
    """Run the unit tests and the smallest rehearsal on this Python; what follows `--` goes to pytest.

    The whole runs in several processes; with words after `--` in one, so that `--pdb` and `-s` work.
    """
    python = made(session, *TEST)
    arguments = targets(session.posargs, (SMALLEST_REHEARSAL, UNIT_TESTS), ROOT)
    several = () if session.posargs else AT_ONCE
    run(session, *pytest(python, *several, *arguments), codes=PYTEST_CODES)


@register(pythons=(*OUR_PYTHONS, CONTAINER_PYTHON))
def tests_all(session: nox.Session, version: str) -> None:
    """Run the unit tests on every supported Python, and what runs in containers also on Python 3.10.

    `nox -s "tests_all(3.13)"` is one of them. On 3.13, with the smallest rehearsal, branch coverage is measured and shown by room.
    A Python that is not available fails its own session; the others are tested.
    """
    from ci.nox.coverage import measured, start, table, to_json  # noqa: PLC0415 - as above

    if version == CONTAINER_PYTHON:
        tests_in_container(session)
        return
    several = () if session.posargs else AT_ONCE
    if version != MEASURED_PYTHON:
        words = targets(session.posargs, (UNIT_TESTS,), ROOT)
        python = made(session, *TEST, python=version)
        run(session, *pytest(python, *several, *words), codes=PYTEST_CODES)
        return
    words = targets(session.posargs, (SMALLEST_REHEARSAL, UNIT_TESTS), ROOT)
    python = made(session, *TEST, python=version)
    data = session.cache_dir.parent / "coverage"
    start(data)
    module = ("coverage", *measured(ROOT, data, "pytest"))
    code = attempt(session, *pytest(python, *several, *words, module=module), codes=PYTEST_CODES)
    for arguments in to_json(data):
        run(session, python, "-m", "coverage", *arguments)
    sys.stdout.write(table(data))
    if code:
        session.error(meaning(code))


def tests_in_container(session: nox.Session) -> None:
    """Run what runs in containers on the Python of their image."""
    marked = tuple(str(file) for file in files_with_mark("in_container", Path("test")))
    if not marked:
        raise UsageError("no file below test/ marks its tests as in_container")
    words = targets_among(marked, session.posargs, ROOT)
    if not words:
        session.log(f"Python {CONTAINER_PYTHON}: none of these tests is for what runs in containers")
        return
    python = made(session, *IN_CONTAINER, python=CONTAINER_PYTHON)
    # of the tests that the user chose, the container's Python may have none
    codes = {**PYTEST_CODES, 5: 0} if session.posargs else PYTEST_CODES
    several = () if session.posargs else AT_ONCE
    # without conftest.py, which is for our own Pythons and needs more than pytest
    options = ("-m", "in_container", "--noconftest")
    run(session, *pytest(python, *several, *options, *words), codes=codes)


@register()
def integration(session: nox.Session) -> None:
    """Run the tests that use a real engine and the real Nox. Needs root and Debian packages, see `.ci/run`."""
    as_root(session, "test/integration", *PARTS)


@register()
def faults(session: nox.Session) -> None:
    """Run the tests that break things on purpose. Needs root and Debian packages, see `.ci/run`."""
    as_root(session, "test/faults", *PARTS)


@register()
def slurm(session: nox.Session) -> None:
    """Run the tests on a real Slurm, which they start and end. Needs root and Debian packages, see `.ci/run`."""
    # they mostly wait; each process has a cluster of its own
    as_root(session, "test/slurm", ("-n", "4", "-p", "ci.system.signals"))


@register()
def pages(session: nox.Session) -> None:
    """Run the tests of report.html in a real browser; needs Debian's chromium, see `.ci/run`.

    `-- --picture` draws the pictures of runs in docs/images anew: of one that fails in many ways, and, as root, of one in a container.
    """
    python = made(session, *PAGES)
    if session.posargs == ["--picture"]:
        for script in PICTURES_OF_RUNS:
            run(session, python, script)
        return
    words = targets(session.posargs, (PAGE_TESTS,), ROOT)
    run(session, *pytest(python, "--durations=10", "--durations-min=3", *words), codes=PYTEST_CODES)


@register()
def sglang(session: nox.Session) -> None:
    """Run the tests on the real SGLang on this CPU: its environment is made first (5 GB), some minutes in all."""
    python = made(session, *TEST)
    words = targets(session.posargs, (REAL_SGLANG_TESTS,), ROOT)
    run(session, *pytest(python, "--durations=10", "--durations-min=3", *words), codes=PYTEST_CODES)


def as_root(session: nox.Session, folder: str, *parts: Sequence[str]) -> None:
    """Run tests that need namespaces, mounts and daemons: a pytest for each part, with its options; words after `--` in one.

    Raises:
        InfrastructureError: not root.
    """
    if os.geteuid() != 0:
        raise InfrastructureError(
            f"{session.name} needs root",
            cause="its tests start daemons, cut the network and mount folders read-only",
            then=f"sudo -E nox -s {session.name}, in a container or on a machine of your own",
        )
    python = made(session, *TEST)
    made(session, *HOST)
    made(session, *STAGE)  # sessions that the tests start use ours, and have no index to make them from
    # what the tests start, in copies of this folder too, has PYTHONDONTWRITEBYTECODE and would compile it each time
    run(session, python, "-m", "compileall", "-q", "ci", "test/harness", "test/support")
    words = targets(session.posargs, (folder,), ROOT)
    # these tests have a budget: name the slowest
    slowest = ("--durations=25", "--durations-min=3")
    codes = [
        attempt(session, *pytest(python, *slowest, *options, *words), codes=PYTEST_CODES)
        for options in (((),) if session.posargs else parts)
    ]
    if any(codes):
        session.error("see above")


@register()
def dev(session: nox.Session) -> None:
    """Make an environment for an editor, with everything that tests and linters need, at a stable path."""
    from ci.nox.environments import link_dev  # noqa: PLC0415

    link = link_dev(made(session, *DEV).parent.parent)
    python = link / "bin/python"
    sys.stdout.write(
        f"environment:  {link}, which `nox -s dev` moves to the next one when pins change\n"
        f'VS Code:      "python.defaultInterpreterPath": "{python}"\n'
        f"PyCharm:      Add Interpreter, Select existing: {python}\n"
        f"one test:     {python} -m pytest test/unit/nox/test_pins.py -k stale\n"
        f"linters:      {link}/bin/ruff check . ; {link}/bin/mypy ci test tasks.py noxfile.py inv\n"
    )


@register()
def bench(session: nox.Session) -> None:
    """Compare with named peers: `-- discovery`, `-- image`, or both. `-- verdicts`, `-- triage`, `-- mutants` measure judge, reader, tests.

    `discovery` is compared with SGLang's own collector. `image`, resolving and starting a container, with the plain
    docker commands; it needs root and Debian packages, see `.ci/run`. `mutants` changes 30 covered lines one by one and
    exits with 1 when fewer than 27 of them fail a test of their own room: `-- mutants [--seed N] [--room ROOM]`. `verdicts`
    judges a folder of labelled logs and exits with 1 when a product failure is excused or too much infrastructure is blamed
    on the product: `-- verdicts [FOLDER] [--json] [--matrices]`, see docs/verdict-corpus.md. `triage` reads a made-up log of 60 MB.
    `time_left RUN...` replays saved runs and compares the time left that a terminal showed with what was left.
    `slots` runs tests on 1, 2 and 4 slots, against static shards and pytest-xdist: `-- slots [--slots 1,2,4] [--seconds S]`. `--nodes 2`
    does so on nodes of the Slurm test cluster; it needs root and Debian packages, see `.ci/run`.
    """
    if session.posargs[:1] in (["mutants"], ["slots"], ["verdicts"], ["triage"], ["time_left"]):
        name, *options = session.posargs
        run(session, made(session, *TEST), f"test/bench/{name}.py", *options)
        return
    words = session.posargs or (("discovery", "image") if os.geteuid() == 0 else ("discovery",))
    if set(words) - {"discovery", "image"}:
        raise UsageError(
            f"unknown bench {' '.join(words)}",
            then="nox -s bench -- discovery, image, mutants, slots, time_left, triage or verdicts",
        )
    if not session.posargs and "image" not in words:
        session.log("skipping image: it needs root")
    python = made(session, *TEST)
    if "discovery" in words:
        bench_discovery(session, python)
    if "image" in words:
        run(session, python, "test/bench/image.py")


def bench_discovery(session: nox.Session, python: Path) -> None:
    """Install the peer, then compare."""
    from ci.nox.environments import find_uv  # noqa: PLC0415 - as above

    peer = session.cache_dir.parent / f"peer-sglang-{PEER_SGLANG}"
    collector = peer / "sglang/test/ci/ci_register.py"
    if not collector.is_file():
        uv = find_uv(os.environ)
        package = f"sglang=={PEER_SGLANG}"
        install(
            session,
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--python",
                str(python),
                "--target",
                str(peer),
                package,
            ],
        )
    run(session, python, "test/bench/discovery.py", str(collector))


# --- generated files ----------------------------------------------------------------------------------------


def check_pins() -> None:
    """Compare the pin files with `pyproject.toml`, without a network.

    Raises:
        StaleError: with every stale file.
    """
    from ci.nox.pins import stale  # noqa: PLC0415

    problems = stale(ROOT)
    if problems:
        raise StaleError("the pins are stale", problems=problems, then="nox -s pins")


@register(tags=("update",))
def workflows(session: nox.Session) -> None:
    """Render .github/ from the catalog; `-- --check` only shows what is stale."""
    ci(session, HOST, "workflows", *session.posargs)


@register(tags=("update",))
def docs(session: nox.Session) -> None:
    """Write what docs/ has from the code, and build the site: a link that leads nowhere is exit 1. `-- --check` writes no page.

    Schemas, reference pages and the picture of the rooms are made from the code; with `--check` one that is stale is exit 9.
    The site is in site/; it loads nothing from another host.
    """
    codes = [attempt(session, made(session, *HOST), "-m", "ci", "docs", *session.posargs)]
    if codes[0] not in {0, StaleError.exit_code}:
        session.error(meaning(codes[0]))
    site = made(session, *SITE)
    with session.chdir("test"):
        codes += [
            attempt(session, sys.executable, *PICTURE_OF_ROOMS, *session.posargs),
            attempt(session, site, *DOCS_SITE),
        ]
    if any(codes):
        session.error("see above")


@register(tags=("update",))
def pins(session: nox.Session) -> None:
    """Compile the dependency groups of pyproject.toml into requirements/: `-- --upgrade` or `-- --check`.

    Pins that still fit are kept unless `--upgrade` is given. `--check` writes nothing and needs no network.
    """
    from ci.nox.environments import find_uv  # noqa: PLC0415
    from ci.nox.pins import compile_all  # noqa: PLC0415

    words = set(session.posargs)
    if words - {"--check", "--upgrade"} or len(words) > 1:
        raise UsageError(
            f"invalid options of pins: {' '.join(session.posargs)}", then="nox -s pins -- --check|--upgrade"
        )
    if words == {"--check"}:
        check_pins()
        return
    compile_all(
        ROOT,
        uv=find_uv(os.environ),
        upgrade="--upgrade" in words,
        run=lambda command: install(session, command),
    )


# --- how Nox starts and ends --------------------------------------------------------------------------------

for line in unknown_sessions(sys.argv[1:], NAMES, ROOT / "tasks.py"):
    sys.stderr.write(f"{line}\n")

quiet_nox()
stop_once(CODES.interrupt)
# A SIGKILL to uvx would leave Nox and all its children running; SIGTERM ends us cleanly.
if parent_command() in {"uv", "uvx"}:
    die_with_parent()
atexit.register(leave, CODES)

if __name__ == "__main__":
    nox.main()
