"""SGLang's own tests on a CPU: what proves that one needs a GPU, and which of their assertions judge a model that is stood in."""

import ast
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ci.catalog.columns import Slug, Sourced, Text, Texts, fitting, matching, regex_with
from ci.catalog.decode import Reader

__all__ = [
    "CpuTests",
    "ErrorRow",
    "GpuProof",
    "NeedsGpu",
    "NotJudged",
    "ServerEnd",
    "Wrapper",
    "load_cpu_tests",
]

_Class = Annotated[
    str,
    matching(
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "a class with its module, e.g. RuntimeError or sgl_kernel.Error"
    ),
]
_File = Annotated[
    str, matching(r"[\w.-]+(/[\w.-]+)*\.py", "a file of the tree, e.g. test/registered/core/test_a.py")
]


def _one_statement(text: str) -> bool:
    try:
        return len(ast.parse(text).body) == 1
    except SyntaxError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow(Sourced):
    """An exception: its class, a pattern at the beginning of its message, and the innermost frame's file and function.

    An empty `message` or `function` is any.
    """

    id: Slug
    raises: _Class
    message: Annotated[str, regex_with()] = ""
    raised_in: Texts
    function: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProof(ErrorRow):
    """A test that ends with it needs a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper(ErrorRow):
    """It stands for the exception that it was raised over, which is judged instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEnd(ErrorRow):
    """A test waited for a server that ended: the exception that ended the server's first process is judged instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged(Sourced):
    """An assertion about a model that a stand-in replaced. `file` has it, `test` itself when empty."""

    KEY: ClassVar[str] = "test"
    REPEATS: ClassVar[bool] = True

    test: _File
    expression: Annotated[
        Text, fitting(_one_statement, 'one Python statement, e.g. self.assertGreater(metrics["score"], 0.3)')
    ]
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsGpu(Sourced):
    """A test file that is known to need a GPU, for `--only runnable`; a run of it is judged by what it ends with.

    `endless`: without a GPU it waits without end, so it is left out unless `--test` names it.
    """

    KEY: ClassVar[str] = "test"

    test: _File
    endless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTests:
    """The rows of cpu_tests.toml."""

    gpu_proofs: tuple[GpuProof, ...]
    wrappers: tuple[Wrapper, ...]
    server_ends: tuple[ServerEnd, ...]
    not_judged: tuple[NotJudged, ...]
    needs_gpu: tuple[NeedsGpu, ...]


def load_cpu_tests(reader: Reader) -> CpuTests:
    """Read cpu_tests.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("cpu_tests.toml", "gpu_proof", "wrapper", "server_end", "not_judged", "needs_gpu")
    return CpuTests(
        gpu_proofs=file.rows("gpu_proof", GpuProof),
        wrappers=file.rows("wrapper", Wrapper),
        server_ends=file.rows("server_end", ServerEnd),
        not_judged=file.rows("not_judged", NotJudged),
        needs_gpu=file.rows("needs_gpu", NeedsGpu),
    )
