"""Operators' verbs: what looks at or changes this machine. What computes, checks or runs a stage is a Nox session.

`./inv --list` lists them, `./inv --help VERB` explains one.
"""

from invoke.exceptions import Exit

from ci.cli.inv import SEVERAL, Inv, Verbs, arguments_of
from ci.cli.verb_options import (
    BuildOptions,
    CheckoutOptions,
    ContainerOptions,
    DepsOptions,
    EngineOptions,
    ImageOptions,
    JsonOptions,
    KeptOptions,
    MirrorOptions,
    PruneImagesOptions,
    PruneRunsOptions,
    ReproOptions,
    SlurmRunOptions,
    TriageOptions,
)
from ci.system import clock
from ci.system.environ import read_environ
from ci.system.inert import guard_output
from ci.system.output import outlive_readers

# A verb imports what it needs when it runs: `./inv --list` needs neither rich nor Docker's SDK.
# ruff: noqa: PLC0415

verbs = Verbs()
namespace = verbs.namespace  # for plain `invoke`


@verbs.add("doctor")
def doctor() -> None:
    """Show what this machine can run: hardware, engines, commit, disk."""
    from ci.catalog.catalog import load_catalog
    from ci.facts.doctor import examine
    from ci.report.views.doctor import show_findings

    environ = read_environ()
    show_findings(environ, examine(load_catalog(), environ))


@verbs.add("repro", required="source")
def repro(options: ReproOptions) -> None:
    """Understand a red run and print, or with --run run, what repeats it."""
    from ci.cli.repro import repro

    source, *rest = arguments_of(options)
    if code := repro([*rest, source.removeprefix("--source=")]):
        raise Exit(code=code)


@verbs.add("triage", required="source", several=True)
def triage(options: TriageOptions) -> None:
    """Say of each failed test of a job why it failed, what set-up did, and what to do next: logs, links, run folders."""
    from ci.cli.triage import triage

    source, *rest = arguments_of(options)
    triage([*source.removeprefix("--source=").split(SEVERAL), *rest])


@verbs.add("parity")
def parity(options: CheckoutOptions) -> None:
    """Compare every job in Actions with the same command on a machine with its hardware."""
    from ci.cli.parity import parity

    parity(arguments_of(options))


@verbs.add("runs.sweep")
def sweep() -> None:
    """End what killed runs have left, containers too; runs in progress are not touched."""
    from ci.cli.containers import sweep_verb
    from ci.execute.process_sweep import sweep_ended_runs
    from ci.execute.slurm.owner import Jobs, job_goes_on
    from ci.facts.gather import runs_dir
    from ci.report.console import say
    from ci.report.views.doctor import show_swept

    environ = read_environ()
    live, jobs = runs_dir(environ) / ".live", Jobs(environ)
    swept = sweep_ended_runs(live, wait=clock.sleep_s, goes_on=lambda run: job_goes_on(run, jobs, say))
    show_swept(environ, swept)
    sweep_verb(environ)


@verbs.add("runs.prune")
def prune(options: PruneRunsOptions) -> None:
    """Remove old run folders."""
    from ci.execute.run_folder import prune_folders
    from ci.facts.gather import runs_dir
    from ci.report.views.doctor import show_pruned

    environ = read_environ()
    removed = prune_folders(runs_dir(environ), keep=options.keep, dry=options.dry)
    show_pruned(environ, removed, dry=options.dry)


@verbs.add("slurm.attach", required="run")
def slurm_attach(options: SlurmRunOptions) -> None:
    """Go on with a Slurm run whose starter has ended: show it from its start, and write its record and its reports."""
    from ci.cli.slurm import attach_verb

    if code := attach_verb(read_environ(), options.run):
        raise Exit(code=code)


@verbs.add("slurm.list")
def slurm_list(options: JsonOptions) -> None:
    """Show the Slurm runs here: their jobs, the jobs' states, and how many tests are done."""
    from ci.cli.slurm import list_verb

    list_verb(read_environ(), as_json=options.json)


@verbs.add("slurm.cancel", required="run")
def slurm_cancel(options: SlurmRunOptions) -> None:
    """End a Slurm run: its tests are stopped, then its job is cancelled."""
    from ci.cli.slurm import cancel_verb

    cancel_verb(read_environ(), options.run)


@verbs.add("image.resolve")
def image_resolve(options: ImageOptions) -> None:
    """Show which image a run would use, its digests, and why no other tag was taken."""
    from ci.cli.images import resolve_verb

    resolve_verb(read_environ(), options)


@verbs.add("image.pull")
def image_pull(options: ImageOptions) -> None:
    """Pull the image into the local store, from the mirror or the public registry, checked by digest."""
    from ci.cli.images import pull_verb

    pull_verb(read_environ(), options)


@verbs.add("image.mirror")
def image_mirror(options: MirrorOptions) -> None:
    """Copy the image to the mirror by digest, and verify the copy."""
    from ci.cli.images import mirror_verb

    mirror_verb(read_environ(), options)


@verbs.add("image.build")
def image_build(options: BuildOptions) -> None:
    """Build a rehearsal image (--rehearsal), or SGLang's own from a checkout's commit (--checkout)."""
    from ci.cli.build import build_verb

    build_verb(read_environ(), options)


@verbs.add("image.prune")
def image_prune(options: PruneImagesOptions) -> None:
    """Remove old local images of SGLang's repository, never one that a container uses."""
    from ci.cli.images import prune_verb

    prune_verb(read_environ(), options)


@verbs.add("container.list")
def container_list(options: JsonOptions) -> None:
    """Show this project's containers and the runs that own them."""
    from ci.cli.containers import list_verb

    list_verb(read_environ(), as_json=options.json)


@verbs.add("container.stop", required="name")
def container_stop(options: ContainerOptions) -> None:
    """Stop and remove one of this project's containers, kept or not."""
    from ci.cli.containers import stop_verb

    stop_verb(read_environ(), options.name)


@verbs.add("container.prune")
def container_prune(options: KeptOptions) -> None:
    """Remove containers that killed runs have left; those of runs in progress are not touched."""
    from ci.cli.containers import prune_verb

    prune_verb(read_environ(), kept=options.kept)


@verbs.add("engine.list")
def engine_list(options: JsonOptions) -> None:
    """Show what was made to run the real SGLang on a CPU: environments, weights, and what they take."""
    from ci.cli.engines import list_verb

    list_verb(read_environ(), as_json=options.json)


@verbs.add("engine.remove")
def engine_remove(options: EngineOptions) -> None:
    """Remove unfinished and old environments and weights of the real SGLang; with --all every one."""
    from ci.cli.engines import remove_verb

    remove_verb(read_environ(), everything=options.all, older_days=options.older)


@verbs.add("deps.plan")
def deps_plan(options: DepsOptions) -> None:
    """Show the steps of an installation with their reasons, and what happens to AITER."""
    from ci.cli.deps import plan_verb

    plan_verb(read_environ(), options)


@verbs.add("deps.install", only=("container", "checkout", "rocm", "python"), required="container")
def deps_install(options: DepsOptions) -> None:
    """Install in a running container, guarded; --checkout is the tree that the container has a copy of."""
    from ci.cli.deps import install_verb

    install_verb(read_environ(), options)


@verbs.add("deps.check", only=("container", "rocm", "python", "json"), required="container")
def deps_check(options: DepsOptions) -> None:
    """Check a container's protected distributions, imports and requirements; a violation is exit 6."""
    from ci.cli.deps import check_verb

    check_verb(read_environ(), options)


if __name__ == "__main__":
    outlive_readers()
    guard_output(read_environ())
    Inv(verbs).run()
