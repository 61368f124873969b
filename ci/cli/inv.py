"""`./inv`: verbs whose options are a dataclass, and a program on Invoke whose usage errors are this project's."""

import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields
from functools import update_wrapper
from pathlib import Path
from typing import Any, Final, cast

from invoke.collection import Collection as TaskCollection
from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.parser.parser import ParseResult
from invoke.program import Program
from invoke.tasks import Task

from ci.catalog.toml_reader import closest
from ci.errors import CiError, ExitCode, Problem, UsageError

__all__ = ["SEVERAL", "Inv", "Verbs", "arguments_of"]

_PYPROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"

# Invoke's other options are about shell commands, which no verb runs; its `--dry` would change nothing.
_CORE_OPTIONS: Final = frozenset(
    {
        "complete",
        "debug",
        "help",
        "list",
        "list-depth",
        "list-format",
        "print-completion-script",
        "version",
        "write-pyc",
    }
)

# between the values of a verb's argument that takes several: no path and no link holds it
SEVERAL: Final = "\x1f"


class Verbs:
    """The verbs of a program, added one by one; Invoke reads `namespace`."""

    def __init__(self) -> None:
        """No verb yet."""
        self.namespace = TaskCollection()
        self.several: set[str] = set()

    def add(
        self, name: str, *, only: Sequence[str] = (), required: str = "", several: bool = False
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Make a verb of a function whose options are the fields of its one parameter; without one it has none.

        Args:
            name: as users type it, e.g. `image.resolve`.
            only: the fields that are options of this verb; all when empty.
            required: a field that must be given although it has a default, with or without its name.
            several: it may be given several times; the field then has the values with `SEVERAL` between them.
        """
        if several:
            self.several.add(name)

        def decorate(function: Callable[..., None]) -> Callable[..., None]:
            parameters = list(inspect.signature(function).parameters.values())
            kind = parameters[0].annotation if parameters else None
            options = [field for field in fields(kind) if not only or field.name in only] if kind else []

            def body(_context: Context, **values: Any) -> None:
                try:
                    function(*([kind(**_converted(name, options, values))] if kind else []))
                except CiError as error:
                    raise _exit(error) from None

            update_wrapper(body, function)
            # Invoke reads a verb's options from its signature
            cast("Any", body).__signature__ = _signature(options, required)
            group, _, last = name.rpartition(".")
            texts = {field.name: field.metadata["help"] for field in options}
            task: Task[Any] = Task(body, name=last, help=texts, auto_shortflags=False)
            self._group(group).add_task(task)
            return function

        return decorate

    def _group(self, name: str) -> TaskCollection:
        if not name:
            return self.namespace
        if name not in self.namespace.collections:
            self.namespace.add_collection(TaskCollection(name))
        return cast("TaskCollection", self.namespace.collections[name])


def _signature(options: Sequence[Field[Any]], required: str) -> inspect.Signature:
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature(
        [
            first,
            *(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if field.name == required else _shown_default(field),
                )
                for field in options
            ),
        ]
    )


def _shown_default(field: Field[Any]) -> str | bool:
    """What Invoke gets as default: a number is read here, where a wrong one can be explained."""
    return field.default if isinstance(field.default, bool) else str(field.default)


def _converted(verb: str, options: Sequence[Field[Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Invoke's values with those of whole numbers converted.

    Raises:
        UsageError: with every value that is not a number.
    """
    converted = dict(values)
    problems = []
    for field in options:
        if field.type is int:
            try:
                converted[field.name] = int(values[field.name])
            except ValueError:
                what = f"{values[field.name]!r} is not a whole number"
                hint = f"default: {field.default}"
                problems.append(Problem(where=_option(field.name), what=what, hint=hint))
    if problems:
        raise UsageError("invalid options", problems=problems, then=f"./inv --help {verb}")
    return converted


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def arguments_of(options: Any) -> list[str]:
    """Options of a dataclass as command line arguments, without those that have their default."""
    arguments = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            arguments.append(_option(field.name) + ("" if value is True else f"={value}"))
    return arguments


class Inv(Program):
    """The verbs of a collection as a program: usage errors are exit 2 with the closest names, Ctrl-C is 130."""

    def __init__(self, verbs: Verbs) -> None:
        """A program of these verbs."""
        super().__init__(namespace=verbs.namespace, name="inv", binary="./inv", binary_names=["inv"])
        self._several = verbs.several

    def core_args(self) -> list[Argument]:
        """Invoke's own options that have a meaning here."""
        return [argument for argument in super().core_args() if argument.name in _CORE_OPTIONS]

    def update_config(self, merge: bool = True) -> None:  # noqa: FBT001, FBT002 - Invoke's
        """Take nothing from Invoke's options or configuration files: no verb uses them."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the options before the first verb."""
        try:
            super().parse_core(argv)
        except (ParseError, ValueError) as error:
            raise _exit(UsageError(f"invalid options: {error}", then="./inv --help")) from None

    def parse_tasks(self) -> None:
        """Read verbs and their options."""
        words = self.core.unparsed
        if {"--help", "-h"} & set(words):  # Invoke would take it for the value of a required argument
            self.parser, self.tasks = self._make_parser(), ParseResult()
            self.args.help.value = words[0]
            return
        if words[:1] and words[0] in self._several:
            self.core.unparsed[:] = self._joined(words)
        try:
            super().parse_tasks()
        except ParseError as error:
            raise _exit(_explained(error, self.parser.contexts)) from None
        for context in self.tasks:
            if option := _taken_for_a_value(context):
                raise _exit(_unknown_option(option, context))

    def _joined(self, words: Sequence[str]) -> list[str]:
        """The words of a verb with the values of its one argument as one, in front."""
        flags = self._make_parser().contexts[words[0]].flags
        values: list[str] = []
        options: list[str] = []
        rest = list(words[1:])
        while rest:
            word = rest.pop(0)
            if word == "-" or not word.startswith("-"):
                values.append(word)
                continue
            options.append(word)
            if word in flags and flags[word].takes_value and rest:
                options.append(rest.pop(0))
        return [words[0], *([SEVERAL.join(values)] if values else []), *options]

    def parse_cleanup(self) -> None:
        """Answer `--help VERB`, `--list` and the like."""
        name = self.args.help.value
        if isinstance(name, str) and name not in self.parser.contexts:
            raise _exit(_unknown_verb(name, self.parser.contexts))
        super().parse_cleanup()

    def execute(self) -> None:
        """Run the verbs."""
        try:
            super().execute()
        except KeyboardInterrupt:
            raise Exit("interrupted", code=int(ExitCode.INTERRUPTED)) from None

    def print_version(self) -> None:
        """The version of this project."""
        project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
        sys.stdout.write(f"{project['name']} {project['version']}\n")

    def print_help(self) -> None:
        """Every verb by group."""
        sys.stdout.write(
            "usage: ./inv VERB [options]; ./inv --help VERB\n\n"
            "What looks at or changes this machine. What computes, checks or runs a stage is a session: nox -l\n\n"
        )
        self.list_flat()
        sys.stdout.write(
            "Options: --help [VERB], --list, --version, --print-completion-script bash|zsh|fish\n"
        )

    def list_flat(self) -> None:
        """The verbs, a group after the other."""
        self.list_format = "flat"
        pairs = self._make_pairs(self.scoped_collection)
        width = max(len(name) for name, _ in pairs)
        group = ""
        for name, text in pairs:
            if (here := name.rpartition(".")[0]) != group:
                sys.stdout.write("\n")
                group = here
            sys.stdout.write(f"  {name:<{width}}  {text}\n")
        sys.stdout.write("\n")

    def print_task_help(self, name: str) -> None:
        """One verb and its options."""
        context = self.parser.contexts[name]
        required = [argument.names[0] for argument in context.positional_args]
        words = "".join(f" {word.upper()}" for word in required)
        rows = [(word.upper(), context.args[word].help) for word in required]
        rows += [row for row in context.help_tuples() if row[0].partition("=")[0].lstrip("-") not in required]
        sys.stdout.write(f"usage: ./inv {name}{words}{' [options]' if len(rows) > len(required) else ''}\n\n")
        sys.stdout.write(f"{inspect.getdoc(self.collection[name])}\n\n")
        if rows:
            self.print_columns(rows)


def _exit(error: CiError) -> Exit:
    return Exit(error.render(), code=int(error.exit_code))


def _unknown_verb(name: str, verbs: Mapping[str, Any]) -> UsageError:
    return UsageError(f"unknown verb {name!r}", cause=_near(name, list(verbs)), then="./inv --list")


def _unknown_option(name: str, verb: ParserContext) -> UsageError:
    known = [option for option in verb.flags if option.startswith("--")]
    return UsageError(
        f"unknown option {name} of {verb.name}",
        cause=closest(name, known) if known else f"{verb.name} has no options",
        then=f"./inv --help {verb.name}",
    )


def _taken_for_a_value(verb: ParserContext) -> str:
    """An unknown option that Invoke took for the value of a required argument; `-` is standard input."""
    values = [str(argument.value or "") for argument in verb.positional_args]
    return next((value for value in values if value.startswith("-") and value != "-"), "")


def _near(name: str, known: Collection[str]) -> str:
    """The closest names; empty when none is near, for `./inv --list` is the next command anyway."""
    text = closest(name, known)
    return "" if text.startswith("known") else text


def _explained(error: ParseError, verbs: Mapping[str, Any]) -> UsageError:
    """What Invoke's parser refuses, in our words and with the closest names."""
    context = error.context
    token = re.fullmatch(r"No idea what '(.*)' is!", str(error))
    if context is None or not context.name:
        name = token[1] if token else str(error)
        if name.startswith("-"):
            return UsageError(f"unknown option {name}", cause="a verb comes first", then="./inv --help")
        return _unknown_verb(name, verbs)
    then = f"./inv --help {context.name}"
    if option := _taken_for_a_value(context) or (token[1] if token and token[1].startswith("-") else ""):
        return _unknown_option(option, context)
    if token:
        cause = _near(token[1], list(verbs))
        return UsageError(f"unexpected argument {token[1]!r} after {context.name}", cause=cause, then=then)
    if missing := [argument.names[0].upper() for argument in context.missing_positional_args]:
        return UsageError(f"{context.name} needs {' and '.join(missing)}", then=then)
    if flag := re.search(r"<Argument: ([\w-]+)", str(error)):
        return UsageError(f"option --{flag[1]} of {context.name} needs a value", then=then)
    return UsageError(f"invalid options of {context.name}: {error}", then=then)
