"""Python's parser over files of other people."""

import ast
import warnings

__all__ = ["syntax_of", "syntax_or_none"]


def syntax_of(source: bytes) -> ast.Module:
    """The syntax tree, without warnings: an invalid escape in someone else's test is not our finding.

    Raises:
        SyntaxError, ValueError: it is not Python.
        RecursionError, MemoryError: it is nested too deeply for the parser.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def syntax_or_none(source: bytes) -> ast.Module | None:
    """The syntax tree, None for what cannot be parsed."""
    try:
        return syntax_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
