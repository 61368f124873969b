"""Reading pins out of a checkout: Dockerfile stages as they are really written, and a shell script."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci.facts.dockerfile import look_at_checkout, read_assignments
from ci.plan.container.install import install_of
from ci.plan.facts import Known
from support.planning import catalog

DOCKERFILE = r"""# syntax=docker/dockerfile:1
ARG BASE_IMAGE_942="rocm/base:7.0"
ARG GPU_ARCH=gfx950
# FROM commented AS out

FROM $BASE_IMAGE_942 AS gfx942
ENV BUILD_LLVM="0"
ENV AITER_COMMIT_DEFAULT="1111111aaa"

FROM --platform=linux/amd64 rocm/base:7.2 as GFX942-rocm720
ENV BUILD_TRITON="1" \
    # a comment between two lines
    AITER_COMMIT_DEFAULT="2222222bbb" \
    OTHER='x y'
RUN python3 <<'PY'
from pathlib import Path
AITER_COMMIT_DEFAULT = "not this"
PY
RUN cat <<-EOT > /x && cat <<END
FROM inner AS heredoc
	EOT
ENV AITER_COMMIT_DEFAULT="nor this"
END

FROM gfx942-rocm720 AS gfx942-rocm724
ENV PIP_CONSTRAINT="/etc/x.txt"

FROM rocm/base:7.0 AS gfx950
ENV AITER_COMMIT old-style-value

FROM rocm/base AS gfx950-rocm720
ENV SHARED=abcdef1
ENV AITER_COMMIT_DEFAULT=${SHARED}

FROM ${GPU_ARCH}
ARG AITER_COMMIT=""
ENV AITER_COMMIT="${AITER_COMMIT:-${AITER_COMMIT_DEFAULT}}"
ARG MORI_COMMIT="99990000"
RUN echo "MORI_COMMIT=nothing"
"""

SCRIPT = """# one source of truth
EVAL_REF="a231b7a4"
export EVAL_SPEC="eval@git+https://example/eval.git@${EVAL_REF}"   # comment
"""


def tree(folder: Path, dockerfile: str = DOCKERFILE) -> Path:
    files = {
        "docker/rocm.Dockerfile": dockerfile,
        "scripts/eval_ref.sh": SCRIPT,
        "kernels/setup_rocm.py": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_each_stage_has_its_own_pin(tmp_path: Path) -> None:
    rows = catalog().dependencies
    found = look_at_checkout(rows, tree(tmp_path), Known(value="c0ffee", source="git"))
    assert {key: value for key, value in found.pins.items() if key.startswith("aiter@")} == {
        "aiter@gfx942": "1111111aaa",
        "aiter@gfx942-rocm720": "2222222bbb",
        # built from the stage before
        "aiter@gfx942-rocm724": "2222222bbb",
        "aiter@gfx950": "old-style-value",
        "aiter@gfx950-rocm720": "abcdef1",
    }
    assert found.pins["mori"] == "99990000"
    assert found.pins["eval"] == "eval@git+https://example/eval.git@a231b7a4"
    assert found.files == {"kernels/setup_rocm.py"}
    assert found.tree == "c0ffee"
    plan = install_of(rows, flavour="rocm720", family="mi30x", checkout=found, overrides={})
    assert plan.checkout is not None
    assert plan.checkout.pins["aiter@gfx942-rocm720"] == "2222222bbb"


def test_a_tree_without_the_files_has_no_pins(tmp_path: Path) -> None:
    found = look_at_checkout(catalog().dependencies, tmp_path, Known(value="", source="no git"))
    assert (dict(found.pins), found.files, found.tree_source) == ({}, frozenset(), "no git")


@pytest.mark.parametrize(
    "text", ["FROM", "ENV", 'ENV A="unclosed', "FROM x \\", "RUN <<EOF\nFROM y", "\0\ufffd", "ARG"]
)
def test_broken_text_gives_no_pin_and_no_crash(text: str) -> None:
    assignments, _ = read_assignments(text, dockerfile=True)
    assert assignments == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM x\nENV A=1 # not a pin", {("#0", "A", "1")}),
        ("ARG A=1\nFROM x AS b\nENV B=${A}", {("", "A", "1"), ("b", "B", "1")}),
        ("FROM x AS b\nENV A=1 \\\n\n  B=2\nENV C=3", {("b", "A", "1"), ("b", "C", "3")}),
        ("FROM x AS b\nENV A a b", {("b", "A", "a b")}),
    ],
)
def test_instructions_are_read_as_docker_reads_them(text: str, found: set[tuple[str, str, str]]) -> None:
    assignments, _ = read_assignments(text, dockerfile=True)
    assert {(row.stage, row.name, row.value) for row in assignments} >= found


@given(
    st.lists(
        st.sampled_from(
            [
                "FROM a AS b",
                "from x import y",
                "ENV A=1 \\",
                "ENV B ${A}",
                "RUN <<E",
                "E",
                "# c",
                "ARG C='",
                "",
            ]
        )
        | st.text(max_size=8)
    )
)
@example(["\\", "", "FROM a AS b"])
def test_any_text_can_be_read(lines: list[str]) -> None:
    assignments, parents = read_assignments("\n".join(lines), dockerfile=True)
    assert all(row.stage == "" or row.stage in parents for row in assignments)
    assert all("$" not in row.value for row in assignments)
