"""The verdict over a failure, by its evidence."""

from collections.abc import Sequence

from .tracebacks import ESCAPES
from .values import Facts, Judgement, Rule, failed

__all__ = ["judge_log"]


def judge_log(facts: Facts, rules: Sequence[Rule], causes: Sequence[str]) -> Judgement:
    """Why something failed, which is known to have failed.

    Args:
        facts: a log, and what else is known.
        rules: the rows of `verdicts.toml`, in order.
        causes: the verdicts that a failed case or a rule may give, the worst for the code under test first.
    """
    own = [case.verdict or ("product" if case.assertion else "") for case in facts.failed]
    judged = sorted((verdict for verdict in own if verdict in causes), key=causes.index)
    if judged and all(own):
        return failed(judged[0], *(case.message for case in facts.failed))
    log = ESCAPES.sub("", facts.log)
    for rule in rules:
        match = rule.pattern.search(log)
        if match is not None:
            return failed(rule.verdict, match[0], f"rule {rule.id}: {rule.why}", rule=rule.id)
    return failed("product", *[line.strip() for line in log.splitlines() if line.strip()][-3:])
