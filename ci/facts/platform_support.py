"""Whether this machine can rehearse: Linux x86-64 with glibc and a CPU with AVX2."""

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.errors import InfrastructureError
from ci.plan.model import Plan

__all__ = [
    "PlatformFacts",
    "gather_platform",
    "rehearsal_problem",
    "require_rehearsal",
    "require_rehearsal_platform",
]

_X86_64 = {"x86_64", "amd64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFacts:
    """What the rehearsal's engine depends on; `has_avx2` is None when unknown."""

    system: str
    machine: str
    libc: str
    has_avx2: bool | None


def require_rehearsal(plan: Plan) -> None:
    """Check that a plan can be rehearsed here: on this machine, with an engine in place of what its tests start.

    Raises:
        InfrastructureError: it cannot; the message names what is missing.
    """
    require_rehearsal_platform()
    if plan.work.checkout and plan.work.engine_build is None:
        nox, _, options = " ".join(map(shlex.quote, plan.placement.command)).partition(" -- ")
        again = f"{nox} -- --engine sglang {options}".rstrip()
        raise InfrastructureError(
            f"the tests of {plan.placement.root} need SGLang; this machine is {plan.work.hardware_class}, and {plan.work.engine} is not SGLang",
            cause="they start SGLang themselves, so another server cannot replace it",
            then=f"run them on the real SGLang on this CPU: {again}",
        )


def require_rehearsal_platform() -> None:
    """Check that a rehearsal can run here.

    Raises:
        InfrastructureError: it cannot; the message names what this machine lacks.
    """
    if (problem := rehearsal_problem(gather_platform())) is not None:
        raise problem


def rehearsal_problem(facts: PlatformFacts) -> InfrastructureError | None:
    """What keeps a machine from rehearsing, None when nothing does. A CPU that cannot be asked gets the benefit."""
    lacks: list[str] = []
    if facts.system != "Linux":
        lacks.append(f"Linux (it runs {facts.system or 'an unknown system'})")
    if facts.machine.lower() not in _X86_64:
        lacks.append(f"an x86-64 CPU (it has {facts.machine or 'an unknown one'})")
    if facts.system == "Linux" and facts.libc != "glibc":
        lacks.append(f"glibc (it has {facts.libc or 'another C library'})")
    if facts.machine.lower() in _X86_64 and facts.has_avx2 is False:
        lacks.append("AVX2")
    if not lacks:
        return None
    return InfrastructureError(
        f"rehearsals run on Linux x86-64 with glibc and AVX2: this machine lacks {_joined(lacks)}",
        cause="the rehearsal's engine is a compiled library that is built for these alone",
        then="listing and planning work here: add --list or --dry-run; rehearse on another machine",
    )


def gather_platform(cpuinfo: Path = Path("/proc/cpuinfo"), lib: Path = Path("/lib")) -> PlatformFacts:
    """The facts of this machine.

    Args:
        cpuinfo: the kernel's list of CPUs.
        lib: where musl keeps its loader.
    """
    libc, _ = platform.libc_ver()
    if libc != "glibc" and any(lib.glob("ld-musl-*.so*")):
        libc = "musl"
    return PlatformFacts(
        system=platform.system(), machine=platform.machine(), libc=libc, has_avx2=_has_avx2(cpuinfo)
    )


def _has_avx2(cpuinfo: Path) -> bool | None:
    """Whether every CPU lists the flag, None when the file or its flags are missing."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    flags = [line.partition(":")[2].split() for line in lines if line.partition(":")[0].strip() == "flags"]
    return all("avx2" in words for words in flags) if flags else None


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
