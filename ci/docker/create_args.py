"""A plan's container as the engine's own words: what `create` is called with. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ci.plan.container.needs import (
    BIN_DIR,
    CHECKOUT_DIR,
    ROOT_DIR,
    RUN_DIR,
    RUNS_DIR,
    ContainerPlace,
    ContainerWork,
)
from ci.plan.model import Plan
from ci.system.codec import encode

__all__ = ["create_arguments", "key_of", "parts_of"]


def parts_of(plan: Plan) -> tuple[ContainerWork, ContainerPlace, str]:
    """The container's part of `work`, that of `placement`, and the image's config digest.

    Raises:
        ValueError: the plan is of another executor.
    """
    work, place, image = plan.work.container, plan.placement.container, plan.work.image
    if work is None or place is None or not image:
        raise ValueError("not a plan of the docker executor")
    return work, place, image


def key_of(plan: Plan, *, root: str) -> str:
    """What two runs must agree on to share a kept container: image, profile, interpreter, mounts, as 16 hex digits."""
    work, place, image = parts_of(plan)
    same = [
        image,
        work.profile,
        encode(work.options),
        dict(work.env),
        plan.placement.python,
        plan.placement.root,
        plan.placement.runs_dir,
        root,
        [[mount.source, mount.target] for mount in place.mounts],
        list(place.devices),
        list(plan.placement.engine_build.folders) if plan.placement.engine_build is not None else [],
    ]
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def create_arguments(
    plan: Plan,
    *,
    image: str,
    name: str,
    labels: Mapping[str, str],
    run_dir: str,
    root: str,
    ttl_s: int,
    kept: bool,
) -> dict[str, Any]:
    """The arguments of the SDK's low-level create.

    `image` is the local id, `root` the tree of this repository, `run_dir` the run folder. A kept container sees the folder
    of all runs instead: it serves later ones too. Bind mounts go by the Mounts API, which takes a path as it is.
    """
    work, place, _ = parts_of(plan)
    mounts = [_bind(root, ROOT_DIR, read_only=True)]
    if plan.work.checkout:
        mounts.append(_bind(plan.placement.root, CHECKOUT_DIR, read_only=True))
    if kept:
        mounts.append(_bind(plan.placement.runs_dir, RUNS_DIR, read_only=False))
    else:
        mounts.append(_bind(run_dir, RUN_DIR, read_only=False))
    if plan.placement.engine_build is not None:
        # at their own paths: an environment is not relocatable
        mounts += [_bind(folder, folder, read_only=True) for folder in plan.placement.engine_build.folders]
    mounts += [_bind(mount.source, mount.target, read_only=mount.read_only) for mount in place.mounts]
    options = work.options
    ulimits = [
        {"Name": limit, "Soft": value, "Hard": value}
        for limit, value in (("nofile", place.nofile), ("memlock", options.memlock))
        if value is not None
    ]
    host_config = {
        "AutoRemove": True,
        "CapAdd": list(options.capabilities),
        "Devices": [
            {"PathOnHost": device, "PathInContainer": device, "CgroupPermissions": "rwm"}
            for device in place.devices
        ],
        "GroupAdd": [str(group) for group in place.groups],
        "Init": options.init,
        "IpcMode": options.ipc,
        "Mounts": mounts,
        "NetworkMode": options.network,
        "Privileged": options.privileged,
        "SecurityOpt": list(options.security),
        "ShmSize": options.shm_bytes,
        "Ulimits": ulimits,
    }
    init = [plan.placement.python, f"{BIN_DIR}/container_init.py", str(ttl_s), "kept" if kept else "held"]
    return {
        "image": image,
        "name": name,
        # an image's own entry point would get our command as its arguments
        "entrypoint": init,
        "command": [],
        "user": "0:0",
        "working_dir": "/",
        "environment": dict(work.env),
        "labels": dict(labels),
        # with `detach` the engine would not end standard input when we are gone
        "stdin_open": not kept,
        "detach": kept,
        "host_config": host_config,
    }


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}
