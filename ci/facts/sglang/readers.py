"""Every place in an SGLang tree that reads one of some variables: `os.environ`, helpers such as `get_bool_env_var`, `envs.X`."""

import ast
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ci.facts.sglang.environ import ENVIRON
from ci.plan.contract.sglang import How, Reader

__all__ = ["Readings", "find_readers"]

_Words = tuple[tuple[str, ...], tuple[str, ...]]
_SKIPPED: Final = frozenset({".git", "3rdparty", "node_modules", "docs", "docs_new", "__pycache__", "build"})
_OTHER_LANGUAGES: Final = (".cc", ".cpp", ".cu", ".cuh", ".h", ".hip", ".hpp", ".rs", ".sh")
_OTHER_READS: Final = r"""(?:getenv\(\s*"|env::var(?:_os)?\(\s*"|\$\{{?)({names})\b"""
_HELPER: Final = re.compile(r"env", re.IGNORECASE)
# of get_bool_env_var, where the tree's own cannot be read
_BOOL_WORDS: Final[_Words] = (("true", "1"), ("false", "0"))
_MENTIONS_MOST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Readers and mentions by variable, and how many files were looked at."""

    readers: Mapping[str, tuple[Reader, ...]]
    mentions: Mapping[str, tuple[str, ...]]
    files: int


@dataclass(slots=True, kw_only=True)
class _File:
    """One parsed file: parents of nodes, and module-level names of variables' names."""

    shown: str
    parents: dict[int, ast.AST]
    constants: dict[str, str]
    wanted: Collection[str]


def find_readers(roots: Collection[Path], base: Path, names: Collection[str]) -> Readings:
    """Look for `names` below the folders; places are shown relative to `base`. A file that is not Python is passed over."""
    readers: dict[str, list[Reader]] = {name: [] for name in names}
    mentions: dict[str, list[str]] = {name: [] for name in names}
    if not names:
        return Readings(readers={}, mentions={}, files=0)
    longest_first = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    word = re.compile(rf"\b(?:{longest_first})\b".encode())
    other = re.compile(_OTHER_READS.format(names=longest_first))
    words, files = _BOOL_WORDS, 0
    for path in _files(roots):
        files += 1
        content = path.read_bytes()
        if b"def get_bool_env_var" in content:
            words = _words_of(content) or words
        if not word.search(content):
            continue
        shown = path.relative_to(base).as_posix()
        if path.suffix != ".py":
            for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
                for match in other.finditer(line):
                    readers[match[1]].append(
                        Reader(place=f"{shown}:{number}", how=How.TEXT, code=match[0].strip("${"))
                    )
            continue
        for name, place, reader in _in_python(content, shown, names):
            if reader is not None:
                readers[name].append(reader)
            else:
                mentions[name].append(place)
    return Readings(
        readers={
            name: tuple(_with_words(reader, words) for reader in found) for name, found in readers.items()
        },
        mentions={name: tuple(found[:_MENTIONS_MOST]) for name, found in mentions.items()},
        files=files,
    )


def _files(roots: Collection[Path]) -> Iterator[Path]:
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            for name in sorted(names):
                if name.endswith((".py", *_OTHER_LANGUAGES)):
                    yield Path(folder) / name


def _in_python(
    content: bytes, shown: str, wanted: Collection[str]
) -> Iterator[tuple[str, str, Reader | None]]:
    """(variable, place, reader or None for a mention) of one file."""
    try:
        module = ast.parse(content)
    except SyntaxError:
        return
    parents = {id(child): node for node in ast.walk(module) for child in ast.iter_child_nodes(node)}
    constants = {
        target.id: text
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for text in _words(node.value) or ()
        if isinstance(node.value, ast.Constant) and text in wanted
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    file = _File(shown=shown, parents=parents, constants=constants, wanted=wanted)
    for node in ast.walk(module):
        name = _name_of(node, file)
        if not name:
            continue
        place = f"{shown}:{node.lineno}" if isinstance(node, ast.expr) else shown
        reader = _reader(node, file, place)
        if reader is not None:
            yield name, place, reader
        elif not (shown.endswith(ENVIRON) and isinstance(node, ast.Name)):
            yield name, place, None


def _name_of(node: ast.AST, file: _File) -> str:
    """The variable that a node names: a literal, a name that holds one, `envs.X`."""
    match node:
        case ast.Constant(value=str() as text) if text in file.wanted:
            return text
        case ast.Name(id=text, ctx=ast.Load()) if text in file.constants:
            return file.constants[text]
        case ast.Attribute(value=ast.Name(id=owner), attr=text) if (
            text in file.wanted and "env" in owner.lower()
        ):
            return text
    return ""


def _reader(node: ast.AST, file: _File, place: str) -> Reader | None:
    """The reader that a node is part of."""
    parent = file.parents[id(node)]
    if isinstance(node, ast.Attribute):
        # a field is read by any of its methods but these
        used = parent.attr if isinstance(parent, ast.Attribute) else "get"
        if used in ("set", "override", "clear", "name"):
            return None
        return Reader(place=place, how=How.FIELD, code=ast.unparse(parent))
    match parent:
        case ast.Subscript(value=owner, ctx=ast.Load()) if _is_environ(owner):
            return _judged(parent, file, place, default="")
        case ast.Call(func=function, args=[first, *rest]) if first is node:
            default = next((ast.unparse(each) for each in (*rest, *(k.value for k in parent.keywords))), "")
            called = ast.unparse(function)
            last = called.rpartition(".")[2]
            if (
                last in ("get", "pop")
                and isinstance(function, ast.Attribute)
                and not _is_environ(function.value)
            ):
                return None
            if last in ("get", "getenv"):
                return _judged(parent, file, place, default=default)
            if (
                last != "setdefault"
                and _HELPER.search(last)
                and not last.lower().startswith(("set", "pop", "del"))
            ):
                how = How.BOOL if "bool" in last.lower() else How.INT if "int" in last.lower() else How.TEXT
                return Reader(place=place, how=how, code=ast.unparse(parent), default=default, folded=True)
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[owner]) if (
            left is node and _is_environ(owner)
        ):
            return Reader(place=place, how=How.PRESENCE, code=ast.unparse(parent))
    return None


def _is_environ(node: ast.AST) -> bool:
    return ast.unparse(node) in ("os.environ", "environ")


def _judged(read: ast.expr, file: _File, place: str, *, default: str) -> Reader:
    """A plain read of the text, by what is done with it."""
    node: ast.AST = read
    folded = False
    parent = file.parents[id(node)]
    while (
        isinstance(parent, ast.Attribute)
        and parent.attr in ("lower", "strip")
        and isinstance(call := file.parents[id(parent)], ast.Call)
    ):
        folded |= parent.attr == "lower"
        node, parent = call, file.parents[id(call)]
    reader = Reader(place=place, how=How.TEXT, code=ast.unparse(read), default=default, folded=folded)
    match parent:
        case ast.Compare(left=left, ops=[operator], comparators=[other]) if left is node:
            words = _words(other)
            if words is None:
                return reader
            if isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                return replace(reader, how=How.COMPARED, code=ast.unparse(parent), yes=words)
        case ast.Call(func=ast.Name(id="int"), args=[only]) if only is node:
            # bool(int(...)) takes 0 and 1 as they look
            return replace(reader, how=How.INT, code=ast.unparse(parent))
        case ast.Call(func=ast.Name(id="float"), args=[only]) if only is node:
            return replace(reader, how=How.FLOAT, code=ast.unparse(parent))
        case ast.Call(func=ast.Name(id="bool"), args=[only]) if only is node:
            return replace(reader, how=How.TRUTH, code=ast.unparse(parent))
        case ast.If() | ast.IfExp() if parent.test is node:
            return replace(reader, how=How.TRUTH)
        case ast.UnaryOp(op=ast.Not()):
            return replace(reader, how=How.TRUTH)
    return reader


def _words(node: ast.expr) -> tuple[str, ...] | None:
    match node:
        case ast.Constant(value=str() as text):
            return (text,)
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            texts = [
                each.value for each in items if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
            return tuple(texts) if len(texts) == len(items) else None
    return None


def _words_of(content: bytes) -> _Words | None:
    """The words of the tree's own `get_bool_env_var`: it assigns the true ones first, then the false ones."""
    try:
        module = ast.parse(content)
    except SyntaxError:
        return None
    function = next(
        (n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == "get_bool_env_var"), None
    )
    lists = [
        words
        for node in (function.body if function is not None else ())
        if isinstance(node, ast.Assign) and (words := _words(node.value)) is not None
    ]
    return (lists[0], lists[1]) if len(lists) == 2 else None


def _with_words(reader: Reader, words: _Words) -> Reader:
    return replace(reader, yes=words[0], no=words[1]) if reader.how is How.BOOL else reader
