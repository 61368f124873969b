"""The environment that a shell script gives the programs that it starts: its syntax tree is read, nothing is run."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from ci.facts.scripts.values import Scope, Value
from ci.system.environ import VARIABLE_NAME

__all__ = ["read_shell"]

_BASH: Final = Language(tree_sitter_bash.language())
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
# What may or may not be executed.
_BRANCHES: Final = frozenset(
    {
        "if_statement",
        "case_statement",
        "for_statement",
        "c_style_for_statement",
        "while_statement",
        "function_definition",
    }
)
# Programs that only start another one.
_WRAPPERS: Final = frozenset({"sudo", "exec", "nohup", "time", "command", "builtin"})
_CONTAINER_PROGRAMS: Final = frozenset({"docker", "podman", "amd_ci_exec.sh"})
# What follows is for the program in the container.
_PROGRAM_BEGINS: Final = frozenset({"--", "bash", "sh", "python", "python3", "find", "sed", "grep"})
_SHELLS: Final = frozenset({"bash", "sh"})
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


def read_shell(text: str) -> Scope:
    """Assignments, exports, `env`, variables before a command, and `-e` of container programs, in order."""
    scope = Scope()
    _Reader(text, scope).read()
    return scope


class _Reader:
    def __init__(self, text: str, scope: Scope, *, first_line: int = 1, maybe: bool = False) -> None:
        self._source = text.encode()
        self._scope = scope
        self._first_line = first_line
        self._maybe = maybe

    def read(self) -> None:
        """Everything of the text."""
        root = Parser(_BASH).parse(self._source).root_node
        if root.has_error:
            line = min((self._line(node) for node in _errors(root)), default=self._first_line)
            self._scope.notes.append(f"line {line} is not understood: variables may be missing")
        self._statement(root, maybe=self._maybe)

    def _line(self, node: Node) -> int:
        return node.start_point[0] + self._first_line

    def _start(self, node: Node) -> int:
        return (
            node.start_byte
            + len(whole := self._source[node.start_byte : node.end_byte])
            - len(whole.lstrip())
        )

    def _raw(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode(errors="replace").lstrip()

    # --- statements

    def _statement(self, node: Node, *, maybe: bool) -> None:
        handlers: Mapping[str, Callable[..., None]] = {
            "variable_assignment": self._assignment,
            "declaration_command": self._declaration,
            "unset_command": self._unset,
            "command": self._command,
        }
        handler = handlers.get(node.type)
        if handler is not None:
            handler(node, maybe=maybe)
            return
        if node.type == "subshell":
            return  # what is set there ends there
        inner = maybe or node.type in _BRANCHES
        for child in node.children:
            self._statement(child, maybe=inner)
            # `a || b`: b is executed only when a fails
            inner = inner or (node.type == "list" and child.type == "||")

    def _assignment(self, node: Node, *, maybe: bool) -> None:
        name, value = self._assigned(node)
        self._scope.assign(name, value, self._line(node), maybe=maybe)

    def _assigned(self, node: Node) -> tuple[str, Value]:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        text = self._value(value) if value is not None else Value(text="")
        if "+=" in self._raw(node).partition("=")[0] + "=":
            before = self._scope.variables.get(self._raw(name) if name is not None else "")
            text = (before.values[-1] if before is not None else Value(text="")) + text
        return (self._raw(name) if name is not None else ""), text

    def _declaration(self, node: Node, *, maybe: bool) -> None:
        words = [self._raw(child) for child in node.children]
        exports = words[0] == "export" or any(re.fullmatch(r"-\w*x\w*", word) for word in words[1:])
        removed = words[0] == "export" and "-n" in words
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assignment(child, maybe=maybe)
                name = self._assigned(child)[0]
            elif child.type == "variable_name":
                name = self._raw(child)
            else:
                continue
            if removed:
                self._scope.exported.discard(name)
            elif exports:
                self._scope.exported.add(name)

    def _unset(self, node: Node, *, maybe: bool) -> None:
        for child in node.named_children:
            if child.type in ("variable_name", "word"):
                self._scope.unset(self._raw(child), maybe=maybe)

    # --- commands

    def _command(self, node: Node, *, maybe: bool) -> None:
        line = self._line(node)
        before = [
            self._assigned(child) for child in node.named_children if child.type == "variable_assignment"
        ]
        words = [
            self._value(child.named_children[0] if child.type == "command_name" else child)
            for child in node.named_children
            if child.type not in ("variable_assignment", "file_redirect", "heredoc_redirect")
        ]
        while words and words[0].text in _WRAPPERS:
            words = words[1:]
        program = words[0].text.rpartition("/")[2] if words else ""
        if program != "read":
            for name, value in before:
                self._scope.give(name, value, line, maybe=maybe)
        if program in ("source", ".", "eval"):
            what = words[1].text if len(words) > 1 else ""
            self._scope.notes.append(f"line {line}: {program} {what} is not followed")
        elif program == "set":
            self._set([word.text for word in words[1:]])
        elif program == "env":
            self._env(words[1:], line, maybe=maybe)
        elif any(
            part in _CONTAINER_PROGRAMS for word in words[:2] for part in [word.text.rpartition("/")[2]]
        ):
            self._container(words[1:], line, maybe=maybe)
        elif program.startswith(("-e", "--env")):
            self._container(words, line, maybe=maybe)
        self._inner(words, line, maybe=maybe)

    def _set(self, words: Sequence[str]) -> None:
        text = " ".join(words)
        if re.search(r"(^| )-\w*a\w*( |$)|-o allexport", text):
            self._scope.export_all = True
        elif re.search(r"(^| )\+\w*a\w*( |$)|\+o allexport", text):
            self._scope.export_all = False

    def _env(self, words: Sequence[Value], line: int, *, maybe: bool) -> None:
        """`env [-i] [-u NAME] A=1 ... program`."""
        before = ""
        for word in words:
            found = _ASSIGNMENT.fullmatch(word.text)
            if found is not None:
                self._give(found[1], found[2], word, line, maybe=maybe)
            elif not word.text.startswith("-") and before not in ("-u", "--unset"):
                return
            before = word.text

    def _container(self, words: Sequence[Value], line: int, *, maybe: bool) -> None:
        """`-e A=1`, `-eA=1`, `--env A=1`, `--env=A=1`; with a name alone the variable is the shell's own."""
        ends = (number for number, word in enumerate(words) if word.text in _PROGRAM_BEGINS)
        words = words[: next(ends, len(words))]
        for word, following in zip(words, [*words[1:], Value(text="")], strict=True):
            text = word.text
            if text in ("-e", "--env"):
                given, value = following.text, following
            elif text.startswith("--env-file"):
                file = text.partition("=")[2] or following.text
                self._scope.notes.append(f"line {line}: {file} is not read: compare it by itself")
                continue
            elif (glued := re.match(r"(--env=|-e(?=[A-Za-z_]\w*=))", text)) is not None:
                given, value = text[glued.end() :], word
            else:
                continue
            name, equals, rest = given.partition("=")
            if not VARIABLE_NAME.fullmatch(name):
                continue
            if equals:
                self._give(name, rest, value, line, maybe=maybe)
            elif name in self._scope.variables:
                self._scope.exported.add(name)
            else:
                self._scope.notes.append(f"line {line}: {name} is the caller's")

    def _give(self, name: str, text: str, word: Value, line: int, *, maybe: bool) -> None:
        value = Value(text=text, known=word.known, caller=word.caller)
        self._scope.give(name, value, line, maybe=maybe)

    def _inner(self, words: Sequence[Value], line: int, *, maybe: bool) -> None:
        """The script of `bash -c '...'`."""
        for shell, option, script in zip(words, words[1:], words[2:], strict=False):
            is_shell = shell.text.rpartition("/")[2] in _SHELLS
            if is_shell and re.fullmatch(r"-\w*c", option.text) and script.known:
                _Reader(script.text, self._scope, first_line=line, maybe=maybe).read()

    # --- words

    def _value(self, node: Node) -> Value:
        """What a word expands to; it is in one piece, since assignments and options of containers are not split."""
        raw = self._raw(node)
        match node.type:
            case "word" | "number" | "variable_name" | "special_variable_name":
                return Value(text=re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL).replace("\\\n", ""))
            case "string":
                return self._string(node)
            case "raw_string":
                return Value(text=raw[1:-1])
            case "ansi_c_string":
                return Value(text=re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), raw[2:-1]))
            case "concatenation":
                return self._joined(node.children)
            case "simple_expansion":
                return self._variable(raw.removeprefix("$"), raw)
            case "expansion":
                return self._expansion(node)
        return Value(text=raw, known=False)

    def _joined(self, nodes: Sequence[Node]) -> Value:
        value = Value(text="")
        for node in nodes:
            value += self._value(node)
        return value

    def _string(self, node: Node) -> Value:
        """A string in double quotes: what lies between its expansions is text."""
        value, at = Value(text=""), node.start_byte + 1
        for child in (*node.named_children, None):
            if child is not None and child.type == "string_content":
                continue
            # the grammar gives the blanks before an expansion to the expansion
            end = self._start(child) if child is not None else node.end_byte - 1
            text = self._source[at:end].decode(errors="replace")
            value += Value(text=re.sub(r'\\(["\\$`])', r"\1", text).replace("\\\n", ""))
            if child is not None:
                value += self._value(child)
                at = child.end_byte
        return value

    def _variable(self, name: str, raw: str) -> Value:
        found = self._scope.variables.get(name)
        if found is None or len(found.values) != 1 or found.maybe_unset:
            return Value(text=raw, known=False)
        return found.values[0]

    def _expansion(self, node: Node) -> Value:
        """`${A}`, and `${A:-text}`, which is the text unless A is set."""
        raw = self._raw(node)
        found = re.fullmatch(r"\$\{([A-Za-z_]\w*)(?:(:?[-=])(.*))?\}", raw, re.DOTALL)
        if found is None:
            return Value(text=raw, known=False)
        name, operator = found[1], found[2]
        own = self._variable(name, raw)
        if operator is None or (own.known and (own.text or operator[0] != ":")):
            return own
        if name in self._scope.variables and not own.known:
            return Value(text=raw, known=False)
        inner = [child for child in node.named_children if child.type != "variable_name"]
        default = self._joined(inner) if inner else Value(text=found[3])
        return default + Value(text="", caller=() if own.known else (name,))


def _errors(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    for child in node.children:
        yield from _errors(child)
