"""The capsule: a plan as one checksummed line of a log, and back.

    amd-ci-capsule VERSION STAGE DIGEST LENGTH CHECKSUM PAYLOAD

DIGEST is the first 12 hex digits of the plan's digest, LENGTH the number of characters of PAYLOAD, CHECKSUM the first 12
hex digits of the SHA-256 of the other fields. PAYLOAD is base64url without padding of raw deflate of lines, each a JSON pair
`[name, value]`: the most useful values come first, so that a line that was cut still identifies the run.
"""

import base64
import binascii
import dataclasses
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci.errors import UsageError
from ci.plan.model import SCHEMA, Plan, Work
from ci.plan.request import Request
from ci.system.codec import canonical

__all__ = ["LINE", "MARK", "VERSION", "Capsule", "decode", "encode", "find"]

MARK = "amd-ci-capsule"
VERSION = 1

_HEADER = ("version", "stage", "digest", "length", "checksum")
_SHAPES = (r"[1-9][0-9]{0,3}", r"[a-z0-9][a-z0-9-]*", r"[0-9a-f]{12}", r"[0-9]{1,9}", r"[0-9a-f]{12}")
_SHORT = 12
# A whole line as a regular expression.
LINE = " ".join((MARK, *_SHAPES, "[A-Za-z0-9_-]*"))

# Of the work what tells a reader which run it was; the other fields follow in the plan's own order.
_FIRST = (
    "commit",
    "checkout",
    "hardware_class",
    "rehearsal",
    "engine",
    "engine_version",
    "image",
    "jobs",
    "fail_fast",
    "pytest_args",
    "skipped_suites",
    "quarantine",
    "suites",
)
# Of the placement what helps to repeat a run elsewhere: no host, no user, no path.
_PLACEMENT = ("executor", "event", "runner_labels", "shards_in_ci", "command")
# And of a container's, whose paths are those of the image and of the catalog's rows. The tags that were not taken and
# the engine's address are left out.
_IN_CONTAINER = ("python", "python_version", "container")
_EMPTIED: Mapping[str, Any] = {"image_candidates": [], "docker": ""}
# What is filled in where the plan is placed again.
_NOWHERE: Mapping[str, Any] = {
    **dict.fromkeys(("root", "runs_dir", "python", "python_version", "host", "user", "event"), ""),
    **dict.fromkeys(("gpu_ids", "pass_through", "command"), ()),
    "gpu_groups": {},
    "runner_labels": {},
    "shards_in_ci": {},
    "container": None,
    "engine_build": None,
    "slurm": None,
    "roles": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """What a capsule's line gave.

    `parts` is what was understood, by field of the work or of the placement (`suites` is a list with what is known of
    each). `plan` is there only when everything was, and then `problem` is empty; else `problem` says what is wrong and
    `missing` names the missing fields. `digest` has 12 hex digits.
    """

    stage: str
    digest: str
    parts: Mapping[str, Any]
    plan: Plan | None
    problem: str
    missing: tuple[str, ...]


def encode(plan: Plan) -> str:
    """The plan's line, without a line break. It holds no value that the plan does not, so no secret."""
    lines = "\n".join(json.dumps(pair, separators=(",", ":"), allow_nan=False) for pair in _pairs(plan))
    packer = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(lines.encode("ascii")) + packer.flush()
    payload = base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")
    stage, digest = plan.work.stage, plan.digest[:_SHORT]
    checksum = _checksum(str(VERSION), stage, digest, str(len(payload)), payload)
    return f"{MARK} {VERSION} {stage} {digest} {len(payload)} {checksum} {payload}"


def find(lines: Iterable[str]) -> tuple[str, ...]:
    """Every different capsule in the lines of a log, each from its mark on, the first one first."""
    found = (line[line.index(MARK) :].rstrip() for line in lines if MARK in line)
    return tuple(dict.fromkeys(found))


def decode(line: str, *, limit_bytes: int) -> Capsule:
    """Read a capsule's line; whatever is wrong with it, what can be understood is.

    `limit_bytes` is how much the payload may hold when it is unpacked.
    """
    header, payload, wrong = _header(line.removeprefix(MARK))
    stage, digest = header.get("stage", ""), header.get("digest", "")

    def broken(problem: str, parts: Mapping[str, Any], missing: Iterable[str]) -> Capsule:
        return Capsule(
            stage=stage, digest=digest, parts=parts, plan=None, problem=problem, missing=tuple(missing)
        )

    if header.get("version") not in (None, str(VERSION)):
        problem = f"it is of version {header['version']}, this version of the tools reads {VERSION}"
        return broken(problem, {}, _missing({}))
    if wrong:
        return broken(wrong, {}, [*(name for name in _HEADER if name not in header), *_missing({})])
    length = int(header["length"])
    cut = len(payload) < length
    payload = payload[:length]
    parts = _collect(_unpack(payload, limit_bytes))
    if cut:
        return broken(f"it was cut after {len(payload)} of {length} characters", parts, _missing(parts))
    stated = header["checksum"]
    found = _checksum(header["version"], stage, digest, header["length"], payload)
    if found != stated:
        problem = f"its checksum is {found}, it states {stated}: the line was changed, no value of it is sure"
        return broken(problem, parts, _missing(parts))
    try:
        return Capsule(
            stage=stage, digest=digest, parts=parts, plan=_plan(stage, digest, parts), problem="", missing=()
        )
    except UsageError as error:
        problem = "; ".join([error.what, *map(str, error.problems), *([error.cause] if error.cause else [])])
        return broken(problem, parts, _missing(parts))


def _checksum(*fields: str) -> str:
    return hashlib.sha256(" ".join(fields).encode("utf-8", "surrogatepass")).hexdigest()[:_SHORT]


def _header(text: str) -> tuple[dict[str, str], str, str]:
    """The header's fields as far as they are well formed, the payload, and what is wrong."""
    if not text.startswith(" "):
        return {}, "", "its header was changed or cut: the version is missing"
    words = text[1:].split(" ", len(_HEADER))
    header: dict[str, str] = {}
    for name, shape, word in zip(_HEADER, _SHAPES, words, strict=False):
        if not re.fullmatch(shape, word):
            return header, "", f"its header was changed or cut: {name} is {word[:40]!r}"
        header[name] = word
    if len(words) <= len(_HEADER):
        last = list(header)[-1]
        # the last word may be cut itself, so it is not sure
        return header, "", f"it was cut after its {last}"
    return header, words[-1], ""


def _pairs(plan: Plan) -> Iterator[tuple[str, Any]]:
    """What the payload holds, the most telling first; each test of a suite is a pair of its own."""
    work = json.loads(canonical(plan.work))
    placement = json.loads(canonical(plan.placement))
    yield "schema", SCHEMA
    names = [*_FIRST, *(name for name in work if name not in (*_FIRST, "stage"))]
    for name in names:
        if name != "suites":
            yield name, work[name]
            continue
        for suite in work["suites"]:
            yield "suite", {key: value for key, value in suite.items() if key != "tests"}
            for test in suite["tests"]:
                yield "test", test
        # says that no suite and no test is missing
        yield "suites", len(work["suites"])
        for key in _PLACEMENT:
            yield f"placement.{key}", placement[key]
        if plan.placement.roles:
            yield "placement.roles", placement["roles"]
        if plan.placement.slurm is not None:
            yield "placement.slurm", {**placement["slurm"], "shared": ""}
        if plan.placement.container is not None:
            placement["container"] |= _EMPTIED
            for key in _IN_CONTAINER:
                yield f"placement.{key}", placement[key]
        yield "partial", list(plan.partial)
        yield "request", _given(plan.request)
        yield "part", [list(each) for each in plan.part]


def _given(request: Request) -> dict[str, Any]:
    """What was asked, without what has its default."""
    fields = json.loads(canonical(request))
    default = json.loads(canonical(Request(stage="")))
    return {name: value for name, value in fields.items() if value != default[name]}


def _unpack(payload: str, limit_bytes: int) -> Iterator[tuple[str, Any]]:
    """The pairs that are whole in as much of the payload as can be read."""
    sound = re.match(r"[A-Za-z0-9_-]*", payload)
    text = sound.group() if sound is not None else ""
    # one character of a group of four holds less than a byte
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return
    data, whole = _inflate(packed, limit_bytes)
    lines = data.split(b"\n")
    for line in lines if whole else lines[:-1]:
        try:
            name, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            return
        if not isinstance(name, str):
            return
        yield name, value


def _inflate(packed: bytes, limit_bytes: int) -> tuple[bytes, bool]:
    """What the packed bytes hold, at most `limit_bytes`, and whether that is all."""
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(packed, limit_bytes)
    except zlib.error:
        pass  # below, what comes before the damage is kept
    else:
        return data, unpacker.eof
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    for number in range(len(packed)):
        try:
            pieces.append(unpacker.decompress(packed[number : number + 1], limit_bytes))
        except zlib.error:
            break
    return b"".join(pieces)[:limit_bytes], False


def _collect(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs as fields: a `test` belongs to the `suite` before it."""
    parts: dict[str, Any] = {}
    suites: list[dict[str, Any]] = []
    for name, value in pairs:
        if name == "suite" and isinstance(value, dict):
            suites.append({**value, "tests": []})
        elif name == "test" and suites and isinstance(value, dict):
            suites[-1]["tests"].append(value)
        elif name == "suites":
            parts["suites"] = suites if value == len(suites) else None
        else:
            parts[name] = value
    if suites and parts.get("suites") is None:
        parts.pop("suites", None)
        parts["suites, some"] = suites
    return parts


def _missing(parts: Mapping[str, Any]) -> tuple[str, ...]:
    """The work's missing fields, in the order of a capsule."""
    fields = [field.name for field in dataclasses.fields(Work) if field.name != "stage"]
    ordered = [*(name for name in _FIRST if name in fields), *(name for name in fields if name not in _FIRST)]
    return tuple(
        "suites: their end" if name == "suites" and "suites, some" in parts else name
        for name in ordered
        if name not in parts
    )


def _plan(stage: str, digest: str, parts: Mapping[str, Any]) -> Plan:
    """The whole plan, proven by its digest.

    Raises:
        UsageError: it is of another schema, or its work is not what the header's digest says.
    """
    work = {"stage": stage, **{name: value for name, value in parts.items() if _is_work(name)}}
    whole = hashlib.sha256(canonical(work).encode("utf-8", "surrogatepass")).hexdigest()
    if parts.get("schema") == SCHEMA and not whole.startswith(digest):
        raise UsageError(f"its work has digest {whole[:_SHORT]}, its header states {digest}")
    recorded = {name: value for name, value in parts.items() if name.startswith("placement.")}
    placement = {**_NOWHERE, **{name.removeprefix("placement."): value for name, value in recorded.items()}}
    return Plan.from_json(
        {
            "schema": parts.get("schema"),
            "digest": whole,
            "work": work,
            "placement": placement,
            "sources": {f"work.{name}": "the capsule" for name in work},
            "left_out": [],
            "notes": [],
            "partial": parts.get("partial", []),
            "request": parts.get("request", {}),
            "part": parts.get("part", []),
        },
        where="the capsule",
    )


def _is_work(name: str) -> bool:
    return name not in ("schema", "partial", "request", "part", "suites, some") and not name.startswith(
        "placement."
    )
