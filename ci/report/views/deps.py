"""Showing what the deps verbs plan, do and find."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ci.install.installed import Installed
from ci.plan.container.install import InstallSteps
from ci.record.events import Event, Note, PhaseEnded, PhaseProgress, PhaseStarted
from ci.record.values import PhaseOutcome
from ci.report.console import Text, new_table, open_console, print_json

__all__ = ["show_checked", "show_event", "show_steps"]

_STYLES = {
    PhaseOutcome.OK: "green",
    PhaseOutcome.SKIPPED: "dim",
    PhaseOutcome.WARNED: "yellow",
    PhaseOutcome.FAILED: "red",
    PhaseOutcome.UNFINISHED: "red",
}


def show_steps(
    environ: Mapping[str, str], made: InstallSteps, notes: Sequence[str], *, as_json: bool
) -> None:
    """Every step with its commands and reason, or the reason why it is left out; then what happens to AITER."""
    decision = made.decision.text if made.decision is not None else "nothing to decide"
    if as_json:
        print_json({**asdict(made), "notes": [*made.notes, *notes]})
        return
    console = open_console(environ)
    for step in made.steps:
        if step.skip:
            console.print(Text(f"- {step.id}: left out, {step.skip}", style="dim"))
            continue
        console.print(Text(f"+ {step.id}: {step.text}", style="bold"))
        console.print(f"    {step.why} ({step.source}; {step.era})")
        for path in step.files:
            console.print(f"    writes {path}")
        env = "".join(f"{name}={shlex.quote(value)} " for name, value in step.env.items())
        for argv in step.commands:
            console.print(f"    {env}{shlex.join(argv)}")
    count = sum(not step.skip for step in made.steps)
    console.print(f"{count} of {len(made.steps)} steps for {made.flavour} images, with {made.installer}")
    console.print(f"AITER: {decision}")
    for note in (*made.notes, *notes):
        console.print(f"note: {note}")


def show_event(environ: Mapping[str, str], event: Event) -> None:
    """A phase as it begins and ends, in lines on standard error."""
    console = open_console(environ, json=True)
    match event:
        case PhaseStarted():
            console.print(f"{event.phase}: {event.text}")
        case PhaseEnded():
            text = f"{event.phase}: {event.outcome} after {event.duration_s:g} s {event.text}".rstrip()
            console.print(Text(text, style=_STYLES[event.outcome]))
            for line in event.details:
                console.print(f"    {line}")
        case Note() | PhaseProgress():
            console.print(event.text)
        case _:
            pass


def show_checked(environ: Mapping[str, str], found: Installed, *, as_json: bool) -> None:
    """The protected distributions as they are, and what else was seen."""
    if as_json:
        rows = [asdict(row) for row in found.protected]
        data = {"protected": rows, "lines": list(found.lines), "compared": found.compared}
        print_json(data)
        return
    console = open_console(environ)
    table = new_table("protected", "version", "files", "imported from")
    for row in found.protected:
        if row.version:
            places = ", ".join(dict.fromkeys(row.imported.values()))
            table.add_row(row.distribution, row.version, row.record, places)
    console.print(table)
    for line in found.lines:
        console.print(line)
    state = (
        "as after the installation"
        if found.compared
        else "not compared: this container has no record of an installation"
    )
    console.print(f"protected distributions: {state}")
