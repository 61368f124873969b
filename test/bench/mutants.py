"""Do the tests notice when the code is wrong: covered lines, chosen by a seed, are changed one by one.

    nox -s bench -- mutants [--seed N] [--count N] [--room ROOM] [--fresh]

The unit tests run once under coverage, each line with the tests that execute it; `--fresh` measures again. Of the lines
inside functions at least two a room are chosen, and one expression or statement of each is changed in a copy of the tree: a
comparison turned round, a condition negated, a number or a boolean changed, `+` for `-`, a returned value left out, a call or
a raise removed. A mutant is killed when a test of the line's own room fails. Strings are left alone, and so is what an
f-string inserts (plurals, digits, units): what messages say is no behaviour that a test should hold word for word.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".nox" / ".cache" / "mutants.coverage"
# longer than any room's tests take; a mutant may never end
TIMEOUT_S = 300

_COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: `start` and `end` are byte offsets in the file, `tests` what executes the line."""

    file: str
    line: int
    what: str
    start: int
    end: int
    text: str
    tests: tuple[str, ...]

    @property
    def room(self) -> str:
        """The folder below `ci`."""
        return Path(self.file).parts[1]


def main() -> int:
    """Choose, change, test, report; exit code 1 when fewer than nine in ten are killed by their room's tests."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=30, help="how many, at least two a room")
    parser.add_argument("--room", default="", help="only lines of this room")
    parser.add_argument("--fresh", action="store_true", help="measure the coverage again")
    known = parser.parse_args()
    if known.fresh or not CACHE.is_file():
        measure()
    chosen = choose(known.seed, known.count, known.room)
    with tempfile.TemporaryDirectory(prefix="amd-ci-mutants-") as scratch:
        tree = Path(scratch) / "tree"
        ignored = shutil.ignore_patterns(".git", ".nox", ".runs", "__pycache__", ".*_cache", ".venv")
        shutil.copytree(REPOSITORY, tree, ignore=ignored, symlinks=True)
        killed = [report(mutant, tree) for mutant in chosen]
    share = f"{sum(killed)} of {len(killed)} killed by their room's tests"
    sys.stdout.write(f"seed {known.seed}: {share}\n")
    return 0 if sum(killed) >= 0.9 * len(killed) else 1


def report(mutant: Mutant, tree: Path) -> bool:
    """Try one and print how it ended."""
    started_s = time.monotonic()
    killer = judge(mutant, tree)
    fate = f"killed by {killer}" if killer else "SURVIVED"
    if killer and not killer.startswith(f"test/unit/{mutant.room}"):
        fate = f"SURVIVED in its room, {fate}"
    took = f"{time.monotonic() - started_s:.0f} s"
    sys.stdout.write(f"{mutant.file}:{mutant.line}: {mutant.what}\n    {fate} ({took})\n")
    sys.stdout.flush()
    return killer.startswith(f"test/unit/{mutant.room}")


def judge(mutant: Mutant, tree: Path) -> str:
    """The test that fails, empty when none does: those that execute the line first, their room's before others."""
    path = tree / mutant.file
    source = path.read_bytes()
    room = f"test/unit/{mutant.room}"
    own = [test for test in mutant.tests if test.startswith(room)]
    path.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
    try:
        for tests in (own, [room], sorted(set(mutant.tests) - set(own))):
            if tests and (killer := failing(tests, tree)):
                return killer
    finally:
        path.write_bytes(source)
    return ""


def failing(tests: Sequence[str], tree: Path) -> str:
    """The first of these tests that fails in the tree; of tests that do not end or start, where they are."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    env = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / ".hypothesis"),
    }
    try:
        done = subprocess.run(
            argv,
            cwd=tree,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{tests[0].partition('::')[0]}: no end within {TIMEOUT_S} s"
    if done.returncode == 0:
        return ""
    printed = done.stdout.decode(errors="replace")
    named = [line.split()[1] for line in printed.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    # a file that cannot even be imported any more is named too
    if done.returncode == 4 and not named:
        raise SystemExit(f"pytest does not know one of {tests}, --fresh measures again:\n{printed}")
    return named[0] if named else f"{tests[0].partition('::')[0]}: pytest ended with {done.returncode}"


# --- which lines --------------------------------------------------------------------------------------------


def measure() -> None:
    """Run the unit tests under coverage, with the test that executes each line."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", delete=False) as config:
        config.write(
            "[run]\nsource = ci\ndynamic_context = test_function\n"
            f"data_file = {CACHE}\n[report]\nskip_empty = true\n"
        )
    try:
        argv = [
            sys.executable,
            "-m",
            "coverage",
            "run",
            f"--rcfile={config.name}",
            "-m",
            "pytest",
            "-q",
            "test/unit",
        ]
        done = subprocess.run(argv, cwd=REPOSITORY, check=False)
    finally:
        Path(config.name).unlink()
    if done.returncode > 1:  # a test that fails has executed its lines all the same
        raise SystemExit(f"pytest ended with {done.returncode}")


def choose(seed: int, count: int, room: str) -> list[Mutant]:
    """Mutants of lines that the seed chooses: two of each room, then of all lines alike."""
    rng = random.Random(seed)
    data = coverage.CoverageData(basename=str(CACHE))
    data.read()
    lines: dict[str, list[tuple[str, int, tuple[str, ...]]]] = defaultdict(list)
    for name in sorted(data.measured_files()):
        path = Path(name)
        if not path.is_relative_to(REPOSITORY / "ci") or path.suffix != ".py" or not path.is_file():
            continue
        file = path.relative_to(REPOSITORY).as_posix()
        parts = file.split("/")
        if len(parts) < 3 or room not in ("", parts[1]):
            continue
        inside = lines_inside_functions(ast.parse(path.read_bytes()))
        for number, contexts in sorted(data.contexts_by_lineno(name).items()):
            if number in inside:
                lines[parts[1]].append((file, number, tests_of(contexts)))
    chosen: list[Mutant] = []
    rest: list[tuple[str, int, tuple[str, ...]]] = []
    for name in sorted(lines):
        rng.shuffle(lines[name])
        least = 2 if not room else count
        made = 0
        while lines[name] and made < least:
            mutant = mutate(*lines[name].pop(), rng)
            if mutant is not None:
                chosen.append(mutant)
                made += 1
        rest += lines[name]
    rng.shuffle(rest)
    while rest and len(chosen) < count:
        mutant = mutate(*rest.pop(), rng)
        if mutant is not None:
            chosen.append(mutant)
    return sorted(chosen, key=lambda one: (one.file, one.line))


def tests_of(contexts: Sequence[str]) -> tuple[str, ...]:
    """Node ids of contexts like `test.unit.plan.test_route.TestX.test_y`."""
    found = set()
    for context in contexts:
        parts = context.split(".")
        ends = [number for number, part in enumerate(parts) if part.startswith("test_")]
        if parts[:2] == ["test", "unit"] and ends and ends[0] < len(parts) - 1:
            file = "/".join(parts[: ends[0] + 1])
            # hypothesis runs a test inside a function of its own, which hides the class
            names = [] if "<locals>" in parts else parts[ends[0] + 1 :]
            found.add("::".join([f"{file}.py", *names]))
    return tuple(sorted(found))


def lines_inside_functions(tree: ast.Module) -> set[int]:
    """What runs when a function is called, and not when its module is imported."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                found |= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return found


# --- what is changed ----------------------------------------------------------------------------------------


def mutate(file: str, line: int, tests: tuple[str, ...], rng: random.Random) -> Mutant | None:
    """One change of what begins on this line; None when there is nothing to change on it."""
    source = (REPOSITORY / file).read_bytes()
    tree = ast.parse(source)
    types = {inner for node in ast.walk(tree) for kind in types_in(node) for inner in ast.walk(kind)}
    texts = {inner for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in ast.walk(node)}
    changes = [
        (node, new, what)
        for node in ast.walk(tree)
        if getattr(node, "lineno", 0) == line
        and isinstance(node, ast.expr | ast.stmt)
        and node not in types | texts
        for new, what in changes_of(node)
    ]
    if not changes:
        return None
    node, new, what = rng.choice(changes)
    starts = [0]
    for row in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    assert isinstance(node, ast.expr | ast.stmt)
    start = starts[node.lineno - 1] + node.col_offset
    end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
    text = ast.unparse(ast.fix_missing_locations(new))
    text = f"({text})" if isinstance(node, ast.expr) else text.replace("\n", "\n" + " " * node.col_offset)
    mutated = source[:start] + text.encode() + source[end:]
    try:
        compile(mutated, file, "exec")
    except SyntaxError:  # inside an f-string, where no place is known exactly before Python 3.12
        return None
    return Mutant(file=file, line=line, what=what, start=start, end=end, text=text, tests=tests)


def changes_of(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What a node may be replaced with, in words."""
    match node:
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                new = copy.deepcopy(node)
                new.ops[number] = _COMPARISONS[type(operator)]()
                yield new, f"`{ast.unparse(node)}` -> `{ast.unparse(new)}`"
        case ast.BoolOp():
            new_bool = copy.deepcopy(node)
            new_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield new_bool, f"`{ast.unparse(node)}` -> `{ast.unparse(new_bool)}`"
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS and not is_text(node):
            new_operation = copy.deepcopy(node)
            new_operation.op = _OPERATORS[type(operator)]()
            yield new_operation, f"`{ast.unparse(node)}` -> `{ast.unparse(new_operation)}`"
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value), f"{value} -> {not value}"
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1), f"{value} -> {value + 1}"
        case ast.If() | ast.While() | ast.IfExp():
            changed = copy.deepcopy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed, f"`if {ast.unparse(node.test)}` -> `if not ...`"
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand, f"`{ast.unparse(node)}` -> without not"
        case ast.Return(value=ast.expr() as value) if not is_none(value):
            yield ast.Return(ast.Constant(None)), f"`return {ast.unparse(value)[:60]}` -> None"
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass(), f"`{ast.unparse(node)[:60]}` -> pass"
        case ast.Continue():
            yield ast.Break(), "continue -> break"
        case ast.Break():
            yield ast.Continue(), "break -> continue"
        case _:
            return


def types_in(node: ast.AST) -> list[ast.expr]:
    """Annotations: nothing runs them."""
    kinds = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [kind for kind in kinds if isinstance(kind, ast.expr)]


def is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def is_text(node: ast.BinOp) -> bool:
    """Whether one side is visibly a string: its pieces are a message."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


if __name__ == "__main__":
    raise SystemExit(main())
