"""What is installed in a container: first what a plan can say, then, once its facts are known, the final steps.

Pure. `install_of` goes into the plan and needs no container; `steps` needs one, whose facts `ci.install.install` has read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ci.catalog.dependencies import PLACEHOLDER, Dependencies, Flavour, Installer, StepRow
from ci.catalog.limits import DepsLimits
from ci.errors import UsageError
from ci.plan.container.aiter import AiterDecision, decide, valid_reference
from ci.plan.container.inside import CheckoutFacts, InsideFacts, flavour_of, stage_of
from ci.plan.container.needs import CHECKOUT_COPY
from ci.plan.container.work import CheckoutWork, InstallWork
from ci.system.codec import canonical

__all__ = ["CheckoutFacts", "InsideFacts", "InstallSteps", "Step", "install_of", "overriding", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as it will be done; `skip` says why it is not, empty when it is.

    `digest` is over everything that goes into it; empty when its inputs cannot be known, so that it always runs.
    `index_variable` is what its installer reads the alternative index from, empty for a step that installs nothing.
    """

    id: str
    text: str
    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, str]
    cwd: str
    env: Mapping[str, str]
    timeout_s: float
    attempts: int
    wait_s: float
    index_variable: str
    announces: tuple[str, ...]
    again_after: tuple[str, ...]
    optional: bool
    product: bool
    why: str
    era: str
    source: str
    skip: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSteps:
    """The final steps in order; `flavour` and `installer` are rows, `decision` is about AITER, None when there was
    nothing to decide.
    """

    flavour: str
    stage: str
    installer: str
    decision: AiterDecision | None
    steps: tuple[Step, ...]
    notes: tuple[str, ...]


def install_of(
    rows: Dependencies,
    *,
    flavour: str,
    family: str,
    checkout: CheckoutFacts | None,
    overrides: Mapping[str, str],
) -> InstallWork:
    """What a plan says about the installation.

    Args:
        rows: `dependencies.toml`.
        flavour: a row of it; empty when the image's name does not tell, the container is asked then.
        family: `mi30x`, `mi35x`, or empty for a rehearsal.
        checkout: what the rows ask of `--checkout`, None without one.
        overrides: the caller's variables that rows name, `{variable: value}`; empty values count as unset.

    Raises:
        UsageError: the flavour has no row, the Dockerfile's stage has no AITER pin, or an override is not a reference.
    """
    if flavour and flavour not in rows.flavours:
        raise UsageError(
            f"unknown flavour {flavour!r} of images",
            cause=f"known: {', '.join(rows.flavours)}",
            then="add a [[flavour]] to ci/catalog/dependencies.toml",
        )
    chosen = {
        key: valid_reference(overrides[variable], where=variable)
        for key, variable in overriding(rows, overrides).items()
    }
    row = rows.flavours.get(flavour)
    if checkout is not None and (row is None or row.sglang) and family in rows.targets:
        _require_pins(rows, flavour, family, checkout, chosen)
    return InstallWork(
        rows=_rows_digest(rows),
        flavour=flavour,
        family=family,
        stage=stage_of(rows, flavour=flavour, family=family),
        checkout=None
        if checkout is None
        else CheckoutWork(
            tree=checkout.tree,
            tree_source=checkout.tree_source,
            files=tuple(sorted(checkout.files)),
            pins=dict(sorted(checkout.pins.items())),
        ),
        overrides=chosen,
        alternative_index=rows.alternative_index,
        steps=tuple(step.id for step in rows.steps),
    )


def overriding(rows: Dependencies, environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that holds of each override that is given; an empty value is none."""
    found = {}
    for key, variables in rows.overrides.items():
        given = next((name for name in variables if environ.get(name)), "")
        if given:
            found[key] = given
    return found


def steps(
    rows: Dependencies,
    install: InstallWork,
    inside: InsideFacts,
    *,
    limits: DepsLimits,
    leave_out: frozenset[str] = frozenset(),
) -> InstallSteps:
    """The steps for this container, each complete or with the reason why it is left out.

    Args:
        rows: `dependencies.toml`, the same that `install` was made from.
        install: what `install_of` returned, perhaps read from a plan.
        inside: the container's facts.
        limits: how often a step is tried.
        leave_out: ids of steps that the caller does not want.

    Raises:
        UsageError: `install` was made from other rows, or a pin is missing.
        InfrastructureError: the image was built by another stage than its name has, or the stage is unknown.
    """
    if install.rows != _rows_digest(rows):
        raise UsageError(
            "the plan was made with other rows of dependencies.toml than these",
            cause="the catalog was edited since, or the plan is of another commit",
            then="check out the plan's commit, or: nox -s plan -- STAGE --json > plan.json",
        )
    flavour, stage, notes = flavour_of(rows, install, inside)
    installer = next(row for row in rows.installers if not row.program or row.program in inside.programs)
    decision = _aiter(rows, install, inside, flavour, stage)
    values = _values(rows, install, inside, stage, decision)
    values["extras"] = ",".join(flavour.extras)
    made = []
    for row in rows.steps:
        skip = "left out by the caller" if row.id in leave_out else ""
        skip = skip or _skip(row, install, inside, flavour, values, decision)
        made.append(_step(row, skip, values, installer, inside, install, limits, decision))
    return InstallSteps(
        flavour=flavour.id,
        stage=stage,
        installer=installer.id,
        decision=decision,
        steps=tuple(made),
        notes=tuple(notes),
    )


def _override_of(rows: Dependencies, key: str) -> str:
    """The variable by which a message tells to override a pin."""
    return next(iter(rows.overrides.get(key, ())), "")


def _rows_digest(rows: Dependencies) -> str:
    return _digest(rows)


def _require_pins(
    rows: Dependencies, flavour: str, family: str, checkout: CheckoutFacts, chosen: Mapping[str, str]
) -> None:
    stage = stage_of(rows, flavour=flavour, family=family)
    for pin in rows.pins.values():
        if pin.per_stage and stage and pin.id not in chosen and f"{pin.id}@{stage}" not in checkout.pins:
            raise UsageError(
                f"{pin.file} of the checkout has no {pin.names[0]} in its stage {stage}",
                cause="the stage was renamed, or the checkout is from before that",
                then=f"grep -n {pin.names[0]} {pin.file}; or name a commit: {_override_of(rows, pin.id)}=46e6c92b3e",
            )
    for value in checkout.pins.values():
        if value.startswith("-"):
            raise UsageError(f"the checkout pins {value!r}, which is an option", cause="a pin is a name")


def _aiter(
    rows: Dependencies, install: InstallWork, inside: InsideFacts, flavour: Flavour, stage: str
) -> AiterDecision | None:
    if not flavour.sglang:
        return None
    override = install.overrides.get("aiter", "")
    checkout = install.checkout
    if checkout is None and not override:
        return None
    if not stage:
        raise UsageError(
            f"nothing says by which Dockerfile stage this {flavour.id} image was built, so AITER cannot be judged",
            cause="the image has no stamp, and the run is not for a family of GPUs",
            then="name it: --hardware mi300x",
        )
    pin = "" if checkout is None else checkout.pins.get(f"aiter@{stage}", "")
    if not pin and not override:
        raise UsageError(
            f"the checkout names no AITER for stage {stage}, by which this image was built",
            cause="the stage is not in its docker/rocm.Dockerfile",
            then=f"name a commit: {_override_of(rows, 'aiter')}=46e6c92b3e",
        )
    if pin:
        valid_reference(pin, where="the AITER pin")
    return decide(pin=pin, override=override, image=inside.aiter)


def _values(
    rows: Dependencies,
    install: InstallWork,
    inside: InsideFacts,
    stage: str,
    decision: AiterDecision | None,
) -> dict[str, str]:
    checkout = install.checkout
    files, pins = (checkout.files, checkout.pins) if checkout is not None else ((), {})
    values = {
        "python": inside.python,
        "checkout": CHECKOUT_COPY,
        "gfx": stage.partition("-")[0],
        "aiter_commit": decision.commit if decision is not None else "",
        "torch_lib": inside.torch_lib,
    }
    for choice in rows.choices.values():
        held = (folder for folder in choice.among if f"{folder}/{choice.holds}" in files)
        values[choice.id] = next(held, "")
    for pin in rows.pins.values():
        values[f"pin_{pin.id}"] = pins.get(f"{pin.id}@{stage}" if pin.per_stage else pin.id, "")
    values |= {f"repository_{name}": url for name, url in rows.repositories.items()}
    return values


def _skip(
    row: StepRow,
    install: InstallWork,
    inside: InsideFacts,
    flavour: Flavour,
    values: Mapping[str, str],
    decision: AiterDecision | None,
) -> str:
    """Why a step is left out; empty when it is not."""
    if flavour.id not in row.flavours:
        return f"not for {flavour.id} images"
    if row.needs_checkout and install.checkout is None:
        return "no --checkout: the image's own SGLang is tested"
    if row.needs_pin and not values[f"pin_{row.needs_pin}"]:
        return "no --checkout, which would pin it" if install.checkout is None else f"the checkout has no pin {row.needs_pin}"  # fmt: skip
    if row.needs_file and not values.get(row.needs_file, ""):
        return f"the checkout has no {row.needs_file}"
    if row.needs_dir and row.needs_dir not in inside.dirs:
        return f"the container has no {row.needs_dir}"
    if row.needs_absent_program and row.needs_absent_program in inside.programs:
        return f"the image has {row.needs_absent_program}"
    if row.needs_aiter_rebuild and (decision is None or not decision.rebuild):
        return decision.because if decision is not None else "no --checkout: the image's own AITER is tested"
    return ""


def _step(
    row: StepRow,
    skip: str,
    values: Mapping[str, str],
    installer: Installer,
    inside: InsideFacts,
    install: InstallWork,
    limits: DepsLimits,
    decision: AiterDecision | None,
) -> Step:
    tool = {"python": inside.python, "program": inside.programs.get(installer.program, "")}
    beginnings = {
        "{install}": tuple(_fill(word, tool) for word in installer.install),
        "{uninstall}": tuple(_fill(word, tool) for word in installer.uninstall),
    }
    commands = tuple(
        (
            *beginnings.get(command[0], (_fill(command[0], values),)),
            *(_fill(word, values) for word in command[1:]),
        )
        for command in row.commands
    )
    env = {name: _fill(value, values) for name, value in row.env.items()}
    if row.installs:
        env = _installer_env(installer, inside) | env
    step = Step(
        id=row.id,
        text=row.text,
        commands=commands,
        files={_fill(path, values): _fill(text, values) for path, text in row.files.items()},
        cwd=_fill(row.cwd, values),
        env=env,
        timeout_s=row.timeout_s,
        attempts=1 if row.once or not commands else limits.attempts,
        wait_s=limits.wait_s,
        index_variable=installer.index_variable if row.installs else "",
        announces=row.announces,
        again_after=row.again_after,
        optional=row.optional,
        product=row.product,
        why=row.why,
        era=row.era,
        source=row.source,
        skip=skip,
        digest="",
    )
    return _with_digest(step, row, install, decision)


def _installer_env(installer: Installer, inside: InsideFacts) -> dict[str, str]:
    """Its cache where there is one, and the image's constraints under the name that it reads."""
    env = {installer.cache_variable: installer.cache} if installer.cache in inside.dirs else {}
    constraints = inside.variables.get("PIP_CONSTRAINT", "")
    if constraints and installer.constraint_variable != "PIP_CONSTRAINT":
        env[installer.constraint_variable] = constraints
    return env


def _with_digest(step: Step, row: StepRow, install: InstallWork, decision: AiterDecision | None) -> Step:
    tree = ""
    if row.needs_checkout:
        tree = install.checkout.tree if install.checkout is not None else ""
        if not tree:
            return step
    commit = decision.commit if row.needs_aiter_rebuild and decision is not None else ""
    data = [tree, commit, step.commands, step.files, step.cwd, step.env, step.announces]
    return replace(step, digest=_digest(data))


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _fill(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values.get(match.group(1), match.group(0)), text)
