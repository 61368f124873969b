"""Executes an SGLang's environ.py alone and prints its fields, as JSON on the last line of standard output.

A program of its own, on the standard library: what the file imports of SGLang is an empty module. Standard input has
{"path": ..., "values": {name: [value, ...]}}.
"""

import json
import os
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location, spec_from_loader
from typing import Any


class _Empty(MetaPathFinder, Loader):
    """Every module of `sglang` is empty."""

    def find_spec(
        self, fullname: str, _path: "Sequence[str] | None", _target: "types.ModuleType | None" = None
    ) -> "ModuleSpec | None":
        return (
            spec_from_loader(fullname, self, is_package=True)
            if fullname.split(".", maxsplit=1)[0] == "sglang"
            else None
        )

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing."""


def _default(field: Any) -> str:
    value = field.default
    return f"{getattr(value, '__name__', 'computed')}()" if callable(value) else repr(value)


def _parse(field: Any, name: str, value: str) -> "tuple[str, str]":
    """What a value becomes, and why it is invalid, if it is."""
    os.environ[name] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            becomes = repr(field.get())
        except Exception as error:  # noqa: BLE001 - the file's own code
            return f"{type(error).__name__}: {error}", str(error) or type(error).__name__
        finally:
            del os.environ[name]
    return becomes, "; ".join(str(each.message) for each in caught)


def main() -> None:
    """Execute, print, leave."""
    asked = json.load(sys.stdin)
    sys.meta_path.insert(0, _Empty())
    spec = spec_from_file_location("sglang_environ_alone", asked["path"])
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file's always has one
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    fields = {}
    for name in dir(type(module.envs)):
        field = type(module.envs).__dict__.get(name)
        if not hasattr(field, "default") or not callable(getattr(field, "get", None)):
            continue
        parsed, invalid = {}, {}
        for value in asked["values"].get(name, ()):
            parsed[value], problem = _parse(field, name, value)
            if problem:
                invalid[value] = problem
        fields[name] = {
            "type": type(field).__name__,
            "default": _default(field),
            "alias_of": getattr(field, "deprecated_name", ""),
            "parsed": parsed,
            "invalid": invalid,
        }
    sys.stdout.write("\n" + json.dumps(fields) + "\n")


main()
