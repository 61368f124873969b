"""What a tree's `ci_register.py` and `run_suite.py` know, by reading their syntax trees.

Both are followed by the names and shapes that they have had since their first commit; what has another shape is said to be
unread and our own row is used.
"""

import ast
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ci.errors import Problem
from ci.plan.tree.model import (
    ANY,
    ListedSuite,
    Partition,
    Registrar,
    Registry,
    RunnerDefaults,
    Stated,
    TreeRoot,
    source_at,
)

__all__ = ["REGISTER_FILE", "RUNNER_FILE", "read_registry"]

REGISTER_FILE: Final = "python/sglang/test/ci/ci_register.py"
RUNNER_FILE: Final = "test/run_suite.py"
_REGISTRAR: Final = re.compile(r"register_([a-z0-9]+)_ci")
_GROUP: Final = re.compile(r"[A-Z_]*SUITES")
_ORDERS: Final = (
    (
        r"sorted\(\w+, key=lambda (\w+): \(-(?:\w+\(\1\)|\1\.est_time), \1\.filename\)\)",
        Partition.LONGEST_FIRST,
    ),
    (r"sorted\(\w+, key=lambda (\w+): \1\.est_time, reverse=True\)", Partition.FILE_ORDER),
)
_LIMITS: Final = {
    "--timeout-per-file": "timeout_per_file_s",
    "--max-attempts": "max_attempts",
    "--retry-wait-seconds": "retry_wait_s",
    "--retry-timeout-increase": "retry_timeout_increase_s",
}


@dataclass(slots=True, kw_only=True)
class _Source:
    """A file as a syntax tree; `consts` are its module-level names."""

    file: str
    module: ast.Module
    unread: list[Problem]
    consts: dict[str, ast.expr] = field(default_factory=dict)

    def at(self, node: ast.AST) -> str:
        return source_at(self.file, getattr(node, "lineno", 1))

    def lacks(self, what: str) -> None:
        self.unread.append(Problem(where=f"{self.file}:1", what=what, hint="our own row is used"))


def read_registry(tree: Path, unread: list[Problem]) -> Registry:
    """The registry of a checkout; what cannot be read is empty, and added to `unread`."""
    register, runner = (_open(tree, file, unread) for file in (REGISTER_FILE, RUNNER_FILE))
    registrars: tuple[Registrar, ...] = ()
    positional: tuple[str, ...] = ()
    keyword_only: tuple[str, ...] = ()
    if register is not None:
        registrars = tuple(_registrars(register))
        positional, keyword_only = _arguments(register)
        if not registrars:
            register.lacks("names no registrar in REGISTER_MAPPING")
    roots: tuple[TreeRoot, ...] = ()
    exempt: tuple[Stated[str], ...] = ()
    suites: tuple[ListedSuite, ...] = ()
    options: dict[str, Stated[float] | None] = {}
    checked: tuple[str, ...] = ()
    if runner is not None:
        roots, exempt = tuple(_roots(runner)), tuple(_exempt(runner))
        suites, checked, options = tuple(_suites(runner)), tuple(_checked(runner)), _options(runner)
        if not roots:
            runner.lacks("names no folder in which tests are looked for")
    return Registry(
        registrars=registrars,
        positional=positional,
        keyword_only=keyword_only,
        roots=roots,
        exempt=exempt,
        suites=suites,
        checked=checked,
        options=tuple(options),
        defaults=RunnerDefaults(**{column: options.get(name) for name, column in _LIMITS.items()}),
        partition=_partition((register, runner), unread),
    )


def _open(tree: Path, file: str, unread: list[Problem]) -> _Source | None:
    try:
        module = ast.parse((tree / file).read_bytes())
    except OSError as error:
        unread.append(
            Problem(where=file, what=f"cannot be read: {error.strerror}", hint="our own rows are used")
        )
        return None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        unread.append(
            Problem(where=f"{file}:{line}", what=f"is not Python: {error}", hint="our own rows are used")
        )
        return None
    source = _Source(file=file, module=module, unread=unread)
    for node in module.body:
        if isinstance(node, ast.Assign):
            source.consts |= {
                target.id: node.value for target in node.targets if isinstance(target, ast.Name)
            }
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            source.consts[node.target.id] = node.value
    return source


# --- ci_register.py ---------------------------------------------------------------------------------------------------


def _registrars(source: _Source) -> Iterator[Registrar]:
    mapping = source.consts.get("REGISTER_MAPPING")
    seen: set[str] = set()
    for key, value in _items(mapping):
        name = key.value if isinstance(key, ast.Constant) else None
        if isinstance(name, str) and isinstance(value, ast.Attribute) and name not in seen:
            seen.add(name)
            yield Registrar(name=name, backend=value.attr.lower(), source=source.at(key))
    if mapping is None:
        for node in source.module.body:
            if isinstance(node, ast.FunctionDef) and (found := _REGISTRAR.fullmatch(node.name)):
                yield Registrar(name=node.name, backend=found[1], source=source.at(node))


def _arguments(source: _Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments of a registrar by position, and those by keyword alone."""
    for node in source.module.body:
        if isinstance(node, ast.FunctionDef) and _REGISTRAR.fullmatch(node.name):
            return (
                tuple(each.arg for each in (*node.args.posonlyargs, *node.args.args)),
                tuple(each.arg for each in node.args.kwonlyargs),
            )
    return (), ()


def _partition(sources: Sequence[_Source | None], unread: list[Problem]) -> Stated[Partition]:
    """The rule of `auto_partition`, by the order of files and by where each goes; older trees have it in the runner."""
    found = next(
        (
            (source, node)
            for source in sources
            for node in (source.module.body if source is not None else ())
            if source is not None and isinstance(node, ast.FunctionDef) and node.name == "auto_partition"
        ),
        None,
    )
    if found is None:
        unread.append(Problem(where=f"{REGISTER_FILE}:1", what="has no auto_partition"))
        return Stated(value=Partition.UNKNOWN, source=REGISTER_FILE)
    source, function = found
    text = ast.unparse(function)
    rule = next((rule for pattern, rule in _ORDERS if re.search(pattern, text)), Partition.UNKNOWN)
    if not re.search(r"= min\(range\(size\), key=(\w+)\.__getitem__\)", text):
        rule = Partition.UNKNOWN
    if rule is not Partition.LONGEST_FIRST:
        what = f"auto_partition splits suites by another rule than ours: {rule.value}"
        hint = "which files a part has cannot be told from the tree"
        unread.append(Problem(where=f"{source.file}:{function.lineno}", what=what, hint=hint))
    return Stated(value=rule, source=source.at(function))


# --- run_suite.py -----------------------------------------------------------------------------------------------------


def _suites(source: _Source) -> Iterator[ListedSuite]:
    for group, node in source.consts.items():
        if not _GROUP.fullmatch(group):
            continue
        for key, value in _items(node):
            if isinstance(key, ast.Attribute) and isinstance(value, ast.List | ast.Tuple | ast.Set):
                for item in value.elts:
                    if isinstance(item, ast.Constant) and isinstance(item.value, str):
                        yield ListedSuite(
                            name=item.value, backend=key.attr.lower(), group=group, source=source.at(item)
                        )


def _checked(source: _Source) -> Iterator[str]:
    """The backends that the runner names; where a call of the check names others, which goes by the run, `*` is each."""
    node = source.consts.get("_SUITE_CHECKED_BACKENDS")
    for item in getattr(node, "elts", ()):
        if isinstance(item, ast.Attribute):
            yield item.attr.lower()
    for call in ast.walk(source.module):
        if (
            isinstance(call, ast.Call)
            and _dotted(call.func) == "validate_all_suites"
            and any(each.arg == "checked_backends" for each in call.keywords)
        ):
            yield ANY


def _roots(source: _Source) -> Iterator[TreeRoot]:
    """The folders of every `glob.glob(...)`, by following names to `os.path.join` and `os.path.dirname`."""
    functions = [n for n in source.module.body if isinstance(n, ast.FunctionDef)]
    rest = ast.Module([n for n in source.module.body if not isinstance(n, ast.FunctionDef)], type_ignores=[])
    for function in (*functions, rest):
        names = dict(source.consts)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names.setdefault(node.targets[0].id, node.value)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _dotted(node.func) in ("glob.glob", "glob"):
                path = _path(node.args[0], names) if node.args else None
                if path is None or "**" not in path:
                    source.unread.append(
                        Problem(
                            where=f"{source.file}:{node.lineno}",
                            what=f"cannot read the folder of {ast.unparse(node)}",
                            hint="tests in it may be missing",
                        )
                    )
                    continue
                # it is started in its own folder
                whole = path if path.startswith("/") else f"/{RUNNER_FILE.rpartition('/')[0]}/{path}"
                folder, _, pattern = whole.partition("/**/")
                yield TreeRoot(path=folder.strip("/"), glob=pattern, source=source.at(node))


def _path(node: ast.expr, names: dict[str, ast.expr], depth: int = 0) -> str | None:
    """A path that an expression makes: with a slash before it within the tree, where `__file__` is `/test/run_suite.py`."""
    if depth > 20:
        return None
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id="__file__"):
            return f"/{RUNNER_FILE}"
        case ast.Name(id=name) if name in names:
            return _path(names[name], names, depth + 1)
        case ast.Call(func=func, args=[*arguments]):
            paths = [_path(each, names, depth + 1) for each in arguments]
            known = [path for path in paths if path is not None]
            if len(known) != len(paths) or not known:
                return None
            return _applied(_dotted(func), known)
        case ast.BinOp(left=left, op=ast.Div() | ast.Add(), right=right):
            one, two = _path(left, names, depth + 1), _path(right, names, depth + 1)
            return (
                None
                if one is None or two is None
                else f"{one}/{two}"
                if isinstance(node.op, ast.Div)
                else one + two
            )
        case ast.Attribute(value=value, attr="parent"):
            inner = _path(value, names, depth + 1)
            return None if inner is None else posixpath.dirname(inner)
    return None


def _applied(function: str, paths: Sequence[str]) -> str | None:
    match function.rpartition(".")[2]:
        case "join":
            return posixpath.join(*paths)
        case "dirname":
            return posixpath.dirname(paths[0])
        case "abspath" | "realpath" | "normpath" | "Path" | "str" | "resolve":
            return paths[0]
    return None


def _exempt(source: _Source) -> Iterator[Stated[str]]:
    """File names and ends of paths that the collection leaves out."""
    for node in ast.walk(source.module):
        for condition in (test for each in getattr(node, "generators", ()) for test in each.ifs):
            for part in ast.walk(condition):
                match part:
                    case ast.Call(func=ast.Attribute(attr="endswith"), args=[argument]):
                        ends = argument.elts if isinstance(argument, ast.Tuple) else [argument]
                    case ast.Compare(ops=[ast.NotIn() | ast.NotEq()], comparators=[listed]) if (
                        "basename" in ast.unparse(part.left)
                    ):
                        ends = list(getattr(listed, "elts", [listed]))
                    case _:
                        continue
                for end in ends:
                    if isinstance(end, ast.Constant) and isinstance(end.value, str):
                        yield Stated(value=end.value.lstrip("/"), source=source.at(end))


def _options(source: _Source) -> dict[str, Stated[float] | None]:
    """The runner's options with their numeric defaults."""
    found: dict[str, Stated[float] | None] = {}
    for node in ast.walk(source.module):
        if not isinstance(node, ast.Call) or not _dotted(node.func).endswith(".add_argument"):
            continue
        name = next(
            (
                each.value
                for each in node.args
                if isinstance(each, ast.Constant)
                and isinstance(each.value, str)
                and each.value.startswith("--")
            ),
            "",
        )
        default = next((each.value for each in node.keywords if each.arg == "default"), None)
        if not name:
            continue
        found[name] = None
        if isinstance(default, ast.Name):
            default = source.consts.get(default.id)
        if (
            isinstance(default, ast.Constant)
            and isinstance(default.value, int | float)
            and not isinstance(default.value, bool)
        ):
            found[name] = Stated(value=float(default.value), source=source.at(default))
    return found


def _items(node: ast.expr | None) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                yield key, value


def _dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
