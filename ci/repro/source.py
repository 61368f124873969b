"""What a source of `./inv repro` gave: the run, as far as it is known, and where each part was read."""

from collections.abc import Sequence
from dataclasses import dataclass

from ci.catalog.verdicts import Verdict
from ci.github.job_names import JobName
from ci.plan.model import Plan
from ci.plan.shards import Shard

__all__ = ["Asked", "Fact", "More", "Stopped", "Understood", "from_name", "from_plan", "hardware_note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was understood, and where it was read."""

    what: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request to a stage session, as far as it is known. `sglang` means a test of SGLang's own tree, at `commit`.

    `stage` is empty when no session runs it. `others` are further suites of the same job. `rocm` and `image` are the container's.
    """

    stage: str
    suite: str = ""
    others: tuple[str, ...] = ()
    shard: Shard | None = None
    tests: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    rocm: str = ""
    image: str = ""
    commit: str = ""
    sglang: bool = False
    command: tuple[str, ...] = ()

    def arguments(self, checkout: str) -> tuple[str, ...]:
        """The session's options. `checkout` is SGLang's tree here; without one its place says which tree is needed."""
        checkout = checkout or self.tree_words
        words: list[str] = []
        if self.command:
            # after `nox -s SESSION --`, with the tree of that machine replaced by the one here
            return _moved(self.command[4:], checkout)
        if self.suite:
            words += [word for suite in (self.suite, *self.others) for word in ("--suite", suite)]
        if self.shard is not None:
            words += ["--shard", str(self.shard)]
        for test in self.tests:
            words += ["--test", test]
        for name, value in self.env:
            words += ["--env", f"{name}={value}"]
        if self.image:
            words += ["--executor", "docker", "--image", self.image]
        elif self.rocm:
            words += ["--executor", "docker", "--rocm", self.rocm]
        if self.sglang:
            words += ["--checkout", checkout]
        return tuple(words)

    @property
    def tree_words(self) -> str:
        """What stands for the tree that is needed: not a path, so nothing else is run in its place."""
        return f"<your SGLang tree at {self.commit}>" if self.commit else "<your SGLang tree>"


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Another command of the same source that failed too: what it was, and how it is repeated."""

    what: str
    asked: Asked
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A job that ended before a test began: in which step, why, and what proves it."""

    step: str
    verdict: Verdict
    evidence: tuple[str, ...]
    symptom: str = ""

    @property
    def words(self) -> str:
        """The same in a sentence."""
        first = self.evidence[0] if self.evidence else self.verdict.row.words
        return f"the job ended in {self.step}: {first}; no test ran; verdict {self.verdict}: {self.verdict.row.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a source gave.

    `plan` is set when it could be rebuilt completely. `failed` are suites, empty where the source does not name them, and
    files or node ids. `missing` names what is not available, `problem` says why; `fatal` means that the source itself is
    bad. `more` are further commands that failed, `dropped` is what is known and stands in no line, with the reason. `stopped` is
    set for a job that ended before its tests.
    """

    kind: str
    facts: tuple[Fact, ...]
    asked: Asked
    plan: Plan | None = None
    failed: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""
    fatal: bool = False
    more: tuple[More, ...] = ()
    dropped: tuple[str, ...] = ()
    stopped: Stopped | None = None

    @property
    def failed_nodes(self) -> tuple[str, ...]:
        """The failed files or node ids, each once."""
        return tuple(dict.fromkeys(node for _, node in self.failed))


def from_plan(plan: Plan, *, kind: str, where: str, failed: Sequence[tuple[str, str]] = ()) -> Understood:
    """A whole plan, and the tests that failed when it was run."""
    work, placement = plan.work, plan.placement
    suites = ", ".join(
        suite.id + (f" shard {suite.shard}" if suite.shard is not None else "") for suite in work.suites
    )
    values = {
        "stage": work.stage,
        "digest": plan.digest,
        "commit": work.commit,
        "checkout": work.checkout,
        "suites": suites,
        "tests": str(work.tests),
        "hardware class": work.hardware_class + (" (rehearsal)" if work.rehearsal else ""),
        "engine": f"{work.engine} {work.engine_version}".strip(),
        "image": work.image or "",
        "quarantine": ", ".join(work.quarantine),
        "executor": placement.executor,
        "event": placement.event,
        "runner": ", ".join(dict.fromkeys(placement.runner_labels.values())),
        "failed": ", ".join(dict.fromkeys(node for _, node in failed)),
    }
    facts = tuple(Fact(what=name, value=value, source=where) for name, value in values.items() if value)
    return Understood(kind=kind, facts=facts, asked=_asked_of(plan), plan=plan, failed=tuple(failed))


def _asked_of(plan: Plan) -> Asked:
    """The original command: the plan's own if known, else the shortest for the same suites."""
    work = plan.work
    command = plan.placement.command
    if command[:2] == ("nox", "-s"):
        return Asked(stage=work.stage, sglang=bool(work.checkout), commit=work.checkout, command=command)
    one = work.suites[0] if len(work.suites) == 1 else None
    return Asked(
        stage=work.stage,
        suite=one.id if one is not None else "",
        shard=one.shard if one is not None else None,
        sglang=bool(work.checkout),
        commit=work.checkout,
    )


def _moved(words: Sequence[str], checkout: str) -> tuple[str, ...]:
    """The words with the value of --checkout replaced."""
    moved = list(words)
    for number, word in enumerate(moved):
        if word == "--":
            break
        if word == "--checkout" and number + 1 < len(moved):
            moved[number + 1] = checkout
        elif word.startswith("--checkout="):
            moved[number] = f"--checkout={checkout}"
    return tuple(moved)


def from_name(job: JobName, *, where: str, problem: str = "", checkout: bool = False) -> Understood:
    """A job's name: suite, runner and shard, and nothing of the tests; with a `checkout` it is a job of that tree."""
    values = {
        "suite": ", ".join(suite.name for suite in (job.suite, *job.others)),
        "stage": job.suite.stage,
        "runner": job.label.label if job.label is not None else "",
        "shard": str(job.shard) if job.shard is not None else "",
        "ROCm": job.rocm,
        "environment": " ".join(f"{name}={value}" for name, value in job.env),
    }
    facts = [Fact(what=name, value=value, source=where) for name, value in values.items() if value]
    facts += [Fact(what="reading", value=words, source=where) for words in job.readings]
    return Understood(
        kind="job name",
        facts=tuple(facts),
        asked=Asked(
            stage=job.suite.stage,
            suite=job.suite.id,
            others=tuple(suite.id for suite in job.others),
            shard=job.shard,
            env=job.env,
            rocm=job.rocm,
            sglang=job.sglang or checkout,
        ),
        missing=("commit", "tests", "environment") if problem else (),
        problem=problem,
        fatal=bool(problem),
        dropped=(hardware_note(job.label.label),) if job.label is not None else (),
    )


def hardware_note(hardware: str) -> str:
    """Why the machine of a job stands in no line."""
    return f"hardware {hardware}: the line takes this machine's; --hardware refuses another"
