"""How often the judge is right: it judges a folder of labelled logs, and again with each kind's own rows removed.

    nox -s bench -- verdicts [FOLDER] [--json] [--matrices]

Two figures decide: product failures that are excused as infrastructure, which must be 0, and infrastructure that is blamed on
the product, at most 3 %. The exit code is 1 when one of them is not met, 2 when the folder cannot be read. The form of the
folder is in docs/verdict-corpus.md.
"""

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from ci.agent.judge import Judgement, Rule  # noqa: E402
from ci.catalog.catalog import load_catalog  # noqa: E402
from ci.catalog.verdicts import Verdict  # noqa: E402
from ci.errors import CiError, ExitCode  # noqa: E402
from ci.report.console import Console, Table, new_table, open_console, print_json  # noqa: E402
from ci.repro.log.judging import judge_rules  # noqa: E402
from support.verdict_corpus import CORPUS, LabelledCase, judged, load_corpus  # noqa: E402

BLAMED_SHARE_MAX = 0.03
EVIDENCE_LINES_MAX = 4
INFRASTRUCTURE = frozenset(verdict for verdict in Verdict if verdict.row.exit_code == ExitCode.INFRASTRUCTURE)
# what ends without a word against the code under test
EXCUSES = INFRASTRUCTURE | {
    verdict for verdict in Verdict if verdict.row.exit_code in (ExitCode.OK, ExitCode.TIMEOUT)
}
ABOUT_CODE = frozenset(verdict for verdict in Verdict if verdict.row.about_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A case and what the judge said about it."""

    case: LabelledCase
    judgement: Judgement

    @property
    def right(self) -> bool:
        return self.judgement.verdict == self.case.verdict

    @property
    def excused(self) -> bool:
        """A product failure that is called infrastructure."""
        return self.case.verdict in ABOUT_CODE and self.judgement.verdict in EXCUSES

    @property
    def blamed(self) -> bool:
        """Infrastructure that is called a product failure."""
        return self.case.verdict in INFRASTRUCTURE and self.judgement.verdict in ABOUT_CODE

    @property
    def wrong_line(self) -> bool:
        """Right, but its first line of evidence is another one than the engineer wants."""
        first = self.judgement.evidence[0] if self.judgement.evidence else ""
        return self.right and bool(self.case.first_line) and not re.search(self.case.first_line, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The two that decide, and what they are shares of."""

    cases: int
    right: int
    product: int
    excused: int
    infrastructure: int
    blamed: int

    @property
    def met(self) -> bool:
        return self.excused == 0 and self.blamed <= BLAMED_SHARE_MAX * self.infrastructure

    def __str__(self) -> str:
        share = 100 * self.blamed / self.infrastructure if self.infrastructure else 0
        return (
            f"{self.right} of {self.cases} right; "
            f"product failures excused as infrastructure: {self.excused} of {self.product}; "
            f"infrastructure blamed on the product: {self.blamed} of {self.infrastructure} ({share:.1f} %)"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Judge, print, and say whether the two figures are met."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- verdicts")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=CORPUS, help="cases; the repository's own if left out"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--matrices", action="store_true", help="the whole matrix for each kind that is removed"
    )
    known = parser.parse_args(argv)
    try:
        cases = load_corpus(known.folder)
        rules = judge_rules(load_catalog().verdict_rules)
    except CiError as error:
        sys.stderr.write(error.render() + "\n")
        return error.exit_code
    results = judge_all(cases, rules)
    removed = {kind: own for kind in kinds(cases) if (own := own_rows(kind, results, rules))}
    ablation = {kind: judge_all(cases, rules, without=own) for kind, own in removed.items()}
    if known.json:
        print_json(as_json(results, removed, ablation))
    else:
        show(results, removed, ablation, matrices=known.matrices)
    return ExitCode.OK if figures(results).met else ExitCode.TESTS_FAILED


def judge_all(
    cases: Sequence[LabelledCase], rules: Sequence[Rule], without: Collection[str] = ()
) -> list[Result]:
    return [Result(case=case, judgement=judged(case, rules, without)) for case in cases]


def figures(results: Sequence[Result]) -> Figures:
    return Figures(
        cases=len(results),
        right=sum(result.right for result in results),
        product=sum(result.case.verdict in ABOUT_CODE for result in results),
        excused=sum(result.excused for result in results),
        infrastructure=sum(result.case.verdict in INFRASTRUCTURE for result in results),
        blamed=sum(result.blamed for result in results),
    )


def matrix(results: Sequence[Result]) -> Counter[tuple[str, str]]:
    """How often a verdict (first) was judged as another one (second)."""
    return Counter((str(result.case.verdict), result.judgement.verdict) for result in results)


def kinds(cases: Sequence[LabelledCase]) -> list[str]:
    return sorted({case.kind for case in cases})


def own_rows(kind: str, results: Sequence[Result], rules: Sequence[Rule]) -> list[str]:
    """The rows that are a kind's own: those that its cases name, else those that decided a case of it rightly."""
    known = [rule.id for rule in rules]
    of_kind = [result for result in results if result.case.kind == kind]
    named = {row for result in of_kind for row in result.case.rules}
    own = named or {result.judgement.rule or "" for result in of_kind if result.right}
    return [row for row in known if row in own]


# --- showing ------------------------------------------------------------------------------------------------


def show(
    results: Sequence[Result],
    removed: dict[str, list[str]],
    ablation: dict[str, list[Result]],
    *,
    matrices: bool,
) -> None:
    console = open_console(os.environ)
    console.print(matrix_table(results, "rows: right; columns: judged"))
    if ablation:
        console.print()
        console.print(ablation_table(results, removed, ablation))
    if matrices:
        for kind, again in ablation.items():
            console.print()
            console.print(matrix_table(again, f"without the rows of {kind}: {', '.join(removed[kind])}"))
    show_wrong(console, results)
    console.print()
    console.print(str(figures(results)), soft_wrap=True)


def matrix_table(results: Sequence[Result], title: str) -> Table:
    counts = matrix(results)
    names = [str(verdict) for verdict in Verdict]
    given = [name for name in names if any(name == column for _, column in counts)]
    table = new_table("right", *given, title=title)
    for name in names:
        row = [counts[name, column] for column in given]
        if any(row):
            table.add_row(name, *(str(count or "") for count in row))
    return table


def ablation_table(
    results: Sequence[Result], removed: dict[str, list[str]], ablation: dict[str, list[Result]]
) -> Table:
    """One line a kind: what is judged otherwise without its rows."""
    table = new_table(
        "kind",
        "rows removed",
        "right",
        "excused",
        "blamed",
        "judged otherwise",
        title="without a kind's own rows",
    )
    for kind, again in ablation.items():
        found = figures(again)
        changed = Counter(
            f"{before.judgement.verdict} as {after.judgement.verdict}"
            for before, after in zip(results, again, strict=True)
            if before.judgement.verdict != after.judgement.verdict
        )
        table.add_row(
            kind,
            ", ".join(removed[kind]),
            str(found.right),
            str(found.excused),
            str(found.blamed),
            ", ".join(f"{count} {what}" for what, count in changed.most_common()) or "nothing",
        )
    return table


def show_wrong(console: Console, results: Sequence[Result]) -> None:
    for result in results:
        if result.right and not result.wrong_line:
            continue
        case, said = result.case, result.judgement
        what = (
            f"another first line than {case.first_line}"
            if result.right
            else f"{said.verdict}, should be {case.verdict}"
        )
        grave = " EXCUSED" if result.excused else " BLAMED" if result.blamed else ""
        console.print()
        console.print(f"{case.name}: {what}{grave}", soft_wrap=True)
        console.print(f"    right because {case.why} ({case.source})", soft_wrap=True)
        console.print(f"    decided by {f'rule {said.rule}' if said.rule else 'no rule'}")
        for line in said.evidence[:EVIDENCE_LINES_MAX]:
            console.print(f"    | {line[:200]}", soft_wrap=True)


def as_json(
    results: Sequence[Result], removed: dict[str, list[str]], ablation: dict[str, list[Result]]
) -> dict[str, object]:
    return {
        **_summary(results),
        "wrong": [
            {
                "case": result.case.name,
                "kind": result.case.kind,
                "right": str(result.case.verdict),
                "judged": result.judgement.verdict,
                "rule": result.judgement.rule,
                "excused": result.excused,
                "blamed": result.blamed,
                "first_line": result.wrong_line,
                "evidence": list(result.judgement.evidence),
            }
            for result in results
            if not result.right or result.wrong_line
        ],
        "without": {kind: {"rows": removed[kind], **_summary(again)} for kind, again in ablation.items()},
    }


def _summary(results: Sequence[Result]) -> dict[str, object]:
    found = figures(results)
    table: dict[str, dict[str, int]] = {}
    for (right, said), count in sorted(matrix(results).items()):
        table.setdefault(right, {})[said] = count
    return {
        "cases": found.cases,
        "right": found.right,
        "product": found.product,
        "excused": found.excused,
        "infrastructure": found.infrastructure,
        "blamed": found.blamed,
        "matrix": table,
    }


if __name__ == "__main__":
    raise SystemExit(main())
