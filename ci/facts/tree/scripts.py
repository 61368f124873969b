"""The commands of a step's script, as words; nothing is run and no variable is filled in."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Command", "commands_of"]

# what stands between two commands, or before one
_BREAKS: Final = frozenset({"&&", "||", ";", "|", "&", "(", ")", "{", "}", "|&", ";;"})
_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "while", "until", "do", "!", "time", "exec", "eval"}
)
_REDIRECTION: Final = re.compile(r"\d*(?:>>?|<|>&|<<<)(?:&?\d+)?$|\d*>&\d+$|&>>?$")
_HERE: Final = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_ASSIGNED: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
_SHELLS: Final = ("bash", "sh", "/bin/bash", "/bin/sh")
_DEEPEST: Final = 4
_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One simple command: its words without redirections, the variables before it, and its folder when `cd` gave one.

    `line` counts from 0 within the script.
    """

    words: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    folder: str
    line: int


def commands_of(script: str, unread: list[tuple[int, str]], *, depth: int = 0) -> Iterator[Command]:
    """Every command of a script, also those given to `bash -c`; lines that cannot be split are added to `unread`."""
    folder = ""
    for line, text in _logical_lines(script):
        words = _split(text)
        if words is None:
            unread.append((line, text))
            continue
        for group in _groups(words):
            command = _command(group, folder, line)
            if command is None:
                continue
            if command.words[0] == "cd" and len(command.words) > 1:
                folder = command.words[1]
                continue
            yield command
            shell = _shell_at(command.words)
            if shell and depth < _DEEPEST:
                yield from (
                    replace(
                        each,
                        words=(*command.words[: shell - 2], *each.words),
                        env=(*command.env, *each.env),
                        folder=each.folder or folder,
                        line=line,
                    )
                    for each in commands_of(command.words[shell], unread, depth=depth + 1)
                )


def _shell_at(words: Sequence[str]) -> int:
    """Where the script is that a command gives to a shell; 0 without one."""
    for number, word in enumerate(words[:-2]):
        if word in _SHELLS and re.fullmatch(r"-\w*c", words[number + 1]):
            return number + 2
    return 0


def _command(group: Sequence[str], folder: str, line: int) -> Command | None:
    words = list(group)
    env: list[tuple[str, str]] = []
    while words:
        assigned = _ASSIGNED.fullmatch(words[0])
        if words[0] in _KEYWORDS:
            words.pop(0)
        elif assigned is not None:
            env.append((assigned["name"], assigned["value"]))
            words.pop(0)
        elif words[0] == "env" and len(words) > 1:
            words.pop(0)
        else:
            break
    return Command(words=tuple(words), env=tuple(env), folder=folder, line=line) if words else None


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _BREAKS:
            if group:
                yield group
            group = []
        elif _REDIRECTION.fullmatch(word):
            skip = not re.search(r"&\d+$", word)
        else:
            group.append(word)
    if group:
        yield group


def _logical_lines(script: str) -> Iterator[tuple[int, str]]:
    """Lines with what a backslash or an open quote continues, without comments and here-documents."""
    lines = script.splitlines()
    at = 0
    while at < len(lines):
        start, (text, is_open) = at, _scan(lines[at])
        at += 1
        while at < len(lines) and at - start < _MOST_LINES and (is_open or text.endswith("\\")):
            joined = f"{text}\n{lines[at]}" if is_open else f"{text[:-1]} {lines[at].strip()}"
            text, is_open = _scan(joined)
            at += 1
        here = _HERE.search(text)
        if here is not None:
            text = text[: here.start()] + text[here.end() :]
            while at < len(lines) and lines[at].strip() != here[2]:
                at += 1
            at += 1
        if text.strip():
            yield start, text.strip()


def _scan(text: str) -> tuple[str, bool]:
    """The text without its comment, and whether a quote in it is not closed."""
    quote, before, escaped = "", " ", False
    for number, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (before.isspace() or before in ";|&("):
            end = text.find("\n", number)
            return _scan(text[:number].rstrip() + (text[end:] if end >= 0 else ""))
        before = char
    return text, bool(quote)


def _split(text: str) -> list[str] | None:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return None
