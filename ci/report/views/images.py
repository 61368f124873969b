"""Showing what the image verbs found or did."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ci.images.pull import Pulled
from ci.images.store import Mirrored, OldImage
from ci.plan.container.image_fact import ImageFact
from ci.record.events import Event, Note, PhaseProgress
from ci.report.console import Text, fact_table, new_table, open_console, print_json

__all__ = ["show_image", "show_mirrored", "show_old_images", "show_progress", "show_pulled"]

_MIB = 1 << 20


def show_image(environ: Mapping[str, str], image: ImageFact, *, as_json: bool) -> None:
    """The image, every candidate with its reason, and what has to be known about it."""
    console = open_console(environ, json=as_json)
    if as_json:
        _json({**asdict(image), "pinned": image.pinned, "stale": image.stale})
    table = new_table("tag", "tags", "", title="candidates")
    for row in image.candidates:
        table.add_row(row.tag, str(row.count), row.refused or "taken")
    if image.candidates:
        console.print(table)
    age = "" if image.age_days is None else f"{image.age_days} days, stale after {image.stale_after_days}"
    facts = {
        "image": image.reference if image.config_digest else "",
        "unresolved": image.problem,
        "source": image.source,
        "pinned": image.pinned if image.manifest_digest else "",
        "config": image.config_digest,
        "flavour": image.flavour,
        "size": f"{image.size_bytes / _MIB:,.1f} MiB" if image.size_bytes else "",
        "age": age,
    }
    console.print(fact_table(facts))
    for line in image.local:
        console.print(f"local store: {line}")
    for note in (*image.notes, image.stale_note):
        if note:
            console.print(Text(f"warning: {note}", style="yellow"))


def show_progress(event: Event) -> None:
    """One line for a note or a step of a transfer, on standard error: standard output is for results."""
    match event:
        case Note():
            sys.stderr.write(f"{event.text}\n")
        case PhaseProgress():
            total = f" of {event.total / _MIB:,.1f}" if event.total else ""
            rate = f", {event.rate / _MIB:,.1f} MiB/s" if event.rate else ""
            sys.stderr.write(f"{event.text}, {(event.done or 0) / _MIB:,.1f}{total} MiB{rate}\n")
        case _:
            pass


def show_pulled(environ: Mapping[str, str], image: ImageFact, pulled: Pulled, *, as_json: bool) -> None:
    """Where the image came from, and the result of every hop."""
    if as_json:
        _json({"reference": image.reference, "pinned": image.pinned, **asdict(pulled)})
        return
    console = open_console(environ)
    for hop in pulled.hops:
        console.print(f"{hop.name}: {hop.what}")
    console.print(f"{pulled.local_id} is in the local store")


def show_mirrored(environ: Mapping[str, str], mirrored: Mirrored, *, as_json: bool) -> None:
    """The copy and its digests."""
    if as_json:
        _json(asdict(mirrored))
        return
    how = "pushed and verified" if mirrored.pushed else "already there, verified"
    text = (
        f"{mirrored.reference}: {how}, manifest {mirrored.manifest_digest}, config {mirrored.config_digest}"
    )
    open_console(environ).print(text)


def show_old_images(
    environ: Mapping[str, str], images: Sequence[OldImage], freed_bytes: int, *, dry: bool, as_json: bool
) -> None:
    """Each of this project's images with what happened to it, and the space that this freed."""
    if as_json:
        _json({"images": [asdict(image) for image in images], "freed_bytes": freed_bytes, "dry": dry})
        return
    console = open_console(environ)
    for image in images:
        what = f"stays: {image.kept}" if image.kept else ("would go" if dry else "removed")
        names = ", ".join(image.names)
        console.print(f"{names} ({image.age_days} days, {image.size_bytes / _MIB:,.1f} MiB): {what}")
    gone = [image for image in images if not image.kept]
    if dry:
        most = sum(image.size_bytes for image in gone)
        text = f"{len(gone)} images would be removed, {most / _MIB:,.1f} MiB at most: layers are shared"
    else:
        text = f"{len(gone)} images were removed, {freed_bytes / _MIB:,.1f} MiB are free again"
    console.print(text)


def _json(value: Any) -> None:
    print_json(value, sort_keys=True)
