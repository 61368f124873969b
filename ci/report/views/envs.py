"""Showing environments: one with the origin of each variable, two side by side, one variable explained."""

from collections.abc import Iterable, Mapping

from ci.plan.environment import Resolved, Setting
from ci.report.console import Console, Rule, Text, new_table

__all__ = ["HIDDEN", "show_environment", "show_environment_differences", "show_explanation", "shown_value"]

HIDDEN = "***"


def shown_value(setting: Setting, secrets: Iterable[str]) -> str:
    """The value, hidden when the name is a secret's."""
    return HIDDEN if setting.name in secrets else setting.value


def show_environment(console: Console, title: str, resolved: Resolved, secrets: Iterable[str]) -> None:
    """Every variable with the set that gave it, why, and what it overrode."""
    console.print(Rule(Text(f"{title}: {len(resolved.settings)} variables", style="bold")))
    table = new_table("variable", "value", "set", "why", "overrode")
    for setting in resolved.settings.values():
        over = ", ".join(f"{source} = {value}" for source, value in setting.overrode)
        table.add_row(setting.name, shown_value(setting, secrets), setting.source, setting.why, over)
    console.print(table)


def show_environment_differences(
    console: Console,
    left: str,
    right: str,
    rows: Iterable[tuple[str, Setting | None, Setting | None]],
    secrets: Iterable[str],
    *,
    alike: int,
) -> None:
    """Variables in which two environments differ; `alike` are those of other text that are the same to their readers."""
    table = new_table("variable", left, right)
    count = 0
    for name, one, two in rows:
        count += 1
        cells = [
            f"{shown_value(setting, secrets)}  ({_origin(setting)})" if setting is not None else "-"
            for setting in (one, two)
        ]
        table.add_row(name, *cells)
    console.print(Rule(Text(f"{left} and {right}: {count} variables differ", style="bold")))
    if count:
        console.print(table)
    if alike:
        console.print(f"{alike} more have other text and are the same to what reads them")


def _origin(setting: Setting) -> str:
    """The set, or the line of a script and what its value depends on."""
    return f"{setting.source}, {setting.why}" if ":" in setting.source and setting.why else setting.source


def show_explanation(console: Console, name: str, settings: Mapping[str, Setting], passed: str) -> None:
    """Where a variable's value comes from in each suite that has it."""
    console.print(Rule(Text(name, style="bold")))
    if passed:
        console.print(f"passed through from the caller: {passed}")
    table = new_table("suite", "value", "set", "why", "overrode")
    for suite, setting in settings.items():
        over = ", ".join(f"{source} = {value}" for source, value in setting.overrode)
        table.add_row(suite, setting.value, setting.source, setting.why, over)
    if settings:
        console.print(table)
