"""`nox -s check -- --checkout PATH`: what is wrong with the AMD CI of an SGLang tree."""

import argparse
import json
import shlex
from pathlib import Path

from ci.catalog.catalog import load_catalog
from ci.errors import ExitCode, FindingsError, writing
from ci.facts.tree.at_commit import gather_at
from ci.facts.tree.checked import gather_checked
from ci.plan.outages.find import find_outages, in_order
from ci.plan.outages.lost import find_lost
from ci.plan.outages.model import fails
from ci.report.console import open_console, print_json, say
from ci.report.views.findings import count_words, finding_data, sarif_log, show_findings
from ci.repro.worktree import resolve_commit
from ci.system.environ import read_environ
from ci.system.file_lock import cache_dir

__all__ = ["check_tree"]


def check_tree(known: argparse.Namespace) -> int:
    """Look for outages in `known.checkout`, and show them as the options say.

    Raises:
        FindingsError: there are some.
        UsageError: it is not an SGLang tree.
    """
    catalog, environ = load_catalog(), read_environ()
    tree = gather_checked(catalog, known.checkout, cache_dir(environ), whole=bool(known.base))
    findings = find_outages(tree)
    if known.base:
        commit = resolve_commit(Path(tree.facts.root), known.base)
        findings = in_order((*findings, *find_lost(gather_at(catalog, known.checkout, commit), tree)))
    if known.sarif:
        path = Path(known.sarif)
        with writing(path):
            path.write_text(json.dumps(sarif_log(findings), indent=1) + "\n", encoding="utf-8")
        say(f"wrote {path}")
    failed = fails(findings)
    if known.json:
        print_json({"checkout": tree.facts.root, **finding_data(findings)})
        return int(ExitCode.FINDINGS if failed else ExitCode.OK)
    show_findings(open_console(environ), findings, title=tree.facts.root, every=known.all)
    if failed:
        again = f"nox -s check -- --checkout {shlex.quote(known.checkout)}"
        again += f" --base {shlex.quote(known.base)}" if known.base else ""
        raise FindingsError(
            count_words(findings),
            cause="that tree's own files, not this project",
            then=f"fix them there, then: {again}" if known.all else f"{again} --all",
        )
    return 0
