"""What the deps verbs print while they install, and of what is installed."""

import json

import pytest

from ci.install.installed import Installed
from ci.plan.container.guards import Fingerprint
from ci.record.events import Note, PhaseEnded, PhaseStarted
from ci.record.values import PhaseOutcome
from ci.report.views.deps import show_checked, show_event


def test_a_phase_is_a_line_at_its_begin_and_end_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show_event({}, PhaseStarted(phase="install", text="5 steps"))
    show_event({}, Note(text="a note"))
    ended = PhaseEnded(
        phase="install", outcome=PhaseOutcome.FAILED, duration_s=2.5, text="exit 1", details=("why",)
    )
    show_event({}, ended)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["install: 5 steps", "a note", "install: failed after 2.5 s exit 1", "    why"]


def row(**changes: object) -> Fingerprint:
    values: dict[str, object] = {
        "distribution": "torch",
        "version": "2.9+rocm",
        "record": "abc",
        "location": "/a",
        "imported": {"torch": "/a/torch", "torchgen": "/a/torch"},
        "shadowed": {},
    }
    return Fingerprint(**(values | changes))  # type: ignore[arg-type]  # values by name


@pytest.mark.parametrize(
    ("compared", "said"),
    [(True, "as after the installation"), (False, "not compared: this container has no record")],
)
def test_protected_distributions_are_shown_with_their_places(
    capsys: pytest.CaptureFixture[str], *, compared: bool, said: str
) -> None:
    found = Installed(
        protected=(row(), row(distribution="gone", version="")), lines=("one more",), compared=compared
    )
    show_checked({}, found, as_json=False)
    words = " ".join(capsys.readouterr().out.split())
    assert "torch 2.9+rocm abc /a/torch one more" in words, "each place once"
    assert "gone" not in words, "what is not installed is no row"
    assert f"protected distributions: {said}" in words
    show_checked({}, found, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert (data["compared"], data["lines"], len(data["protected"])) == (compared, ["one more"], 2)
