"""A test file without the bodies of its functions and methods: what decides about a registration stands outside them.

Python's parser spends nine tenths of its time on those bodies. Lines keep their numbers. A file that is not of the plain kind,
or whose outline is not Python, has none: it is parsed whole.
"""

import re

__all__ = ["outline"]

_STRING_OR_COMMENT = re.compile(
    rb"""#[^\n]*|(\"\"\"|''')(?:[^\\]|\\.)*?\1|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL
)
# a function or method with its body: lines that are indented deeper, empty ones and comments
_BODY = re.compile(
    rb"^([ \t]*)((?:async[ \t]+)?def[ \t][^\n#]*:)[ \t]*\n((?:(?:\1[ \t]+[^\n]*|[ \t]*(?:#[^\n]*)?)\n)+)",
    re.MULTILINE,
)
_CODING = re.compile(rb"\A\xef\xbb\xbf|\A[^\n]*coding[:=]|\A[^\n]*\n[^\n]*coding[:=]")


def outline(source: bytes) -> bytes | None:
    """The outline, None for a file that has to be parsed whole."""
    if _CODING.search(source) or b"\r" in source or b"\f" in source:
        return None
    return _BODY.sub(_emptied, _STRING_OR_COMMENT.sub(_on_one_line, source))


def _on_one_line(found: re.Match[bytes]) -> bytes:
    """A string over several lines becomes an empty one with as many continued lines; anything else stays."""
    text = found[0]
    lines = text.count(b"\n")
    return b'""' + b"\\\n " * lines if lines else text


def _emptied(found: re.Match[bytes]) -> bytes:
    return found[1] + found[2] + b" pass\n" + b"\n" * found[3].count(b"\n")
