"""Names of tests as logs and people write them: container paths, unittest's headings, pytest's node ids."""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["FailedName", "failed_name", "looks_like_a_test", "node_of", "registered_path"]

# folders of an SGLang tree in which tests lie, each with what is put before it when a path begins with it
_ROOTS: Final = (
    ("test/registered/", ""),
    ("test/srt/", ""),
    ("sgl-kernel/tests/", ""),
    ("python/sglang/", ""),
    ("registered/", "test/"),
    ("sglang/jit_kernel/", "python/"),
    ("sglang/multimodal_gen/", "python/"),
    ("srt/", "test/"),
)
# unittest: `FAIL: test_x (__main__.TestA.test_x) (k=1)`; before Python 3.11 the brackets hold the class alone
_UNITTEST: Final = re.compile(
    r"(?:FAIL|ERROR): (?P<what>\w+) \((?P<where>[\w.<>]+)\)(?P<more>(?: +(?:\[.*\]|\(.*\)))*)\s*$"
)
# pytest's summary, and the line of a case with -v
_SUMMARY: Final = re.compile(
    r"(?:FAILED|ERROR|SUBFAIL(?:ED)?(?:\([^)]*\)|\[[^\]]*\])?) (?P<file>\S+\.py)(?:::(?P<case>.+?))?(?: - .*)?$"
)
_VERBOSE: Final = re.compile(r"(?P<file>\S+\.py)::(?P<case>\S.*?) (?:FAILED|ERROR)(?: +\[ *\d+%\])?$")
_FIXTURES: Final = {"setUpClass": True, "tearDownClass": True, "setUpModule": False, "tearDownModule": False}
_LOADER: Final = ("unittest.loader.", "unittest.suite._FailedTest")
# `test_x (__main__.TestA.test_x)`, as a table of failures has it
_PASTED: Final = re.compile(r"(?:(?:FAIL|ERROR): )?(?P<what>\w+) \((?P<where>[\w.]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedName:
    """What a line says failed: `file` is empty for the file that runs, `case` for all of it.

    `set_up` is a class's or a module's own method, e.g. `TestA::setUpClass`, of which all cases depend.
    """

    file: str = ""
    case: str = ""
    set_up: str = ""


def failed_name(line: str) -> FailedName | None:
    """What failed by a line of unittest or pytest; None for any other line."""
    if (found := _UNITTEST.match(line)) is not None:
        return _of_unittest(found["what"], found["where"])
    found = _SUMMARY.match(line) or _VERBOSE.match(line)
    if found is None:
        return None
    return FailedName(file=registered_path(found["file"]), case=_case(found["case"] or ""))


def _of_unittest(what: str, where: str) -> FailedName | None:
    if where.startswith(_LOADER):
        return FailedName()
    if what in _FIXTURES:
        cls = where.rpartition(".")[2] if _FIXTURES[what] else ""
        return FailedName(case=cls, set_up=f"{cls}::{what}" if cls else what)
    cls = _class_of(what, where)
    return FailedName(case=f"{cls}::{what}") if cls else None


def _class_of(what: str, where: str) -> str:
    """`TestA` of `__main__.TestA.test_x`, or of `__main__.TestA` as older Pythons print it."""
    words = where.removesuffix(f".{what}").split(".")
    return words[-1] if words[-1][:1].isupper() or words[-1].startswith("_") else ""


def _case(case: str) -> str:
    """Without the name of a subtest, which pytest-subtests puts behind it."""
    return case.strip()


def registered_path(path: str) -> str:
    """A path as an SGLang tree has it: `/sglang-checkout/test/registered/x.py`, `../registered/x.py`, `registered/x.py`."""
    clean = path.strip().replace("\\", "/")
    for root, before in _ROOTS:
        at = clean.find(root)
        if at == 0 or (at > 0 and clean[at - 1] == "/"):
            return before + clean[at:]
    return re.sub(r"^(?:\.\.?/)+", "", clean)


def looks_like_a_test(name: str) -> bool:
    """Whether the text can be a test's name: a file, a node id, or a line of unittest; no job is named so."""
    text = name.strip().strip("`\"'")
    pasted = _PASTED.fullmatch(text)
    return ".py" in text or "::" in text or text.startswith("test_") or pasted is not None


def node_of(name: str) -> tuple[str, str]:
    """A test's name as people paste it: the file, empty when it has none, and the case as pytest wants it.

    `x.py::TestA.test_y`, `test_y (__main__.TestA.test_y)` and a path in a container are understood.
    """
    text = name.strip().strip("`\"'").strip()
    if (pasted := _PASTED.fullmatch(text)) is not None:
        found = _of_unittest(pasted["what"], pasted["where"])
        return ("", found.case) if found is not None else ("", "")
    file, _, case = text.partition("::")
    if not file.endswith(".py") and ".py" not in file:
        return "", (f"{file}::{case}" if case else file).replace(".", "::", 1)
    return registered_path(file), _pytest_case(case)


def _pytest_case(case: str) -> str:
    """`TestA.test_x` as `TestA::test_x`; parameters stay as they are."""
    head, bracket, parameters = case.partition("[")
    return head.replace(".", "::") + bracket + parameters
