"""Registrations as the AST says them."""

import math
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.decode import Reader
from ci.catalog.discovery import DiscoveryRules, load_discovery
from ci.catalog.registrations.parse import ParsedFile, parse
from ci.errors import Problem

MAIN = '\nif __name__ == "__main__":\n    unittest.main()\n'
GOOD = 'register_cpu_ci(3, "base-a-test-cpu")'


def _load() -> tuple[DiscoveryRules, list[Problem]]:
    reader = Reader()
    return load_discovery(reader), reader.problems


RULES, RULE_PROBLEMS = _load()


def read(text: str | bytes) -> ParsedFile:
    return parse(text if isinstance(text, bytes) else text.encode(), "test/registered/test_x.py", RULES)


def facts(parsed: ParsedFile) -> list[tuple[str, str, float, bool, str | None, int]]:
    return [
        (one.backend, one.suite, one.est_time_s, one.nightly, one.disabled, one.line)
        for one in parsed.registrations
    ]


def says(parsed: ParsedFile) -> list[str]:
    return [str(problem).removeprefix("test/registered/test_x.py:") for problem in parsed.problems]


# --- what is legal


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('register_amd_ci(60, "s")', ("amd", "s", 60.0, False, None)),
        ('register_amd_ci(60, "s", True, "broken")', ("amd", "s", 60.0, True, "broken")),
        ('register_cuda_ci(suite="s", est_time=1.5)', ("cuda", "s", 1.5, False, None)),
        (
            'register_npu_ci(1, stage="base-b", runner_config="8-npu")',
            ("npu", "base-b-test-8-npu", 1.0, False, None),
        ),
        ('register_xpu_ci(1, "a" "b", nightly=False, disabled=None)', ("xpu", "ab", 1.0, False, None)),
        ('register_mlx_ci(1_0, """s""")', ("mlx", "s", 10.0, False, None)),
        ('register_musa_ci(0, "s", disabled="")', ("musa", "s", 0.0, False, "")),
        ('(register_cpu_ci)(0x10, "s")', ("cpu", "s", 16.0, False, None)),
    ],
)
def test_every_spelling_of_the_signature(
    call: str, expected: tuple[str, str, float, bool, str | None]
) -> None:
    parsed = read(call + MAIN)
    assert says(parsed) == []
    assert facts(parsed) == [(*expected, 1)]


def test_a_file_may_register_for_several_backends() -> None:
    parsed = read(
        f'import x\n\nregister_amd_ci(1, "a")\n{GOOD}\nregister_amd_ci(\n    2,\n    "b",\n)\n{MAIN}'
    )
    assert [(row[0], row[1], row[5]) for row in facts(parsed)] == [
        ("amd", "a", 3),
        ("cpu", "base-a-test-cpu", 4),
        ("amd", "b", 5),
    ]
    assert says(parsed) == []


TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["C"]), min_size=1
).filter(lambda text: bool(text.strip()) and text.isprintable())
ESTIMATES = st.one_of(st.integers(0, 10**9), st.floats(0, 1e9, allow_nan=False).map(abs))


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, tuple[str, str, float, bool, str | None]]:
    """A legal call in any spelling, and the value that it must be read as."""
    backend = draw(st.sampled_from(sorted(RULES.registrars.values())))
    est, nightly, disabled = draw(ESTIMATES), draw(st.booleans()), draw(st.none() | TEXT)
    values: dict[str, Any] = {"est_time": est}
    if draw(st.booleans()):
        values["suite"] = suite = draw(TEXT)
    else:
        values["stage"], values["runner_config"] = draw(TEXT), draw(TEXT)
        suite = f"{values['stage']}-test-{values['runner_config']}"
    if nightly or draw(st.booleans()):
        values["nightly"] = nightly
    if disabled is not None or draw(st.booleans()):
        values["disabled"] = disabled
    positional = []
    for name in ("est_time", "suite", "nightly", "disabled"):
        if name not in values or draw(st.booleans()):
            break
        positional.append(repr(values.pop(name)))
    keywords = [f"{name}={value!r}" for name, value in draw(st.permutations(sorted(values.items())))]
    gap = draw(st.sampled_from([", ", ",\n    ", " ,  # why\n"]))
    return f"register_{backend}_ci({gap.join(positional + keywords)})", (
        backend,
        suite,
        float(est),
        nightly,
        disabled,
    )


@given(st.lists(spellings(), min_size=1, max_size=4))
def test_any_legal_spelling_is_read_as_what_it_says(
    calls: list[tuple[str, tuple[str, str, float, bool, str | None]]],
) -> None:
    parsed = read("\n".join(call for call, _ in calls) + MAIN)
    assert says(parsed) == []
    assert [row[:5] for row in facts(parsed)] == [expected for _, expected in calls]


# --- what is not

ILLEGAL = {
    "no estimate": 'register_amd_ci(suite="s")',
    "estimate by name": 'register_amd_ci(EST, "s")',
    "estimate computed": 'register_amd_ci(5 * 60, "s")',
    "estimate as text": 'register_amd_ci("60", "s")',
    "estimate a flag": 'register_amd_ci(True, "s")',
    "estimate none": 'register_amd_ci(None, "s")',
    "estimate complex": 'register_amd_ci(1j, "s")',
    "estimate negative": 'register_amd_ci(-60, "s")',
    "estimate infinite": 'register_amd_ci(1e999, "s")',
    "estimate too large for a float": f'register_amd_ci(1{"0" * 310}, "s")',
    "no suite": "register_amd_ci(60)",
    "suite and stage": 'register_amd_ci(60, "s", stage="a", runner_config="b")',
    "stage alone": 'register_amd_ci(60, stage="a")',
    "runner alone": 'register_amd_ci(60, runner_config="b")',
    "suite by name": "register_amd_ci(60, SUITE)",
    "suite formatted": 'register_amd_ci(60, f"{x}")',
    "suite joined": 'register_amd_ci(60, "a" + "b")',
    "suite none": "register_amd_ci(60, None)",
    "suite bytes": 'register_amd_ci(60, b"s")',
    "suite empty": 'register_amd_ci(60, "")',
    "suite blank": 'register_amd_ci(60, " ")',
    "suite with a line break": r'register_amd_ci(60, "a\nb")',
    "suite not text": r'register_amd_ci(60, "\ud800")',
    "stage empty": 'register_amd_ci(60, stage="", runner_config="b")',
    "nightly a number": 'register_amd_ci(60, "s", 1)',
    "nightly none": 'register_amd_ci(60, "s", nightly=None)',
    "disabled a flag": 'register_amd_ci(60, "s", disabled=True)',
    "disabled not text": r'register_amd_ci(60, "s", disabled="\ud800")',
    "starred": 'register_amd_ci(*ARGS, suite="s")',
    "double starred": 'register_amd_ci(60, "s", **KWARGS)',
    "unknown argument": 'register_amd_ci(60, "s", timeout=5)',
    "given twice by name": 'register_amd_ci(60, "s", nightly=True, nightly=True)',
    "given by place and name": 'register_amd_ci(60, "s", suite="t")',
    "too many": 'register_amd_ci(60, "s", False, None, "a")',
    "stage by place": 'register_amd_ci(60, "s", False, None, stage="a", runner_config="b")',
    "dotted": 'ci_register.register_amd_ci(60, "s")',
    "in a branch": 'if True: register_amd_ci(60, "s")',
    "in a function": 'def f(): register_amd_ci(60, "s")',
    "assigned": 'x = register_amd_ci(60, "s")',
    "two in one statement": 'register_amd_ci(60, "s"), print()',
    "in another call": 'print(register_amd_ci(60, "s"))',
    "another name": "from sglang.test.ci.ci_register import register_amd_ci as reg",
    "another name, nested": "if True: from sglang.test.ci.ci_register import register_amd_ci as reg",
}


@pytest.mark.parametrize("call", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_each_mistake_is_one_problem_and_hides_nothing(call: str) -> None:
    parsed = read(f"import unittest\n{GOOD}\n{call}\nregister_npu_ci(5, 'last')\n{MAIN}")
    assert [row[0] for row in facts(parsed)] == ["cpu", "npu"]
    assert len(parsed.problems) == 1
    assert parsed.problems[0].where == "test/registered/test_x.py:3"


@given(
    st.lists(spellings(), min_size=1, max_size=3),
    st.sampled_from(sorted(ILLEGAL)),
    st.integers(0, 3),
)
def test_a_mistake_anywhere_leaves_the_rest_as_it_was(
    calls: list[tuple[str, tuple[str, str, float, bool, str | None]]], mistake: str, place: int
) -> None:
    lines = [call for call, _ in calls]
    lines.insert(place, ILLEGAL[mistake])
    line = "\n".join(lines[: lines.index(ILLEGAL[mistake])]).count("\n") + (
        2 if lines[0] != ILLEGAL[mistake] else 1
    )
    parsed = read("\n".join(lines) + MAIN)
    assert [row[:5] for row in facts(parsed)] == [expected for _, expected in calls]
    assert [problem.where for problem in parsed.problems] == [f"test/registered/test_x.py:{line}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("register_amd_ci(-60, 's')", "1: est_time is -60: seconds cannot be negative"),
        (
            "register_amd_ci(60, suit='s')",
            "1: register_amd_ci() has no argument suit (did you mean 'suite'?)",
        ),
        (
            "register_amd_ci(60)",
            "1: register_amd_ci() has neither suite nor stage (give suite, or stage and runner_config)",
        ),
        (
            "register_amd_ci(\n    60,\n    'a',\n    nightly=1,\n)",
            "4: nightly is 1, not True or False",
        ),
        (
            "ci.register_amd_ci(60, 's')",
            "1: ci.register_amd_ci() is a dotted call and is not seen (import register_amd_ci itself)",
        ),
    ],
)
def test_messages_name_the_place_and_the_way_out(text: str, expected: str) -> None:
    assert says(read(text)) == [expected]


def test_several_mistakes_in_one_call_are_all_reported() -> None:
    assert len(read('register_amd_ci("60", 5, nightly="yes")').problems) == 3


def test_a_long_expression_is_cut_in_the_message() -> None:
    assert len(says(read(f"register_amd_ci({' + '.join(['EST'] * 100)}, 's')"))[0]) < 120


def test_a_mention_in_text_is_not_a_registration() -> None:
    parsed = read(f'"""register_amd_ci(1, "s") does it."""\n# register_amd_ci\n{GOOD}{MAIN}')
    assert says(parsed) == []
    assert len(parsed.registrations) == 1


# --- the main block


@pytest.mark.parametrize(
    "block",
    [
        "",
        'if __name__ == "__main__":\n    pass\n',
        'if __name__ != "__main__":\n    main()\n',
        'if __name__ == "main":\n    main()\n',
        'if "__main__" == __name__:\n    main()\n',
        'def f():\n    if __name__ == "__main__":\n        main()\n',
        'if __name__ == "__main__":\n    pass\nelse:\n    main()\n',
    ],
)
def test_an_enabled_test_needs_a_main_block_that_runs_something(block: str) -> None:
    parsed = read(f"import x\n{GOOD}\n{block}")
    assert len(parsed.registrations) == 1
    assert [one.split(":")[0] for one in says(parsed)] == ["2"]
    assert "__main__" in says(parsed)[0]


@pytest.mark.parametrize("reason", ["later", ""])
def test_a_disabled_test_needs_no_main_block(reason: str) -> None:
    assert says(read(f'register_amd_ci(60, "s", disabled="{reason}")')) == []


def test_a_call_deep_in_the_main_block_counts() -> None:
    assert (
        says(
            read(
                f'{GOOD}\nif __name__ == "__main__":\n    try:\n        sys.exit(main())\n    finally:\n        pass'
            )
        )
        == []
    )


# --- the kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("def test_x(): ...", "pytest"),
        ("async def test_x(): ...", "pytest"),
        ("class TestX: ...", "pytest"),
        ("class Eval(CustomTestCase): ...", "pytest"),
        ("class Eval(unittest.TestCase): ...", "pytest"),
        ("class Eval(Base):\n    def test_x(self): ...", "pytest"),
        ("class Eval:\n    def test_x(self): ...", "script"),
        ("class Eval(Base):\n    def run(self): ...", "script"),
        ("class Eval(make()): ...", "script"),
        ("def main(): ...", "script"),
        ("if True:\n    def test_x(): ...", "script"),
        ("", "script"),
    ],
)
def test_kind(text: str, kind: str) -> None:
    assert read(text).kind == kind


# --- files that Python cannot read


@pytest.mark.parametrize(
    ("source", "where", "what"),
    [
        (b"x = 1\ndef f(:\n", 2, "is not Python"),
        (b"x = 1\n\x00", 1, "is not Python"),
        (b"x = '\xe9'\n", 1, "is not Python"),
        (b"# coding: klingon\n", 1, "unknown encoding: klingon"),
        (b"x = " + b"-" * 100_000 + b"1", 1, "nested too deeply"),
        (b"x = " + b"(" * 1000 + b")" * 1000, 1, "is not Python"),
    ],
)
def test_an_unreadable_file_is_a_problem_with_its_line(source: bytes, where: int, what: str) -> None:
    parsed = read(source)
    assert parsed.registrations == ()
    assert len(parsed.problems) == 1
    assert parsed.problems[0].where == f"test/registered/test_x.py:{where}"
    assert what in parsed.problems[0].what


def test_a_deep_argument_is_named_without_a_crash() -> None:
    assert says(read(f"register_amd_ci({'+'.join(['1'] * 900)}, 's')"))[0].startswith("1: est_time is ")


@pytest.mark.parametrize(
    "source",
    [
        '# -*- coding: latin-1 -*-\nregister_amd_ci(1, "é")'.encode("latin-1"),
        b'\xef\xbb\xbfregister_amd_ci(1, "\xc3\xa9")',
    ],
)
def test_the_declared_encoding_is_honoured(source: bytes) -> None:
    parsed = read(source + MAIN.encode())
    assert says(parsed) == []
    assert parsed.registrations[0].suite == "é"


def test_someone_elses_invalid_escape_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert says(read(f'x = "\\d"\n{GOOD}{MAIN}')) == []


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_input_makes_it_raise(source: bytes) -> None:
    parsed = read(source)
    assert all(math.isfinite(one.est_time_s) for one in parsed.registrations)
