"""What `./inv image.build` shows: steps while it builds, then the image and how to run on it."""

import sys
from collections.abc import Mapping

from ci.plan.container.image_fact import ImageFact
from ci.record.events import Event, Note, PhaseProgress
from ci.report.console import Text, fact_table, open_console, print_json
from ci.report.live.progress import phase_words
from ci.report.text import one_line, size, strip_ansi

__all__ = ["BuildView", "show_built"]


class BuildView:
    """Steps as lines on standard error, so that standard output is the result alone."""

    def __init__(self, *, json: bool) -> None:
        """With `json` the builder's own output is left out."""
        self._json = json

    def show(self, event: Event) -> None:
        """Take the progress of a phase or a note."""
        match event:
            case PhaseProgress():
                self._write(one_line(phase_words(event)))
            case Note():
                self._write(one_line(event.text))
            case _:
                pass

    def log(self, line: str) -> None:
        """Take a line of the builder's."""
        if not self._json:
            self._write("    " + one_line(strip_ansi(line)))

    def close(self) -> None:
        """Everything was written at once."""
        sys.stderr.flush()

    def _write(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def show_built(environ: Mapping[str, str], image: ImageFact, *, as_json: bool) -> None:
    """The image's identity, what is in it, and the line that uses it."""
    if as_json:
        row = {
            "reference": image.reference,
            "config_digest": image.config_digest,
            "flavour": image.flavour,
            "labels": dict(image.labels),
            "size_bytes": image.size_bytes,
        }
        print_json(row, sort_keys=True)
        return
    console = open_console(environ, json=False)
    facts = {
        "image": image.reference,
        "digest": image.config_digest,
        "flavour": image.flavour,
        "size": size(image.size_bytes),
        **{name: value for name, value in sorted(image.labels.items()) if name.startswith("ci.")},
    }
    console.print(fact_table({name: one_line(value) for name, value in facts.items()}))
    run = f"nox -s stage_a_amd -- --executor docker --image {image.reference}"
    console.print(Text.assemble(("run on it: ", "dim"), (one_line(run), "bold")), soft_wrap=True)
