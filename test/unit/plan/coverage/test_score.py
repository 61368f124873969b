"""Points for what a test's file contains."""

from textwrap import dedent

import pytest

from ci.catalog.registrations.parse import Registration
from ci.catalog.registrations.test_contents import Contents, read_contents
from ci.plan.coverage.registered import RegisteredFile, Share
from ci.plan.coverage.score import Known, Score, score
from support.planning import catalog

FILE = "test/registered/a/test_a.py"
HALF = Share(cuda=2, both=1)


def contents(source: str) -> Contents:
    found = read_contents(dedent(source).encode(), FILE)
    assert found is not None
    return found


def scored(
    source: str, *helpers: str, suite: str = "base-2-gpu", est: float = 300, disabled: str = ""
) -> Score:
    cuda = Registration(
        file=FILE, backend="cuda", suite=suite, est_time_s=est, nightly=False, disabled=None, line=1
    )
    known = Known(
        models=frozenset({"lab/Known-1B"}),
        helpers=frozenset({"sglang.test.usual", "sglang.test.fixtures.plain"}),
        arguments=frozenset({"--tp"}),
        suites={suite: HALF},
        areas={"a": HALF},
    )
    return score(
        catalog().coverage,
        RegisteredFile(file=FILE, cuda=(cuda,), disabled=disabled),
        contents(source),
        [contents(helper) for helper in helpers],
        known,
    )


def ids(found: Score) -> set[str]:
    return {str(reason.id) for reason in found.reasons}


SERVER = "from sglang.test.usual import start_server\n"


def test_points_are_those_of_the_rows_and_the_weightiest_reason_comes_first() -> None:
    found = scored("import hopperlib.gemm\nimport triton\n")
    assert found.points == 50 - 40 + 10 + 15 + 8
    assert [str(reason.id) for reason in found.reasons] == [
        "elsewhere-only",
        "no-server",
        "portable",
        "known-helpers",
    ]
    first = found.reasons[0]
    assert (first.what, first.line) == ("hopperlib: kernels of the other vendor", 1)


def test_a_part_of_the_server_counts_only_when_a_server_starts() -> None:
    assert "fabric" not in ids(scored("from parts import fabric\n"))
    assert "fabric" in ids(scored(SERVER + "from parts import fabric\n"))


@pytest.mark.parametrize(
    ("source", "helpers", "served"),
    [
        ("import torch\n", (), False),
        (SERVER, (), True),
        ("from sglang.test.fixtures.plain import Base\n", (), True),
        ("from sglang.test.usual import Base\n", ("from x import start_server\n",), True),
        ("from sglang.test.usual import Base\n", ("def start_server(): start_server()\n",), False),
    ],
)
def test_what_starts_a_server(source: str, helpers: tuple[str, ...], *, served: bool) -> None:
    assert ("no-server" not in ids(scored(source, *helpers))) is served


@pytest.mark.parametrize(
    ("rest", "reasons"),
    [
        ('x = ["lab/Known-1B", "--tp"]', {"known-models", "known-arguments"}),
        ('x = ["lab/Other-7B", "--tp"]', {"unknown-models", "known-arguments"}),
        ('x = ["lab/Other-7B", "lab/Known-1B", "--ep"]', {"unknown-arguments"}),
    ],
)
def test_known_is_what_amd_tests_use(rest: str, reasons: set[str]) -> None:
    traits = {"known-models", "unknown-models", "known-arguments", "unknown-arguments"}
    assert ids(scored(SERVER + rest)) & traits == reasons


def test_a_helper_that_no_amd_test_imports_is_named() -> None:
    found = scored("from sglang.test.new.kit import Kit\n")
    assert "sglang.test.new.kit" in next(r.what for r in found.reasons if r.id == "unknown-helpers")


@pytest.mark.parametrize(
    ("condition", "trait"),
    [("is_hip()", "skipped-on-amd"), ("not is_cuda()", "needs-cuda"), ("is_in_ci()", "skipped-in-ci")],
)
def test_what_a_file_skips_itself_for(condition: str, trait: str) -> None:
    source = f"@unittest.skipIf({condition}, 'x')\nclass TestA: pass\n"
    assert trait in ids(scored(source))


def test_size_and_length_of_the_registration() -> None:
    assert {"one-gpu", "short"} <= ids(scored("", suite="base-1-gpu", est=60))
    assert {"many-gpus", "long"} <= ids(scored("", suite="base-8-gpu", est=1201))


def test_a_disabled_registration_says_its_reason() -> None:
    found = scored("", disabled="hangs")
    assert found.reasons[0].what.startswith("hangs")
