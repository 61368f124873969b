"""What the tests of a plan ask of the server, and what this engine on this hardware answers."""

from collections.abc import Iterable, Mapping

from ci.catalog.catalog import Catalog
from ci.catalog.registrations.parse import Discovery
from ci.catalog.toml_reader import closest
from ci.errors import Problem
from ci.plan.model import CapabilityWork

__all__ = ["asked_for", "capabilities_of", "left_out_notes"]


def asked_for(tests: Discovery, files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Capability id to the test files that ask for it, both in their order."""
    found: dict[str, list[str]] = {}
    for file in files:
        if file in tests.requirements:
            for capability in tests.requirements[file].asks:
                found.setdefault(capability, []).append(file)
    return {capability: tuple(names) for capability, names in found.items()}


def capabilities_of(
    catalog: Catalog,
    asked: Mapping[str, tuple[str, ...]],
    *,
    engine: str,
    hardware_class: str,
    problems: list[Problem],
) -> dict[str, CapabilityWork]:
    """The answers by id; an id without a row is added to `problems`."""
    answers: dict[str, CapabilityWork] = {}
    for capability, files in asked.items():
        row = next(
            (
                row
                for row in catalog.capabilities
                if (row.id, row.engine) == (capability, engine) and hardware_class in row.hardware
            ),
            None,
        )
        if row is None:
            what = f"asks for {capability!r}, which has no row for {engine} on {hardware_class}"
            hint = f"ci/catalog/capabilities.toml; {closest(capability, {row.id for row in catalog.capabilities})}"
            problems += [Problem(where=file, what=what, hint=hint) for file in files]
            continue
        answers[capability] = CapabilityWork(args=row.args, allowed=row.allowed, why=row.why, issue=row.issue)
    return answers


def left_out_notes(answers: Mapping[str, CapabilityWork], asked: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Which arguments no server of this plan gets although a test asked, and why."""
    return [
        f"{' '.join(answer.args)} is left out: {answer.why}"
        + (f" ({answer.issue})" if answer.issue else "")
        + f"; requested as {capability} by {', '.join(asked[capability])}"
        for capability, answer in answers.items()
        if not answer.allowed
    ]
