"""Which image a container run uses: names, dates and reasons. Pure; `ci.images.resolve` looks."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from packaging.version import InvalidVersion, Version

from ci.catalog.images import Flavour, ImageCatalog
from ci.catalog.toml_reader import closest
from ci.errors import UsageError

__all__ = [
    "Candidate",
    "Choice",
    "ImageRequest",
    "Reference",
    "choose",
    "flavour_of",
    "flavour_row",
    "image_request",
    "parse_reference",
    "tag_date",
    "tag_part",
]

_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_FLAVOUR = re.compile(r"rocm\d+(\.\d+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A tag that was looked at; `refused` is empty for the one that was taken.

    Tags of another flavour or family are grouped, one row for each reason: `count` is how many there
    were and `tag` one of them.
    """

    tag: str
    refused: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The tag that was taken (empty: none) with its date, and every tag that was not, with the reason."""

    tag: str
    day: date | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image's name in parts; `registry` is `docker.io` when the text names none, `tag` or `digest` may be empty.

    `image_id` is set, and all else empty, for `sha256:...` alone: an image of the local store by its id.
    """

    registry: str
    path: str
    tag: str
    digest: str
    image_id: str = ""

    @property
    def name(self) -> str:
        """As the engine writes it, without tag and digest: Docker Hub is left out."""
        if self.registry != "docker.io":
            return f"{self.registry}/{self.path}"
        return self.path.removeprefix("library/")

    @property
    def text(self) -> str:
        """The whole reference as the engine writes it."""
        if self.image_id:
            return self.image_id
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """Which image is wanted: `override` as it is, else the newest of a flavour and family.

    `flavour` and `family` are empty where only an override is possible; `registry` replaces the public one.
    """

    family: str
    flavour: str
    flavour_source: str
    today: date
    override: str = ""
    override_source: str = ""
    registry: str = ""


def parse_reference(text: str) -> Reference:
    """Split an image's name the way the engine does: a first part with a dot, a colon or `localhost` is a registry.

    Raises:
        UsageError: it is not an image reference.
    """
    if _IMAGE_ID.fullmatch(text):
        return Reference(registry="", path="", tag="", digest="", image_id=text)
    rest, _, digest = text.partition("@")
    first, slash, remainder = rest.partition("/")
    registry = "docker.io"
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first, remainder
    path, _, tag = rest.partition(":")
    wrong = [
        what
        for bad, what in (
            (not _HOST.fullmatch(registry), f"{registry!r} is not a registry"),
            (not _PATH.fullmatch(path), f"{path!r} is not a repository"),
            (":" in rest and not _TAG.fullmatch(tag), f"{tag!r} is not a tag"),
            ("@" in text and not _IMAGE_ID.fullmatch(digest), f"{digest!r} is not a sha256 digest"),
        )
        if bad
    ]
    if wrong:
        raise UsageError(
            f"{text!r} is not an image reference: {'; '.join(wrong)}",
            cause="it is [REGISTRY/]NAME[:TAG][@sha256:DIGEST], or sha256:ID of an image in the local store",
            then="./inv image.resolve",
        )
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = "docker.io"
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return Reference(registry=registry, path=path, tag=tag or ("" if digest else "latest"), digest=digest)


def image_request(
    images: ImageCatalog,
    *,
    family: str,
    today: date,
    environ: Mapping[str, str],
    image: str = "",
    rocm: str = "",
    suite_rocm: str = "",
    flavour: str = "",
) -> ImageRequest:
    """What is wanted, from the options, the suite's row, the environment and the catalog's defaults, in this order.

    `image` is `--image`, `rocm` is `--rocm`, `suite_rocm` what the suite's row says (empty: nothing). The variable of the
    ROCm version has the place of `--rocm`, above the row.

    Raises:
        UsageError: the flavour is unknown, or nothing selects an image.
    """
    override, override_source = image, "--image" if image else ""
    if not override:
        for row in images.overrides:
            if environ.get(row.variable) and (not row.families or family in row.families):
                override, override_source = environ[row.variable], row.variable
                break
    versions = (
        (rocm, "--rocm"),
        (environ.get(images.rocm_variable, ""), images.rocm_variable),
        (suite_rocm, "the suite's row"),
    )
    chosen, flavour_source = flavour_of(images, versions, flavour=flavour)
    if not override and not family:
        raise UsageError(
            "no image is published for a machine without an AMD GPU",
            cause="SGLang's images are made for mi30x and mi35x",
            then="./inv image.build --rehearsal, then add: --image sglang-amd-ci/rehearsal:latest; "
            "a real stage's plan: --hardware mi300x --dry-run",
        )
    return ImageRequest(
        family=family,
        flavour=chosen.id,
        flavour_source=flavour_source,
        today=today,
        override=override,
        override_source=override_source,
        registry=environ.get(images.registry_variable, ""),
    )


def flavour_of(
    images: ImageCatalog, versions: Iterable[tuple[str, str]], *, flavour: str = ""
) -> tuple[Flavour, str]:
    """The row of the flavour, and where it comes from; `versions` are ROCm versions with their sources, empty ones not given.

    Raises:
        UsageError: the flavour is unknown.
    """
    if flavour:
        if flavour in images.flavours:
            return images.flavours[flavour], "--flavour"
        cause = closest(flavour, images.flavours)
        raise UsageError(f"unknown flavour {flavour!r}", cause=cause, then=_remedy(flavour))
    for wanted, source in versions:
        if wanted:
            row = next((row for row in images.flavours.values() if wanted in (row.rocm, row.id)), None)
            if row is None:
                known = [row.rocm for row in images.flavours.values()]
                what = f"{source} has ROCm {wanted}, which has no flavour"
                remedy = _remedy(f"rocm{wanted.removeprefix('rocm')}")
                raise UsageError(what, cause=closest(wanted, known), then=remedy)
            return row, source
    row = images.default_flavour
    return row, f"default: {row.source}"


def flavour_row(flavour: str) -> str:
    """The rows that a flavour needs."""
    return (
        f'[[flavour]] id = "{flavour}", rocm = "{flavour.removeprefix("rocm")}", look_back_days = 7, '
        f'stale_after_days = 3, python = "python3" and a [[target]] for each family in ci/catalog/images.toml, '
        f'[[flavour]] id = "{flavour}" in ci/catalog/dependencies.toml'
    )


def _remedy(flavour: str) -> str:
    """What to do about an unknown flavour: a row for one that images can have."""
    return f"add {flavour_row(flavour)}" if _FLAVOUR.fullmatch(flavour) else "see ci/catalog/images.toml"


def tag_date(images: ImageCatalog, tag: str) -> date | None:
    """The date that an official tag bears, None for any other tag."""
    match = re.fullmatch(images.tag, tag)
    return _day(match["date"]) if match is not None else None


def tag_part(images: ImageCatalog, tag: str, part: str) -> str:
    """One group of an official tag (version, flavour, family or date), empty for any other tag."""
    match = re.fullmatch(images.tag, tag)
    return match[part] if match is not None else ""


def _day(text: str) -> date | None:
    """`20260529` as a date, None when the calendar has no such day."""
    try:
        # strptime alone would also take fewer digits
        return datetime.strptime(text, "%Y%m%d").date() if len(text) == len("20260529") else None  # noqa: DTZ007  # a date has no zone
    except ValueError:
        return None


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def choose(tags: Iterable[str], images: ImageCatalog, request: ImageRequest) -> Choice:
    """The tag of the newest day within the look-back, of these the highest version by PEP 440.

    Every tag of the wanted flavour and family is a candidate with its reason; the others are counted by reason.
    """
    pattern = re.compile(images.tag)
    look_back_days = images.flavours[request.flavour].look_back_days
    fitting: list[tuple[date, Version, str]] = []
    refused: dict[str, str] = {}
    counts: dict[str, tuple[int, str]] = {}
    for tag in dict.fromkeys(tags):
        match = pattern.fullmatch(tag)
        if match is None:
            _count(counts, _kind_of(images, tag), tag)
        elif match["flavour"] not in images.flavours:
            _count(
                counts, f"of {match['flavour']}, which has no row: add {flavour_row(match['flavour'])}", tag
            )
        elif match["flavour"] != request.flavour or match["family"] != request.family:
            _count(counts, f"made for {match['flavour']} on {match['family']}", tag)
        elif (day := _day(match["date"])) is None:
            refused[tag] = f"{match['date']} is not a date"
        elif day > request.today:
            refused[tag] = f"its day, {day}, is after {request.today}"
        elif (request.today - day).days >= look_back_days:
            refused[tag] = f"{(request.today - day).days} days old, the look-back is {look_back_days} days"
        elif (version := _version(match["version"])) is None:
            refused[tag] = f"{match['version']} is not a version by PEP 440"
        else:
            fitting.append((day, version, tag))
    fitting.sort(reverse=True)
    taken = fitting[0] if fitting else None
    candidates: list[Candidate] = []
    for day, version, tag in fitting:
        if taken is None or tag == taken[2]:
            reason = ""
        elif day < taken[0]:
            reason = f"older than {taken[2]}"
        else:
            reason = f"of the same day, and {version} is not above {taken[1]}"
        candidates.append(Candidate(tag=tag, refused=reason))
    candidates += [Candidate(tag=tag, refused=refused[tag]) for tag in sorted(refused, reverse=True)]
    candidates += [
        Candidate(tag=tag, refused=reason, count=count) for reason, (count, tag) in sorted(counts.items())
    ]
    return Choice(
        tag=taken[2] if taken else "", day=taken[0] if taken else None, candidates=tuple(candidates)
    )


def _kind_of(images: ImageCatalog, tag: str) -> str:
    """What a tag is that is not an official one."""
    row = next((row for row in images.unofficial if re.search(row.pattern, tag)), None)
    return row.title if row is not None else "not an official version tag"


def _count(counts: dict[str, tuple[int, str]], reason: str, tag: str) -> None:
    """One more tag for a reason; the highest name represents them."""
    count, example = counts.get(reason, (0, ""))
    counts[reason] = (count + 1, max(example, tag))
