"""Whether the body of a case was run, and how it ended: seen where it is called, whatever a report says of it."""

import functools
import inspect
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__ = ["Body", "function_of"]


def function_of(item: "pytest.Item") -> object:
    """The function of a case: the same object when it is collected and when it is run, also of a method."""
    function = getattr(item, "obj", None)
    return getattr(function, "__func__", function)


class Body:
    """The body of one case: how often it was called, and what its last call raised."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: BaseException | None = None

    @contextmanager
    def watched(self, item: "pytest.Item") -> Iterator[None]:
        """Watch the function of a case, or the whole case where it is no function; afterwards it is as before."""
        function = getattr(item, "obj", None)
        if not callable(function):
            item.runtest = self._watching(item.runtest)  # type: ignore[method-assign]  # of this case alone
            try:
                yield
            finally:
                del item.runtest
            return
        watching = self._watching(function)
        item.obj = watching  # type: ignore[attr-defined]  # a setter of pytest's own
        owner = getattr(function, "__self__", None)
        of_unittest = isinstance(owner, unittest.TestCase)
        if of_unittest:  # which looks an asynchronous method up by its name
            setattr(owner, item.name, watching)
        try:
            yield
        finally:
            item.obj = function  # type: ignore[attr-defined]
            if of_unittest:
                with suppress(AttributeError):  # pytest has removed it
                    delattr(owner, item.name)

    def _watching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def called(*arguments: object, **keywords: object) -> object:
                __tracebackhide__ = True
                with self._call():
                    return await function(*arguments, **keywords)

            return called
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            return function  # pytest refuses it

        @functools.wraps(function)
        def call(*arguments: object, **keywords: object) -> object:
            __tracebackhide__ = True
            with self._call():
                return function(*arguments, **keywords)

        return call

    @contextmanager
    def _call(self) -> Iterator[None]:
        __tracebackhide__ = True
        self.calls += 1
        self.error = None
        try:
            yield
        except BaseException as error:
            self.error = error
            raise
