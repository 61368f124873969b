"""Showing a plan: as tables with the source of each value, and plans side by side."""

import sys
from collections.abc import Mapping, Sequence

from ci.catalog.stages import RetryGpu
from ci.plan.compare.classes import ClassDifference, bound_text
from ci.plan.compare.diff import ABSENT, PRESENT, Difference, source_of
from ci.plan.makespan import expected
from ci.plan.model import BoundWork, CapabilityWork, Plan, SuiteWork
from ci.plan.shards import balance
from ci.report.console import Console, Rule, Table, Text, new_table, open_console, print_json, say
from ci.report.text import duration, unverified_words
from ci.system.inert import inert_json, send_command

__all__ = ["list_tests", "print_plan", "show_around", "show_class_differences", "show_differences"]

_GIB = 2**30

_SHOWN_TESTS = 40


def print_plan(plan: Plan, environ: Mapping[str, str], *, as_json: bool) -> None:
    """The plan as tables, or as JSON that `--plan` reads."""
    if as_json:
        sys.stdout.write(inert_json(plan.text()))
    else:
        _show_plan(open_console(environ), plan)


def show_around(plan: Plan, environ: Mapping[str, str], *, json: bool, verbose: bool) -> None:
    """What a run shows of its plan: all of it with `verbose` and, in a closed group, in Actions; else what is unusual about it."""
    console = open_console(environ, json=json)
    if environ.get("GITHUB_ACTIONS") == "true":
        send_command(console.file, f"::group::plan {plan.digest[:12]} of {plan.work.stage}")
        _show_plan(console, plan)
        send_command(console.file, "::endgroup::")
    elif verbose:
        _show_plan(console, plan)
        return
    _show_notes(console, plan)


def list_tests(plan: Plan, *, as_json: bool) -> None:
    """Tests with estimates, one per line; nothing else on standard output."""
    rows = [
        {"suite": suite.id, "test": test.id, "est_s": test.est_s, "kind": test.kind}
        for suite in plan.work.suites
        for test in suite.tests
    ]
    if as_json:
        print_json(rows)
    else:
        sys.stdout.writelines(f"{row['test']}\t{row['est_s']:g}\t{row['suite']}\n" for row in rows)
    for suite in plan.work.suites:
        if not suite.tests:
            where = f"shard {suite.shard}" if suite.shard is not None else "this suite"
            say(f"{suite.id}: nothing in {where}")
    for note in plan.notes:
        say(f"note: {note}")


def _show_plan(console: Console, plan: Plan) -> None:
    """Everything that will be done, each value with where it came from."""
    work, placement = plan.work, plan.placement
    title = f"plan {plan.digest[:12]}  {work.stage}"
    if work.rehearsal:
        title += "  REHEARSAL, not a pass of the real stage"
    if plan.unverified:
        title = f"UNVERIFIED {title}"
    console.print(Rule(Text(title, style="bold")))
    if plan.unverified:
        console.print(Text(unverified_words(plan.unverified), style="bold red"))
    table = new_table("what", "value", "source")
    for name in (
        "commit",
        "checkout",
        "hardware_class",
        "engine",
        "engine_version",
        "image",
        "jobs",
        "fail_fast",
        "pytest_args",
        "quarantine",
    ):
        _row(table, plan, f"work.{name}", getattr(work, name))
    for name in ("executor", "python", "gpu_ids", "event"):
        _row(table, plan, f"placement.{name}", getattr(placement, name))
    _row(table, plan, "placement.root", placement.root)
    _row(table, plan, "placement.runs_dir", placement.runs_dir)
    _row(table, plan, "placement.pass_through", placement.pass_through)
    _slurm_rows(table, plan)
    _container_rows(table, plan)
    console.print(table)
    for suite in work.suites:
        _show_suite(console, plan, suite)
    _show_slots(console, plan)
    _show_bounds(console, work.bounds)
    _show_capabilities(console, work.capabilities)
    _show_notes(console, plan)


def _show_slots(console: Console, plan: Plan) -> None:
    """How long the tests take beside each other; nothing where one runs at a time."""
    work, gpus, slurm = plan.work, plan.placement.gpu_ids, plan.placement.slurm
    if work.jobs == 1 and (slurm is None or slurm.nodes == 1):
        return
    found = expected(plan)
    on = f"{len(gpus)} GPUs, at most {work.jobs} tests at a time" if gpus else f"{work.jobs} CPU slots"
    if work.jobs == 1:
        on = "one test at a time"
    on = f"{slurm.words}, on each {on}" if slurm is not None else on
    text = f"on {on}: {duration(found.makespan_s)}, lower bound {duration(found.lower_bound_s)}, gap {found.gap:.1%}"
    alone = len(work.sharing.alone)
    console.print(text + (f"; {alone} tests run alone" if alone else ""))


def _show_notes(console: Console, plan: Plan) -> None:
    for note in plan.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    for missing in plan.partial:
        console.print(Text(f"partial digest: {missing}", style="bold yellow"))


def _container_rows(table: Table, plan: Plan) -> None:
    """What a container run adds; nothing for one on the host."""
    work, place = plan.work.container, plan.placement.container
    if work is None or place is None:
        return
    pinned = place.image_pinned if plan.work.image else f"unresolved, of {place.image}"
    for name in ("profile", "flavour"):
        _row(table, plan, f"work.container.{name}", getattr(work, name))
    mounts = tuple(f"{mount.source} at {mount.target}" for mount in place.mounts)
    cache = place.cache
    if place.cache_free_bytes is not None:
        cache = f"{cache}, {place.cache_free_bytes / _GIB:.1f} GiB free"
    rows = {
        "docker": place.docker,
        "image": pinned,
        "mirror": place.mirror,
        "devices": place.devices,
        "mounts": mounts,
        "cache": cache or "absent",
        "nofile": place.nofile,
        "keep": place.keep,
        "strict": place.strict,
        "exclusive_host": place.exclusive_host,
    }
    for name, value in rows.items():
        _row(table, plan, f"placement.container.{name}", value)


def _slurm_rows(table: Table, plan: Plan) -> None:
    """What a run on a cluster adds."""
    place = plan.placement.slurm
    if place is None:
        return
    gres = f"{place.gres}:{place.gpus_per_node}" if place.gres else ""
    runtime = f"{place.runtime}, NEVER RUN" if place.never_run else place.runtime
    rows = {
        "cluster": place.cluster,
        "nodes": place.nodes,
        "partition": place.partition,
        "account": place.account,
        "qos": place.qos,
        "constraint": place.constraint,
        "gpus_per_node": f"{place.gpus_per_node}, asked for as {gres}" if gres else "0",
        "cpus_per_node": place.cpus_per_node or "all, the node for itself",
        "time_limit_min": place.time_limit_min,
        "runtime": runtime,
        "runtime_argv": " ".join(place.runtime_argv),
        "shared": place.shared,
        "requeue": place.requeue,
        "accounting": place.accounting,
    }
    for name, value in rows.items():
        _row(table, plan, f"placement.slurm.{name}", value)


def _row(table: Table, plan: Plan, path: str, value: object) -> None:
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    name = path.partition(".")[2]
    table.add_row(name, shown or "-", Text(source_of(plan, path), style="dim"))


def _retries(suite: SuiteWork) -> str:
    """`; 2 after infra, 2 after device (other-if-any GPU)`."""
    shown = [
        f"{row.attempts} after {row.verdict}{'' if row.gpu is RetryGpu.SAME else f' ({row.gpu} GPU)'}"
        for row in suite.retries
    ]
    return f": {', '.join(shown)}" if shown else ""


def _show_suite(console: Console, plan: Plan, suite: SuiteWork) -> None:
    path = f"work.suites.{suite.id}"
    shard = f"  shard {suite.shard}" if suite.shard is not None else ""
    total_s = sum(test.est_s for test in suite.tests)
    head = f"{suite.name}{shard}: {len(suite.tests)} tests, {duration(total_s)} estimated on its hardware"
    console.print(Text(head, style="bold"))
    label = plan.placement.runner_labels.get(suite.id, "")
    facts = (
        f"  limit {duration(suite.timeout_s)} ({plan.sources.get(f'{path}.timeout_s', '')})",
        f"  attempts {suite.attempts}, {suite.retry_wait_s:g} s apart" + _retries(suite),
        f"  {suite.gpus} GPU{'s' if suite.gpus > 1 else ''}, runner in Actions {label} ({plan.sources.get(f'placement.runner_labels.{suite.id}', '')})",
    )
    for line in facts:
        console.print(line)
    if suite.shard is not None and not suite.tests:
        console.print("  nothing in this shard: there are more shards than tests")
    if suite.shard is None and len(suite.tests) > 1:
        _show_balance(console, plan, suite)
    tests = new_table("test", "kind", "estimate", "limit")
    for test in suite.tests[:_SHOWN_TESTS]:
        cases = f" ({len(test.cases)} cases)" if test.cases else ""
        tests.add_row(test.id + cases, test.kind, duration(test.est_s), duration(test.timeout_s))
    if suite.tests:
        console.print(tests)
    if len(suite.tests) > _SHOWN_TESTS:
        console.print(f"  and {len(suite.tests) - _SHOWN_TESTS} more: --list or --json has all")
    env = new_table("variable", "value", "source")
    for name, value in suite.env.items():
        env.add_row(name, value, Text(plan.sources.get(f"{path}.env.{name}", ""), style="dim"))
    console.print(env)
    _show_test_environments(console, plan, suite)


def _show_test_environments(console: Console, plan: Plan, suite: SuiteWork) -> None:
    """What single tests have over or beside the suite's environment."""
    if not any(test.env for test in suite.tests):
        return
    table = new_table("test", "variable", "value", "source", title="  only some tests have")
    for test in suite.tests:
        for name, value in test.env.items():
            source = plan.sources.get(f"work.suites.{suite.id}.tests.{test.id}.env.{name}", "")
            table.add_row(test.id, name, value, Text(source, style="dim"))
    console.print(table)


def _show_bounds(console: Console, bounds: Mapping[str, Mapping[str, BoundWork]]) -> None:
    """What will be judged, and by which number."""
    if not bounds:
        return
    table = new_table("test", "metric", "bound", "source", title="bounds")
    for test, metrics in bounds.items():
        for metric, row in metrics.items():
            for one in (row, row.ceiling):
                if one is not None:
                    table.add_row(test, metric, bound_text(one), Text(one.source, style="dim"))
    console.print(table)


def _show_capabilities(console: Console, capabilities: Mapping[str, CapabilityWork]) -> None:
    """Which of the arguments that tests ask for their servers get here."""
    if not capabilities:
        return
    table = new_table("requested", "here", "arguments", "why", title="server arguments that tests ask for")
    for name, answer in capabilities.items():
        style, here = ("green", "given") if answer.allowed else ("yellow", "left out")
        why = answer.why + (f" ({answer.issue})" if answer.issue else "")
        table.add_row(name, Text(here, style=style), " ".join(answer.args), Text(why, style="dim"))
    console.print(table)


def _show_balance(console: Console, plan: Plan, suite: SuiteWork) -> None:
    """How CI's shard count fits this suite's estimates."""
    shards = plan.placement.shards_in_ci.get(suite.id, 1)
    if shards < 2:
        return
    result = balance(suite.tests, shards)
    text = f"  in {shards} shards as SGLang splits: longest {duration(result.makespan_s)}, lower bound {duration(result.lower_bound_s)}, gap {result.gap:.1%}"
    if result.blocker:
        text += f"; {result.blocker} alone sets it: split it to gain"
    if result.enough < shards:
        text += f"; {result.enough} shards take as long"
    console.print(text)


def show_differences(
    console: Console, differences: tuple[Difference, ...], *, left: Plan, right: Plan
) -> None:
    """What differs between two plans, field by field, with the source of each value."""
    same = left.digest == right.digest
    verdict = "the same work" if same else "different work"
    console.print(Rule(Text(f"{left.digest[:12]} and {right.digest[:12]}: {verdict}", style="bold")))
    if not differences:
        console.print("nothing differs")
        return
    both = [row for row in differences if ABSENT not in (row.left, row.right)]
    if both:
        table = new_table("field", "left", "its source", "right", "its source")
        for row in both:
            table.add_row(row.path, row.left, row.left_source, row.right, row.right_source)
        console.print(table)
    for side, rows in (
        ("left", [(row.path, row.left, row.left_source) for row in differences if row.right == ABSENT]),
        ("right", [(row.path, row.right, row.right_source) for row in differences if row.left == ABSENT]),
    ):
        if rows:
            console.print(Text(f"only {side}:", style="bold"))
        for path, value, source in rows:
            console.print(_one_sided(path, value, source), soft_wrap=True)


def _one_sided(path: str, value: str, source: str) -> Text:
    """One line: a test or a suite is there, a variable has a value."""
    line = Text(f"  {path}" if value == PRESENT else f"  {path} = {value}")
    return line.append(f"  ({source})", style="dim") if source else line


def show_class_differences(
    console: Console,
    stage: str,
    names: Sequence[str],
    plans: Mapping[str, Plan],
    rows: Sequence[ClassDifference],
) -> None:
    """One table: a field a row, a hardware class a column, and only the fields in which the plans differ."""
    digests = ", ".join(f"{name} {plan.digest[:12]}" for name, plan in plans.items())
    console.print(Rule(Text(f"{stage}: {len(rows)} fields differ ({digests})", style="bold")))
    if not rows:
        console.print("nothing differs but the hardware class")
        return
    table = new_table("field", *names)
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_row(Text(group, style="bold"))
        table.add_row(f"  {row.name}", *(row.values[name] for name in names))
    console.print(table)
