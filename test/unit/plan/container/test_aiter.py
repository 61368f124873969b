"""The table about AITER, row by row, and what holds for every combination."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import UsageError
from ci.plan.container.aiter import AiterFact, decide, valid_reference

PIN = "46e6c92b3e5f00112233445566778899aabbccdd"
OTHER = "c16d44b93a528b2a4bfd6d8d3409116d465872a9"
NONE = AiterFact(version="", head="", installed="", modified=False)


def fact(version: str = "0.1.6", **changes: object) -> AiterFact:
    return replace(NONE, version=version, **changes)  # type: ignore[arg-type]  # the keywords are AiterFact's own


@pytest.mark.parametrize(
    ("pin", "override", "image", "rebuild", "rule"),
    [
        (PIN, OTHER, fact(f"0.1.6.dev3+g{PIN[:9]}"), True, "override"),
        (PIN, "", NONE, True, "missing"),
        ("v0.1.6", "", NONE, True, "missing"),
        ("v0.1.6", "", fact("0.1.6"), False, "equal"),
        ("v0.1.6.post2", "", fact("0.1.6.post2"), False, "equal"),
        ("0.1.6rc1", "", fact("0.1.6rc1"), False, "equal"),
        ("v0.1.6", "", fact("0.1.6+d20260529"), False, "patched"),
        ("v0.1.6", "", fact("0.1.6", modified=True), False, "patched"),
        ("v0.1.6", "", fact("0.1.5"), True, "other-version"),
        ("v0.1.6", "", fact("0.1.6.dev3+g46e6c92b3"), True, "other-version"),
        ("v0.1.6", "", fact("0.1.6+g46e6c92b3"), True, "other-version"),
        ("main", "", fact("0.1.6"), True, "other-version"),
        # the rule that SGLang's script gets wrong: a new pin against an image's development version
        (PIN, "", fact(f"0.1.6.dev3+g{OTHER[:9]}"), True, "other-commit"),
        (PIN, "", fact(f"0.1.6.dev3+g{PIN[:9]}"), False, "same-commit"),
        (PIN.upper(), "", fact(f"0.1.6.dev3+g{PIN[:9]}"), False, "same-commit"),
        (PIN[:10], "", fact(f"0.1.6.dev3+g{PIN[:9]}"), False, "same-commit"),
        (PIN[:7], "", fact(f"0.1.6.dev3+g{PIN[:12]}"), False, "same-commit"),
        (PIN, "", fact(f"0.1.6.dev3+g{PIN[:9]}.d20260529"), False, "patched"),
        (PIN, "", fact(f"0.1.6.dev3+g{PIN[:9]}", head=PIN, modified=True), False, "patched"),
        (PIN, "", fact(f"0.1.6.dev3+g{OTHER[:9]}.d20260529"), True, "patched-other-commit"),
        (PIN, "", fact(head=OTHER, modified=True), True, "patched-other-commit"),
        (PIN, "", fact(), True, "unknown-commit"),
        (PIN, "", fact(head=PIN), False, "same-commit"),
        (PIN, "", fact(installed=PIN), False, "same-commit"),
        # built from one commit, then the folder was moved to the pin: its kernels are the old ones
        (PIN, "", fact(f"0.1.6.dev3+g{OTHER[:9]}", head=PIN), True, "other-commit"),
        (PIN, "", fact(f"0.1.6.dev3+g{PIN[:9]}", head=OTHER), True, "other-commit"),
    ],
)
def test_the_table(*, pin: str, override: str, image: AiterFact, rebuild: bool, rule: str) -> None:
    decision = decide(pin=pin, override=override, image=image)
    assert (decision.rebuild, decision.rule) == (rebuild, rule)
    assert decision.commit == (override or pin)
    assert rule in decision.text


commits = st.text("0123456789abcdef", min_size=40, max_size=40)
abbreviations = st.integers(7, 40)


@given(pin=commits, image=commits, digits=abbreviations, dirty=st.booleans(), head=st.booleans())
def test_an_image_is_kept_exactly_when_every_commit_that_it_names_is_the_pin(
    *, pin: str, image: str, digits: int, dirty: bool, head: bool
) -> None:
    version = f"0.1.6.dev3+g{image[:digits]}" + (".d20260529" if dirty else "")
    decision = decide(pin=pin, override="", image=fact(version, head=image if head else ""))
    assert decision.rebuild == (not pin.startswith(image if head else image[:digits]))
    assert decision.rule.startswith("patched") == dirty


@given(
    pin=st.text(min_size=1),
    override=st.text(),
    version=st.text(),
    head=st.text(),
    installed=st.text(),
    modified=st.booleans(),
)
def test_every_input_has_an_answer_and_an_override_always_wins(
    *, pin: str, override: str, version: str, head: str, installed: str, modified: bool
) -> None:
    image = AiterFact(version=version, head=head, installed=installed, modified=modified)
    decision = decide(pin=pin, override=override, image=image)
    assert decision.because
    if override:
        assert (decision.rebuild, decision.commit) == (True, override)
    elif not version:
        assert decision.rebuild


@pytest.mark.parametrize("value", ["--upload-pack=x", "-f", "", "a b", "a;b", "$(x)", "a..b", "a\nb", "/x"])
def test_what_git_could_take_for_something_else_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=re.escape("AITER_COMMIT_OVERRIDE")):
        valid_reference(value, where="AITER_COMMIT_OVERRIDE")


@pytest.mark.parametrize("value", [PIN, "v0.1.6", "main", "user/branch-1"])
def test_commits_tags_and_branches_are_taken(value: str) -> None:
    assert valid_reference(value, where="x") == value
