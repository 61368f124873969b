"""What one of our test files asks of the catalog: metrics, capabilities, and the names of its cases. Read by AST.

A metric is the literal first argument of `check(...)` or a key of the literal dict given to `check_all(...)`, both from
`harness.bounds`; computed names are in a module-level tuple `METRICS`. A capability is a literal of the
arguments `asks=` and `requires=`; a file that leaves its launch to a shared module, or computes them, names them in a
module-level tuple `ASKS` or `REQUIRES`. What a module
of `harness.suites` asks for, every test file that imports it asks for. A metric is measured by the cases that reach its call,
by the names that they use.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

__all__ = ["Requirements", "case_names", "has_case", "mentions_requirements", "read_requirements"]

_CHECKS = ("check", "check_all")
# arguments of a server's launch that name capabilities, and the tuple that may name them instead
_CAPABILITIES = {"asks": "ASKS", "requires": "REQUIRES"}
# ways to expect a failure, which say neither why nor until when
_EXPECTED_FAILURES = ("xfail", "expectedFailure")
# stands for a name that is computed
_COMPUTED = ""
_MENTION = re.compile(
    rb"\bharness\b|\bxfail\b|\bexpectedFailure\b|^METRICS\b|^ASKS\b|^REQUIRES\b|\basks\b|\brequires\b",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Names in the file's order. `metrics` are literals where they are checked, `declared` those of `METRICS`.

    `shared` are the modules of `harness.suites` that the file imports; `faults` are (line, what, hint): names that are
    neither literal nor declared.
    """

    metrics: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    functions: tuple["Function", ...] = ()
    faults: tuple[tuple[int, str, str], ...] = ()

    def with_those_of(self, other: "Requirements", file: str) -> "Requirements":
        """These and those of a shared module, whose faults name its file."""
        return replace(
            self,
            metrics=tuple(dict.fromkeys((*self.metrics, *other.metrics))),
            declared=tuple(dict.fromkeys((*self.declared, *other.declared))),
            asks=tuple(dict.fromkeys((*self.asks, *other.asks))),
            functions=(*self.functions, *other.functions),
            faults=(
                *self.faults,
                *((1, f"{file}:{line}: {what}", hint) for line, what, hint in other.faults),
            ),
        )

    @property
    def every_metric(self) -> tuple[str, ...]:
        """Both kinds, each name once."""
        return tuple(dict.fromkeys((*self.metrics, *self.declared)))

    def measured_by(self, metric: str) -> tuple[str, ...]:
        """The cases that would measure it, as in node ids; none where that cannot be read."""
        wanted = {
            *((metric,) if metric in self.metrics else ()),
            *((_COMPUTED,) if metric in self.declared else ()),
        }
        by_name: dict[str, list[Function]] = {}
        for function in self.functions:
            by_name.setdefault(function.name.rpartition("::")[2], []).append(function)
        found = []
        for case in self.functions:
            todo, seen = [case], {case}
            while todo:
                function = todo.pop()
                near = {other for name in function.uses for other in by_name.get(name, ())} - seen
                seen |= near
                todo += near
            if case.is_case and any(wanted & function.metrics for function in seen):
                found.append(case.name)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function or a method of a test file or a shared module: `test_x`, `TestA::test_y`.

    `uses` are the names in it, those of its fixtures among them; `metrics` what it checks itself, "" for a computed name.
    """

    name: str
    uses: frozenset[str]
    metrics: frozenset[str]

    @property
    def is_case(self) -> bool:
        return self.name.rpartition("::")[2].startswith("test")


def mentions_requirements(source: bytes) -> bool:
    """Whether a file can hold any: walking its tree costs more than parsing it."""
    return _MENTION.search(source) is not None


def read_requirements(module: ast.Module) -> Requirements:
    """Everything that the file asks for."""
    constants = dict(_constants(module))
    faults: list[tuple[int, str, str]] = []
    for name in ("METRICS", *_CAPABILITIES.values()):
        if name in constants and constants[name] is None:
            what = f"{name} is not a tuple of literal strings"
            faults.append((_line_of(module, name), what, f'write {name} = ("...", "...")'))
    asks = [name for declared in _CAPABILITIES.values() for name in constants.get(declared) or ()]
    metrics: list[str] = []
    checks = _imported_checks(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            declared = _CAPABILITIES.get(keyword.arg or "")
            if declared:
                found = _strings(keyword.value, constants)
                asks += found or ()
                if found is None and declared not in constants:
                    what = f"{keyword.arg}= is not a tuple of literal strings"
                    hint = f'write {keyword.arg}=("...",), or name them in a module-level tuple {declared}'
                    faults.append((keyword.value.lineno, what, hint))
        called = checks.get(ast.unparse(node.func)) if checks else None
        if called is not None:
            names = _metric_names(called, node)
            metrics += names or ()
            if names is None and "METRICS" not in constants:
                hint = "name them in a module-level tuple METRICS"
                faults.append((node.lineno, f"the names of {called}(...)'s metrics are computed", hint))
    faults += _expected_failures(module)
    return Requirements(
        metrics=tuple(dict.fromkeys(metrics)),
        declared=tuple(dict.fromkeys(constants.get("METRICS") or ())),
        asks=tuple(dict.fromkeys(asks)),
        shared=tuple(dict.fromkeys(_shared_modules(module))),
        functions=tuple(_functions(module, checks)),
        faults=tuple(faults),
    )


def _functions(module: ast.Module, checks: Mapping[str, str]) -> Iterator[Function]:
    """The functions of a module and the methods of its classes."""
    for statement in module.body:
        members = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        within = f"{statement.name}::" if isinstance(statement, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                yield _function(member, within, checks)


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, within: str, checks: Mapping[str, str]
) -> Function:
    uses: set[str] = set()
    metrics: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                uses.add(name)
            case ast.Call(func=called) if (check := checks.get(ast.unparse(called))) is not None:
                metrics.update(_metric_names(check, part) or (_COMPUTED,))
            case _:
                pass
    return Function(name=within + node.name, uses=frozenset(uses), metrics=frozenset(metrics))


def _expected_failures(module: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Marks, calls and imports by which a case may fail for ever."""
    hint = "add a row to ci/catalog/quarantine.toml: it has a reason and a date"
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name) if name in _EXPECTED_FAILURES:
                what = ast.unparse(node)
            case ast.ImportFrom(names=names) if any(alias.name in _EXPECTED_FAILURES for alias in names):
                what = ast.unparse(node)
            case ast.Call(args=[*_, ast.Constant(value=str() as name)]) if name in _EXPECTED_FAILURES:
                what = ast.unparse(node)
            case _:
                continue
        yield node.lineno, f"expects a failure, with no date: {what}", hint


def _shared_modules(module: ast.Module) -> Iterator[str]:
    """The names of the modules of `harness.suites` that a file imports from, e.g. `deepseek_v4`."""
    for node in module.body:
        match node:
            case ast.ImportFrom(module="harness.suites", names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str() as name) if name.startswith("harness.suites."):
                yield name.removeprefix("harness.suites.")


def _constants(module: ast.Module) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Module-level names and the literal strings that they hold, None for any other value."""
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, _strings(value, {})
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, _strings(value, {})


def _line_of(module: ast.Module, name: str) -> int:
    return next(
        node.lineno
        for statement in module.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id == name
    )


def _strings(node: ast.expr, constants: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """The strings of a literal tuple or list, or of a module-level name for one; None for anything else."""
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if not isinstance(node, ast.Tuple | ast.List):
        return None
    values = [
        item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    return tuple(values) if len(values) == len(node.elts) else None


def _imported_checks(module: ast.Module) -> dict[str, str]:
    """How the file spells `check` and `check_all` of the harness: the spelling to the function's own name."""
    spellings: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module == "harness.bounds":
            spellings |= {
                alias.asname or alias.name: alias.name for alias in node.names if alias.name in _CHECKS
            }
        elif isinstance(node, ast.ImportFrom) and node.module == "harness":
            for alias in node.names:
                if alias.name == "bounds":
                    spellings |= {f"{alias.asname or alias.name}.{name}": name for name in _CHECKS}
    return spellings


def _metric_names(called: str, call: ast.Call) -> tuple[str, ...] | None:
    """The metrics of one call, None when they are computed."""
    if not call.args:
        return None
    match called, call.args[0]:
        case "check", ast.Constant(value=str() as name):
            return (name,)
        case "check_all", ast.Dict(keys=keys):
            names = [
                key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
            return tuple(names) if len(names) == len(keys) else None
    return None


def case_names(module: ast.Module) -> tuple[str, ...]:
    """Test functions, test classes and their methods, as in node ids: `test_x`, `TestA`, `TestA::test_y`.

    A class that has bases or decorators may have other cases, and what is imported may be a class: it is followed by `TestA::*`.
    `*` stands for whatever an import of all brings.
    """
    names: list[str] = []
    for statement in _statements(module.body):
        names += _test_name(statement)
        if isinstance(statement, ast.ClassDef):
            members = [
                f"{statement.name}::{name}"
                for member in _statements(statement.body)
                for name in _test_name(member)
            ]
            inherits = [f"{statement.name}::*"] if statement.bases or statement.decorator_list else []
            names += [statement.name, *members, *inherits]
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                name = alias.asname or alias.name
                if name == "*":
                    names.append("*")
                elif name.lower().startswith("test"):
                    names += [name, f"{name}::*"]
    return tuple(names)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body and of the branches, loops and blocks in it."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _statements(getattr(statement, name, ()))
        for handler in getattr(statement, "handlers", ()):
            yield from _statements(handler.body)


def _test_name(statement: ast.stmt) -> list[str]:
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    return [statement.name] if statement.name.startswith("test") else []


def has_case(names: tuple[str, ...], case: str) -> bool:
    """Whether a file with these names can hold the case; parameters are not looked at."""
    plain = case.partition("[")[0]
    return plain in names or f"{plain.partition('::')[0]}::*" in names or "*" in names
