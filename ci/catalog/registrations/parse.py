"""Registered tests: read from the source by AST, never imported.

The rules are those of SGLang's `python/sglang/test/ci/ci_register.py`, so that its tree works unchanged. What SGLang
passes over in silence is a problem here: a registration that is nested, reached through a module or under another
name would be lost.
"""

import ast
import gc
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ci.catalog.discovery import DiscoveryRules, Root
from ci.catalog.registrations.outline import outline
from ci.catalog.registrations.roots import python_files
from ci.catalog.registrations.syntax import syntax_of, syntax_or_none
from ci.catalog.registrations.test_requirements import (
    Requirements,
    case_names,
    mentions_requirements,
    read_requirements,
)
from ci.catalog.toml_reader import closest
from ci.errors import Problem

__all__ = [
    "Discovery",
    "Kind",
    "ParsedFile",
    "Registration",
    "discover",
    "parse",
    "registered_files",
]

# `pytest` files are run by pytest, `script` files as a program.
Kind = Literal["pytest", "script"]

_POSITIONAL = ("est_time", "suite", "nightly", "disabled")
_KEYWORD_ONLY = ("stage", "runner_config")
_UNKNOWN = re.compile(rb"^(register_[a-z0-9]+_ci)\(", re.MULTILINE)
_SHOWN_CHARS = 80
_EXAMPLE = 'register_amd_ci(est_time=60, suite="stage-b-test-1-gpu-small-amd")'


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One registration of a test file, a path with slashes; `disabled` is the reason, None for an enabled one."""

    file: str
    backend: str
    suite: str
    est_time_s: float
    nightly: bool
    disabled: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """What one file says: its registrations in order, how it is to be run, and what is wrong with it.

    `requirements` are the metrics and capabilities that one of our files names, `cases` its tests as node ids name them.
    """

    file: str
    kind: Kind
    registrations: tuple[Registration, ...]
    problems: tuple[Problem, ...]
    requirements: Requirements = field(default_factory=Requirements)
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a tree says: registrations and problems by file and line, the kind of each file that was parsed.

    `requirements` are by file, of our own tree alone: another's tests don't know our catalog. `cases` are by file.
    """

    registrations: tuple[Registration, ...]
    kinds: Mapping[str, Kind]
    problems: tuple[Problem, ...]
    files_seen: int
    requirements: Mapping[str, Requirements] = field(default_factory=dict)
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Fault:
    line: int
    what: str
    hint: str = ""


def discover(
    tree: Path,
    rules: DiscoveryRules,
    *,
    layout: str = "own",
    backends: Collection[str] = (),
    whole: bool = True,
) -> Discovery:
    """Read every registered test of a tree.

    Args:
        tree: the top folder.
        rules: `discovery.toml`.
        layout: whose roots are searched, an id of `rules.trees`.
        backends: only these; a file that mentions none of their registrars is not parsed, so a broken test of other
            hardware does not stop a run. Empty: all, and every file with a registrar's name is parsed.
        whole: whether each file is parsed as a whole; else its outline is, and a fault in a test's body is left to the run.
    """
    wanted = [name for name, backend in rules.registrars.items() if not backends or backend in backends]
    mentions_any, mentions_wanted = _mentions(tuple(rules.registrars)), _mentions(tuple(wanted))
    parsed_files: dict[str, ParsedFile] = {}
    problems: list[Problem] = []
    unknown: dict[str, list[str]] = {}
    files = registered_files(tree, rules, layout, problems)
    with _no_collection():
        for root, file in files:
            try:
                source = (tree / file).read_bytes()
            except OSError as error:
                problems.append(Problem(where=file, what=f"cannot be read: {error.strerror}"))
                continue
            found = bool(mentions_any.search(source))
            if found and mentions_wanted.search(source):
                parsed = parsed_files[file] = parse(source, file, rules, ours=layout == "own", whole=whole)
                problems += parsed.problems
                found = bool(parsed.registrations or parsed.problems)
            if not found and root.must_register and not rules.is_exempt(file):
                if other := _UNKNOWN.search(source):
                    unknown.setdefault(other[1].decode(), []).append(file)
                    continue
                what, hint = "has no registration", f"write {_EXAMPLE} at the top level"
                problems.append(Problem(where=f"{file}:1", what=what, hint=hint))
    problems += [_unknown_registrar(name, named, rules) for name, named in unknown.items()]
    registrations = (item for parsed in parsed_files.values() for item in parsed.registrations)
    return Discovery(
        registrations=tuple(
            sorted(
                (item for item in registrations if not backends or item.backend in backends),
                key=lambda item: (item.file, item.line),
            )
        ),
        kinds={file: parsed.kind for file, parsed in parsed_files.items()},
        problems=tuple(sorted(problems, key=_by_place)),
        files_seen=len(files),
        requirements={file: _with_shared(tree, parsed.requirements) for file, parsed in parsed_files.items()},
        cases={file: parsed.cases for file, parsed in parsed_files.items()},
    )


def _with_shared(tree: Path, requirements: Requirements) -> Requirements:
    """What a file asks for by itself and through the modules of `harness.suites` that it imports."""
    for name in requirements.shared:
        file = f"test/harness/suites/{name}.py"
        try:
            requirements = requirements.with_those_of(
                read_requirements(ast.parse((tree / file).read_bytes())), file
            )
        except (OSError, SyntaxError):
            continue  # the test fails by its import: its own message is the better one
    return requirements


def _unknown_registrar(name: str, files: Sequence[str], rules: DiscoveryRules) -> Problem:
    """One problem for a registrar that nobody knows, however many files call it."""
    others = f", also in {len(files) - 1} other files" if len(files) > 1 else ""
    return Problem(
        where=f"{files[0]}:1",
        what=f"unknown registrar {name}{others}: nothing is registered by it",
        hint=closest(name, rules.registrars),
    )


def registered_files(
    tree: Path, rules: DiscoveryRules, layout: str, problems: list[Problem]
) -> list[tuple[Root, str]]:
    """Every file of the layout's roots once, with the first root that contains it."""
    seen: set[str] = set()
    found: list[tuple[Root, str]] = []
    for root in rules.roots:
        if root.tree == layout:
            files, folder_problems = python_files(tree, root)
            problems += folder_problems
            found += ((root, file) for file in files if file not in seen)
            seen.update(files)
    return found


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out: syntax trees hold no cycles, and looking for some took 17 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def parse(
    source: bytes, file: str, rules: DiscoveryRules, *, ours: bool = False, whole: bool = True
) -> ParsedFile:
    """Read one file's registrations; a bad one hides neither the others nor what else is wrong.

    Args:
        source: the file as it is on disk; its encoding is found as Python finds it.
        file: its path, for messages.
        rules: `discovery.toml`.
        ours: read what it asks of the catalog as well.
        whole: else the file's outline is enough where it explains every mention of a registrar.
    """
    if not whole and not ours and (short := _outlined(source, rules)) is not None:
        return _parsed(short, source, file, rules, ours=False)
    try:
        module = syntax_of(source)
    except SyntaxError as error:
        return _unreadable(file, error.lineno or 1, f"is not Python: {error.msg}")
    except ValueError as error:
        return _unreadable(file, 1, f"is not Python: {error}")
    except (RecursionError, MemoryError):
        return _unreadable(file, 1, "is nested too deeply for Python's parser")
    return _parsed(module, source, file, rules, ours=ours)


def _outlined(source: bytes, rules: DiscoveryRules) -> ast.Module | None:
    """The outline's syntax tree; None where only the whole file tells."""
    short = outline(source)
    module = syntax_or_none(short) if short is not None else None
    if module is None:
        return None
    counted = list(_top_level_calls(module, rules))
    return module if _explains(module, counted, source, rules) else None


def _parsed(module: ast.Module, source: bytes, file: str, rules: DiscoveryRules, *, ours: bool) -> ParsedFile:
    """What a syntax tree says."""
    registrations: list[Registration] = []
    faults: list[_Fault] = []
    for call in _top_level_calls(module, rules):
        backend = rules.registrars[_name(call.func)]
        read = _read_call(call, file, backend)
        if isinstance(read, Registration):
            registrations.append(read)
        else:
            faults += read
    faults += _lost_calls(module, source, rules)
    enabled = [item for item in registrations if item.disabled is None]
    if enabled and not any(_is_main_block(statement) for statement in module.body):
        what = 'no `if __name__ == "__main__":` block at the top level that calls something'
        hint = "SGLang runs the file as a program: without it the test passes without running"
        faults.append(_Fault(enabled[0].line, what, hint))
    requirements = read_requirements(module) if ours and mentions_requirements(source) else Requirements()
    return ParsedFile(
        file=file,
        kind=_kind(module),
        registrations=tuple(registrations),
        requirements=requirements,
        cases=case_names(module),
        problems=tuple(
            Problem(where=f"{file}:{fault.line}", what=fault.what, hint=fault.hint)
            for fault in sorted(faults, key=lambda fault: fault.line)
        ),
    )


def _unreadable(file: str, line: int, what: str) -> ParsedFile:
    problem = Problem(where=f"{file}:{line}", what=what, hint="its registrations cannot be read")
    return ParsedFile(file=file, kind="script", registrations=(), problems=(problem,))


def _by_place(problem: Problem) -> tuple[str, int, str]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line), problem.what) if line.isdecimal() else (problem.where, 0, problem.what)


@cache
def _mentions(registrars: tuple[str, ...]) -> re.Pattern[bytes]:
    """A pattern that finds the names; it begins with their common literal, which `re` searches for fast."""
    if not registrars:
        return re.compile(rb"(?!)")
    middles = "|".join(re.escape(name.removeprefix("register_").removesuffix("_ci")) for name in registrars)
    return re.compile(rf"register_(?:{middles})_ci\b".encode())


def _name(node: ast.expr) -> str:
    """The last part of a plain or dotted name, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _top_level_calls(module: ast.Module, rules: DiscoveryRules) -> Iterator[ast.Call]:
    for statement in module.body:
        if (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Call)
            and isinstance(statement.value.func, ast.Name)
            and statement.value.func.id in rules.registrars
        ):
            yield statement.value


def _lost_calls(module: ast.Module, source: bytes, rules: DiscoveryRules) -> list[_Fault]:
    """Registrations that SGLang would not see: nested ones, dotted ones, and those under another name."""
    counted = list(_top_level_calls(module, rules))
    if _explains(module, counted, source, rules):
        return []
    faults = []
    for node in ast.walk(module):
        if (
            isinstance(node, ast.alias)
            and node.name in rules.registrars
            and node.asname not in {None, node.name}
        ):
            what = f"{node.name} is imported as {node.asname}: calls under that name are not seen"
            faults.append(_Fault(node.lineno, what, "import it under its own name"))
        if (
            not isinstance(node, ast.Call)
            or node in counted
            or (name := _name(node.func)) not in rules.registrars
        ):
            continue
        if isinstance(node.func, ast.Attribute):
            what, hint = (
                f"{_shown(node.func)}() is a dotted call and is not seen",
                f"import {name} itself",
            )
        else:
            what = f"{name}() is nested in another statement and is not seen"
            hint = "make it a statement of its own at the top level"
        faults.append(_Fault(node.lineno, what, hint))
    return faults


def _explains(module: ast.Module, counted: Sequence[ast.Call], source: bytes, rules: DiscoveryRules) -> bool:
    """Whether calls and imports at the top level are all that mentions a registrar; walking costs more than parsing."""
    imports = sum(
        alias.name in rules.registrars and alias.asname is None
        for statement in module.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    )
    return len(_mentions(tuple(rules.registrars)).findall(source)) == len(counted) + imports


def _is_main_block(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":` with a call in its body."""
    match statement:
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            ),
            body=body,
        ):
            return any(isinstance(node, ast.Call) for part in body for node in ast.walk(part))
    return False


def _kind(module: ast.Module) -> Kind:
    return "pytest" if any(_is_pytest(statement) for statement in module.body) else "script"


def _is_pytest(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return statement.name.startswith("test")
    if not isinstance(statement, ast.ClassDef):
        return False
    if statement.name.startswith("Test") or any(_name(base).endswith("TestCase") for base in statement.bases):
        return True
    return bool(statement.bases) and any(
        isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and member.name.startswith("test")
        for member in statement.body
    )


def _read_call(call: ast.Call, file: str, backend: str) -> Registration | list[_Fault]:
    given, faults = _bind(call)
    if faults:
        # which argument is which is not known then: looking further would only add noise
        return faults
    if "est_time" not in given:
        faults.append(
            _Fault(call.lineno, f"{_name(call.func)}() lacks est_time", "seconds, as a literal number")
        )
    naming = {"suite", "stage", "runner_config"} & given.keys()
    if naming not in ({"suite"}, {"stage", "runner_config"}):
        what = f"{_name(call.func)}() has {' and '.join(sorted(naming)) or 'neither suite nor stage'}"
        faults.append(_Fault(call.lineno, what, "give suite, or stage and runner_config"))
    faults += [fault for name, node in given.items() for fault in _judge(name, node)]
    if faults:
        return faults
    value: dict[str, Any] = {
        name: node.value for name, node in given.items() if isinstance(node, ast.Constant)
    }
    suite = value["suite"] if "suite" in value else f"{value['stage']}-test-{value['runner_config']}"
    return Registration(
        file=file,
        backend=backend,
        suite=suite,
        est_time_s=_seconds(value["est_time"]),
        nightly=value.get("nightly", False) is True,
        disabled=value.get("disabled"),
        line=call.lineno,
    )


def _bind(call: ast.Call) -> tuple[dict[str, ast.expr], list[_Fault]]:
    """Arguments by name, as Python would bind them."""
    registrar = _name(call.func)
    given: dict[str, ast.expr] = {}
    faults: list[_Fault] = []
    if any(isinstance(node, ast.Starred) for node in call.args):
        faults.append(_Fault(call.lineno, f"{registrar}() has a starred argument", "write literal arguments"))
    elif len(call.args) > len(_POSITIONAL):
        what = (
            f"{registrar}() has {len(call.args)} positional arguments, at most {len(_POSITIONAL)} are taken"
        )
        faults.append(_Fault(call.args[len(_POSITIONAL)].lineno, what, "in order: " + ", ".join(_POSITIONAL)))
    else:
        given.update(zip(_POSITIONAL, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            faults.append(
                _Fault(keyword.value.lineno, f"{registrar}() has **arguments", "write literal arguments")
            )
        elif keyword.arg not in _POSITIONAL + _KEYWORD_ONLY:
            what = f"{registrar}() has no argument {keyword.arg}"
            faults.append(_Fault(keyword.lineno, what, closest(keyword.arg, _POSITIONAL + _KEYWORD_ONLY)))
        elif keyword.arg in given:
            faults.append(_Fault(keyword.lineno, f"{registrar}() has {keyword.arg} twice", "remove one"))
        else:
            given[keyword.arg] = keyword.value
    return given, faults


def _judge(name: str, node: ast.expr) -> Sequence[_Fault]:
    """What is wrong with an argument's value; at most one fault."""
    what = _wrong_number(node) if name == "est_time" else _wrong_value(name, node)
    return [_Fault(node.lineno, f"{name} {what}")] if what else []


def _wrong_number(node: ast.expr) -> str:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return f"is {_shown(node)}: seconds cannot be negative"
        case ast.Constant(value=bool() as value):
            return f"is {value}, not a number"
        case ast.Constant(value=int() | float() as value) if math.isfinite(_seconds(value)):
            return ""
        case ast.Constant(value=int() | float()):
            return "is not a finite number"
        case ast.Constant(value=value):
            return f"is {_clipped(repr(value))}, not a number"
    return f"is {_shown(node)}, not a literal number"


def _wrong_value(name: str, node: ast.expr) -> str:
    if not isinstance(node, ast.Constant):
        return f"is {_shown(node)}, not a literal"
    if name == "nightly":
        return "" if isinstance(node.value, bool) else f"is {_clipped(repr(node.value))}, not True or False"
    if name == "disabled" and node.value is None:
        return ""
    if not isinstance(node.value, str):
        return f"is {_clipped(repr(node.value))}, not a string"
    if any("\ud800" <= char <= "\udfff" for char in node.value):
        return f"is {_clipped(ascii(node.value))}, which is not text"
    if name == "disabled":
        return ""
    if not node.value.strip():
        return "is empty"
    return "" if node.value.isprintable() else f"is {_clipped(repr(node.value))}, which cannot be printed"


def _shown(node: ast.expr) -> str:
    try:
        return _clipped(ast.unparse(node))
    except RecursionError:
        return "a deeply nested expression"


def _clipped(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def _seconds(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf
