"""Prints the server arguments of the SGLang that this interpreter imports, as JSON on the last line of standard output.

Runs in the engine's interpreter: a program of its own. Standard input has a JSON list of [option, value] to be parsed.
"""

import argparse
import json
import sys
from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _option(action: argparse.Action) -> "dict[str, Any]":
    name = type(action).__name__
    kind = getattr(action.type, "__name__", "str") if action.type is not None else "str"
    text = (action.help or "").strip() if action.help != argparse.SUPPRESS else ""
    deprecated = "Deprecated" in name or text.lower().lstrip("[(").startswith("deprecated")
    instead = getattr(action, "new_flag", None)
    return {
        "names": list(action.option_strings),
        "type": "flag" if action.nargs == 0 else kind if kind in ("str", "int", "float") else "other",
        "nargs": action.nargs,
        "choices": None if action.choices is None else [str(choice) for choice in action.choices],
        "deprecated": deprecated,
        "instead": f"use {instead}" if instead else text.partition(". ")[0] if deprecated else "",
    }


def main() -> None:
    """Import, print, leave."""
    from sglang.srt.server_args import ServerArgs  # noqa: PLC0415 - an error of it is this program's

    parser = _Parser(prog="sglang")
    ServerArgs.add_cli_args(parser)
    actions = [action for action in parser._actions if "-h" not in action.option_strings]  # noqa: SLF001
    for action in actions:
        action.required = False
    refused = []
    for words in json.load(sys.stdin):
        try:
            parser.parse_known_args(words)
        except Exception as error:  # noqa: BLE001 - whatever a type's own code raises
            refused.append([*words, str(error)])
    sys.stdout.write(
        "\n" + json.dumps({"options": [_option(each) for each in actions], "refused": refused}) + "\n"
    )


main()
