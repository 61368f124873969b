"""Every labelled log gets its verdict, whatever unrelated lines stand around it."""

import random
import re
from dataclasses import replace
from functools import cache

import pytest

from ci.agent.judge import Judgement
from ci.repro.log.judging import judge_rules
from support.catalog_files import repository_catalog
from support.verdict_corpus import CORPUS, LabelledCase, judged, load_corpus

pytestmark = pytest.mark.live_rows

CASES = load_corpus(CORPUS)
RULES = judge_rules(repository_catalog().verdict_rules)

# what stands in logs and explains nothing
UNRELATED = (
    "[2026-05-29 05:12:01 TP0] Decode batch, #running-req: 31, #token: 21000, gen throughput (token/s): 1204.11",
    "Loading safetensors checkpoint shards:  61% Completed | 99/163",
    "/opt/venv/lib/python3.10/site-packages/torch/jit/_script.py:365: DeprecationWarning: use torch.compile",
    'INFO:     127.0.0.1:41022 - "GET /health_generate HTTP/1.1" 200 OK',
    "tuning candidate 41: BLOCK_M=64 BLOCK_N=128 0.451 ms",
    "headroom 3.1 GB, score 0.91, 12 rooms",
    "",
)
# what a runner prints when the job is over
AFTERWARDS = ("Post job cleanup.", "Cleaning up orphan processes", "removed 12 files", "")


def ids(case: LabelledCase) -> str:
    return case.name


@cache
def as_it_is(name: str) -> Judgement:
    (case,) = (each for each in CASES if each.name == name)
    return judged(case, RULES)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_verdict_and_its_first_line_are_right(case: LabelledCase) -> None:
    found = as_it_is(case.name)
    assert found.verdict == case.verdict, f"{case.why}; evidence: {found.evidence}, rule {found.rule}"
    first = found.evidence[0] if found.evidence else ""
    assert re.search(case.first_line, first), f"first line of evidence: {first}"


@pytest.mark.parametrize("seed", range(2))
def test_unrelated_lines_around_the_evidence_change_no_verdict(seed: int) -> None:
    rng = random.Random(seed)
    changed = []
    for case in CASES:
        if case.verdict == "unknown":  # there what is in the log is all that is known
            continue
        before = "\n".join(rng.choices(UNRELATED, k=rng.randint(1, 40)))
        after = "\n".join(rng.choices(AFTERWARDS, k=rng.randint(1, 5)))
        ends = "" if case.facts.log.endswith(("\n", "\r")) or not case.facts.log else "\n"
        log = f"{before}\n{case.facts.log}{ends}{after}\n"
        found = judged(replace(case, facts=replace(case.facts, log=log)), RULES)
        if found.verdict != case.verdict:
            changed.append((case.name, found.verdict, found.evidence[:1]))
    assert changed == []


@pytest.mark.parametrize(
    "prefix",
    [
        "[2026-02-24T20:21:58Z] ",
        "ci_sglang-1  | ",
        "      ",
        "web | 2026-02-24 20:21:58,101 ",
        "\x1b_bk;t=1759500000123\x07",
        "Oct 02 13:20:41 rack4-n11 run.sh[812]: ",
        "[ 12.071s] ",
    ],
)
def test_what_a_runner_puts_in_front_of_every_line_changes_no_verdict(prefix: str) -> None:
    changed = []
    for case in CASES:
        if len(case.facts.log.splitlines()) < 3:  # nothing shows that all lines have it
            continue
        log = "".join(f"{prefix}{line}\n" for line in case.facts.log.splitlines())
        found = judged(replace(case, facts=replace(case.facts, log=log)), RULES)
        if found.verdict != as_it_is(case.name).verdict:
            changed.append((case.name, found.verdict, found.evidence[:1]))
    assert changed == []
