"""What can go wrong in a test, and what each says about the code under test.

The agent's pytest plugin reads `verdict` of the exception that failed a case: a name of docs/agent.md, or None when
the rules over the log decide, and `product` when none of them matches.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BoundsError",
    "EngineCrashError",
    "EngineError",
    "HarnessError",
    "InfraError",
    "MeasurementError",
    "MissingBoundError",
    "MissingRowError",
    "RequestError",
    "SpecError",
]


class HarnessError(Exception):
    """Root of all: what happened, the likely cause, the next command."""

    verdict: ClassVar[str | None] = None

    def __init__(self, what: str, *, cause: str = "", then: str = "") -> None:
        self.what = what
        lines = [what]
        if cause:
            lines.append(f"cause: {cause}")
        if then:
            lines.append(f"next:  {then}")
        super().__init__("\n".join(lines))


class SpecError(HarnessError):
    """The spec that `AMD_CI_SPEC` names is missing, unreadable or incomplete."""

    verdict: ClassVar[str | None] = "infra"


class InfraError(HarnessError):
    """The machine, the network or an installation failed, not the code under test."""

    verdict: ClassVar[str | None] = "infra"


class EngineError(HarnessError):
    """The stand-in engine of a rehearsal ended or never became ready: it is not the code under test."""

    verdict: ClassVar[str | None] = "infra"


class EngineCrashError(EngineError):
    """The same of the engine under test: a broken server start is a product failure unless its log says otherwise."""

    verdict: ClassVar[str | None] = None


class RequestError(HarnessError):
    """A request failed while the server lived; `status` is the HTTP status, None when no answer came."""

    def __init__(self, what: str, *, status: int | None = None, body: str = "", cause: str = "") -> None:
        super().__init__(what, cause=cause)
        self.status = status
        self.body = body


class MissingRowError(HarnessError):
    """A test names something that the catalog has no row for."""

    verdict: ClassVar[str | None] = "product"


class MissingBoundError(MissingRowError):
    """A test measures a metric that no row of `ci/catalog/bounds.toml` judges on this hardware class."""


class MeasurementError(HarnessError):
    """A measured value that cannot be one: not finite, or negative."""

    verdict: ClassVar[str | None] = "product"


class BoundsError(HarnessError, AssertionError):
    """A measured value breaks its bound."""

    verdict: ClassVar[str | None] = "bounds"
