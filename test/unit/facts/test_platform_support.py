"""Where a rehearsal can run, and what it says elsewhere."""

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ci.errors import ExitCode, InfrastructureError
from ci.facts.platform_support import (
    PlatformFacts,
    gather_platform,
    rehearsal_problem,
    require_rehearsal_platform,
)

HERE = PlatformFacts(system="Linux", machine="x86_64", libc="glibc", has_avx2=True)

CPUINFO = """\
processor\t: 0
model name\t: Some CPU
flags\t\t: fpu sse2 avx {first}
vmx flags\t: avx2
processor\t: 1
flags\t\t: fpu sse2 avx {second}
"""


@pytest.mark.parametrize("facts", [HERE, replace(HERE, machine="AMD64"), replace(HERE, has_avx2=None)])
def test_the_claimed_platform_can_rehearse(facts: PlatformFacts) -> None:
    assert rehearsal_problem(facts) is None


@pytest.mark.parametrize(
    ("facts", "lacks"),
    [
        (replace(HERE, has_avx2=False), "AVX2"),
        (replace(HERE, libc="musl"), "glibc (it has musl)"),
        (replace(HERE, libc=""), "glibc (it has another C library)"),
        (replace(HERE, machine="aarch64", has_avx2=None), "an x86-64 CPU (it has aarch64)"),
        (replace(HERE, machine="aarch64", has_avx2=False), "an x86-64 CPU (it has aarch64)"),
        (
            PlatformFacts(system="Darwin", machine="arm64", libc="", has_avx2=None),
            "Linux (it runs Darwin) and an x86-64 CPU (it has arm64)",
        ),
        (
            PlatformFacts(system="Linux", machine="i686", libc="musl", has_avx2=False),
            "an x86-64 CPU (it has i686) and glibc (it has musl)",
        ),
        (
            PlatformFacts(system="", machine="", libc="", has_avx2=None),
            "Linux (it runs an unknown system) and an x86-64 CPU (it has an unknown one)",
        ),
    ],
)
def test_another_platform_gets_what_it_lacks(facts: PlatformFacts, lacks: str) -> None:
    problem = rehearsal_problem(facts)
    assert problem is not None
    assert problem.exit_code is ExitCode.INFRASTRUCTURE
    expected = "rehearsals run on Linux x86-64 with glibc and AVX2: this machine lacks "
    assert problem.what == expected + lacks


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("avx2 bmi2", "avx2", True), ("avx2", "avx512f", False), ("", "", False)],
)
def test_every_cpu_has_to_list_the_flag(tmp_path: Path, first: str, second: str, expected: bool) -> None:  # noqa: FBT001  # a case's value
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(first=first, second=second))
    assert gather_platform(cpuinfo).has_avx2 is expected


def test_a_cpu_that_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    assert gather_platform(tmp_path / "none").has_avx2 is None
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert gather_platform(tmp_path / "arm").has_avx2 is None


def test_musl_is_known_by_its_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert gather_platform(lib=tmp_path).libc == ""
    (tmp_path / "ld-musl-x86_64.so.1").write_text("")
    assert gather_platform(lib=tmp_path).libc == "musl"


def test_the_facts_of_this_machine_are_the_kernels() -> None:
    facts = gather_platform()
    assert (facts.system, facts.machine) == (platform.system(), platform.machine())
    if sys.platform == "linux":
        assert facts.libc in {"glibc", "musl"}


def test_the_error_is_raised_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(InfrastructureError, match="lacks an x86-64 CPU \\(it has riscv64\\)"):
        require_rehearsal_platform()
