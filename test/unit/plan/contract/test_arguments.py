"""Server arguments against an SGLang's."""

from dataclasses import replace

import pytest

from ci.catalog.capabilities import Capability, LeftOutUntil
from ci.catalog.registrations.server_specs import ANY, Argument, ServerArguments
from ci.plan.contract.arguments import ArgumentRow, judge_capabilities, judge_rows, judge_specs
from ci.plan.contract.sglang import SglangFacts
from support.sglang_facts import option, sglang

OPTIONS = (
    option("--dsa-prefill-backend"),
    option("--dsa-decode-backend"),
    option("--attention-backend", choices=("triton", "aiter")),
    option("--tp-size", "--tensor-parallel-size", type="int"),
    option("--tokenizer-mode"),
    option("--tokenizer-worker-num", type="int"),
    option("--share", type="float"),
    option("--fast", type="flag", nargs=0),
    option("--lora", nargs="+"),
    option("--json", type="other"),
    option("--mode", choices_unread=True),
    option("--old", deprecated=True, instead="use --new"),
)


def judged(*args: Argument, facts: SglangFacts | None = None) -> ArgumentRow:
    spec = ServerArguments(place="test_x.py:3", args=args)
    (row,) = judge_specs([spec], facts or sglang(OPTIONS))
    return row


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (
            ("--nsa-prefill-backend", "x"),
            "unknown argument --nsa-prefill-backend (renamed to --dsa-prefill-backend?)",
        ),
        (
            ("--shrae", "x"),
            "unknown argument --shrae (did you mean '--share' or '--lora' or '--tp-size'?)",
        ),
        (
            ("--attention-backend", "dsv4"),
            "--attention-backend: invalid choice 'dsv4' (known: aiter, triton)",
        ),
        (("--attention-backend=dsv4",), "--attention-backend: invalid choice 'dsv4' (known: aiter, triton)"),
        (("--tp-size", "two"), "--tp-size: 'two' is not of type int"),
        (("--share", "half"), "--share: 'half' is not of type float"),
        (("--tp-size", "--fast"), "--tp-size: the value is missing (it takes one)"),
        (("--lora",), "--lora: the value is missing (it takes +)"),
        (("--fast", "1"), "--fast: unexpected value '1' (it is a flag)"),
        (("--tp-size", "1", "2"), "--tp-size: unexpected value '2'"),
        (("word", "--fast"), "'word' is unexpected: no option is before it"),
        (
            ("--tokenizer", "x"),
            "ambiguous argument --tokenizer (it could be --tokenizer-mode, --tokenizer-worker-num)",
        ),
    ],
)
def test_what_the_parser_refuses_is_a_problem(args: tuple[str, ...], found: str) -> None:
    row = judged(*args)
    assert [str(problem) for problem in row.problems] == [f"test_x.py:3: {found}"]
    assert row.status == "refused"


@pytest.mark.parametrize(
    "args",
    [
        ("--attention-backend", "triton", "--fast", "--tp-size", "-1", "--share", ".5"),
        ("--lora", "a", "b", "--tensor-parallel-size=2"),
        ("--tp-size", ANY, "--attention-backend", ANY),
        (),
    ],
)
def test_what_the_parser_takes_is_accepted(args: tuple[Argument, ...]) -> None:
    row = judged(*args)
    assert (row.status, row.problems, row.notes) == ("accepted", (), ())


@pytest.mark.parametrize(
    ("args", "note"),
    [
        (("--tp", "2"), "--tp is an abbreviation of --tp-size"),
        (("--old", "x"), "--old is deprecated: use --new"),
        (("--mode", "x"), "--mode: its choices are computed, so the value was not checked"),
    ],
)
def test_what_is_accepted_today_only_has_a_note(args: tuple[str, ...], note: str) -> None:
    row = judged(*args)
    assert (row.problems, row.notes) == ((), (f"test_x.py:3: {note}",))


def test_a_value_that_the_parser_s_own_code_refuses_is_a_problem() -> None:
    facts = sglang(OPTIONS, refused={("--json", "{x"): "not JSON"})
    (problem,) = judged("--json", "{x", facts=facts).problems
    assert problem.what == "--json: '{x' is refused: not JSON"


def capability(
    *args: str, versions: str = "", allowed: bool = True, until: LeftOutUntil | None = None
) -> Capability:
    return Capability(
        id="backend",
        engine="sglang",
        hardware=("mi300x",),
        args=args,
        allowed=allowed,
        versions=versions,
        left_out_until=until,
        why="test",
        source="test",
    )


NEW = capability("--dsa-prefill-backend", "x", versions=">=1.2")
OLD = capability("--nsa-prefill-backend", "x", versions="<1.2")


@pytest.mark.parametrize(
    ("version", "rows", "statuses"),
    [
        ("1.2", [NEW, OLD], ["accepted", "for <1.2"]),
        ("1.1", [NEW, OLD], ["for >=1.2", "refused"]),
        ("1.2.dev3", [NEW, OLD], ["accepted", "for other versions"]),
        ("1.2.dev3", [OLD], ["refused"]),
    ],
)
def test_a_row_is_judged_by_the_releases_that_it_is_for(
    version: str, rows: list[Capability], statuses: list[str]
) -> None:
    found = judge_capabilities([("row", row) for row in rows], sglang(OPTIONS, version=version))
    assert sorted(row.status for row in found) == sorted(statuses)


@pytest.mark.parametrize(
    ("lists", "status"),
    [
        ({"BACKENDS": ("triton",)}, "left out, rightly"),
        ({"BACKENDS": ("triton", "aiter")}, "stale"),
        ({}, "left out, not checked"),
    ],
)
def test_a_row_that_leaves_out_is_stale_when_the_version_s_checks_accept_it(
    lists: dict[str, tuple[str, ...]], status: str
) -> None:
    row = capability("--fast", allowed=False, until=LeftOutUntil(list="BACKENDS", has="aiter"))
    (found,) = judge_capabilities([("row", row)], sglang(OPTIONS, lists=lists))
    assert found.status == status
    assert bool(found.problems) is (status == "stale")
    assert bool(found.notes) is (status == "left out, not checked")


def test_another_engine_s_rows_are_not_sglang_s() -> None:
    assert judge_capabilities([("row", replace(OLD, engine="llamacpp"))], sglang(OPTIONS)) == ()


class TestServers:
    """What every server is given."""

    ROWS = (
        ("engines.toml:9", ("--tp-size", "2"), ""),
        ("sglang.toml:5", ("--gone", "x"), "<0.5"),
        ("sglang.toml:9", ("--lost", "x"), ""),
    )

    def test_an_argument_that_a_release_does_not_have_is_an_error_unless_it_is_for_others(self) -> None:
        rows = judge_rows(self.ROWS, sglang(OPTIONS, version="1.2"))
        assert [row.status for row in rows] == ["accepted", "for <0.5", "refused"]
        assert [f"{problem.where}: {problem.what}" for row in rows for problem in row.problems] == [
            "sglang.toml:9: unknown argument --lost"
        ]

    def test_a_row_that_is_for_this_release_has_to_fit(self) -> None:
        rows = judge_rows(self.ROWS, sglang(OPTIONS, version="0.4"))
        assert [row.status for row in rows] == ["accepted", "refused", "refused"]

    def test_of_a_tree_at_no_release_a_row_for_some_releases_need_not_fit(self) -> None:
        rows = judge_rows(self.ROWS, sglang(OPTIONS, version=""))
        assert [row.status for row in rows] == ["accepted", "for <0.5", "refused"]
