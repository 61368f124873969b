"""A file's outline says the same of its registrations as the whole file, or there is none."""

import ast

import pytest

from ci.catalog.registrations.outline import outline
from ci.catalog.registrations.parse import parse
from support.catalog_files import catalog

HEAD = 'import unittest\nfrom sglang.test.ci.ci_register import register_amd_ci\n\n"""Several\nlines."""\n'
CALL = 'register_amd_ci(est_time=5, suite="s")\n'
MAIN = 'if __name__ == "__main__":\n    unittest.main()\n'
TEST = "class TestIt(unittest.TestCase):\n    def test_it(self):\n{body}\n\n# a comment at the margin\n    def test_two(self):\n        pass\n\n\n"


@pytest.mark.parametrize(
    "source",
    [
        HEAD + CALL + TEST.format(body="        pass") + MAIN,
        HEAD
        + TEST.format(body='        text = """\nregister_amd_ci(est_time=9, suite="x")\n"""')
        + CALL
        + MAIN,
        HEAD + TEST.format(body="        values = [\n1,\n2,\n]") + CALL + MAIN,
        HEAD + TEST.format(body="        return f'{self}' # it's \"\"\" odd") + CALL + MAIN,
        HEAD + "class Plain:\n    def test_it(self):\n        pass\n\n\n" + CALL + MAIN,
        HEAD + "class Other(Base):\n    def test_it(self):\n        pass\n\n\n" + CALL + MAIN,
        HEAD + "def test_it(\n    x=1,\n):\n    pass\n\n\n" + CALL + MAIN,
        HEAD + "def helper(): return 1\n" + CALL + MAIN,
        HEAD + "try:\n    import x\nexcept ImportError:\n    x = None\n" + CALL + CALL,
        HEAD + "def nested():\n    " + CALL + CALL + MAIN,
        HEAD.replace("register_amd_ci", "register_amd_ci as r") + 'r(est_time=5, suite="s")\n' + MAIN,
        "# -*- coding: latin-1 -*-\n" + HEAD + CALL + MAIN,
        HEAD + CALL + MAIN + "(\n",
    ],
)
def test_an_outline_changes_nothing(source: str) -> None:
    rules = catalog().discovery
    whole, short = (parse(source.encode(), "test_x.py", rules, whole=way) for way in (True, False))
    assert short == whole


def test_bodies_are_left_out_and_lines_keep_their_numbers() -> None:
    source = (HEAD + TEST.format(body="        return 17") + CALL + MAIN).encode()
    short = outline(source)
    assert short is not None
    assert b"17" not in short
    last = [statement.lineno for statement in ast.parse(short).body]
    assert last == [statement.lineno for statement in ast.parse(source).body]


def test_a_fault_in_a_body_is_left_to_the_run() -> None:
    source = (HEAD + CALL + TEST.format(body="        return )") + MAIN).encode()
    rules = catalog().discovery
    assert parse(source, "test_x.py", rules).problems
    short = parse(source, "test_x.py", rules, whole=False)
    assert ([row.line for row in short.registrations], short.problems) == ([6], ())
