"""What a job did before its tests: checkout, container, installation, as SGLang's scripts print it."""

import itertools
import re
from typing import Final

from ci.repro.log.script import start_arguments
from ci.repro.log.text import LogLine
from ci.repro.log.values import SetUp

__all__ = ["SetUpReader"]

_SHA: Final = re.compile(r"'?([0-9a-f]{40})'?$")
_HEAD: Final = re.compile(
    r"HEAD is now at (?P<commit>[0-9a-f]{7,40})\b(?: Merge (?P<merged>[0-9a-f]{40}) into (?P<base>[0-9a-f]{40}))?"
)
_LOG_ONE: Final = re.compile(r".*\bgit\S* .*log -1 --format='?%H'?$")
_RUNNER: Final = re.compile(r"Runner name: '(?P<name>[^']+)'")
_IMAGE: Final = re.compile(
    r"(?P<how>Using custom image|Found available image|Found cached image locally|Using cached fallback image|Successfully built image"
    r"|Pulled from local docker registry|Status: Downloaded newer image for|Status: Image is up to date for):? (?P<image>\S+)"
)
_ROCM_TAG: Final = re.compile(r"-rocm(?P<rocm>\d+)-")
_ROCM: Final = re.compile(r"Using ROCm version override: rocm(?P<rocm>\d+)")
_FALLBACK: Final = re.compile(r"Using hard-coded fallback for ")
_HARD_CODED: Final = re.compile(r"(?P<image>rocm/sgl-dev:\S+)$")
_ARCH: Final = re.compile(r"Detected GPU architecture from hostname: (?P<arch>mi\w+)")
_AITER: Final = "[CI-AITER-CHECK] "
_AITER_WORDS: Final = (
    (re.compile(r"AITER version inside CI image: (?P<value>\S+)"), "image has {value}"),
    (re.compile(r"Dockerfile expects AITER_COMMIT=(?P<value>\S+)"), "Dockerfile wants {value}"),
    (re.compile(r"AITER_COMMIT_OVERRIDE=(?P<value>\S+) "), "rebuilt at {value}, which was asked for"),
    (re.compile(r"No AITER found in image"), "rebuilt: the image has none"),
    (re.compile(r"AITER version matches"), "kept: it is the wanted one"),
    (re.compile(r"Dev/patched version detected: (?P<value>\S+)"), "kept, whatever the Dockerfile wants: a development version"),
    (re.compile(r"Version mismatch: "), "rebuilt at what the Dockerfile wants"),
)  # fmt: skip
_TRITON_BEFORE: Final = re.compile(r"\s*Found existing installation: (?:pytorch-)?triton\S* (?P<version>\S+)")
_TRITON_AFTER: Final = re.compile(
    r"Successfully installed .*?\b(?:pytorch-)?triton(?:-rocm)?-(?P<version>\d\S*)"
)
_NOTES: Final = (
    re.compile(
        r"✓ VRAM is already clear.*|✓ VRAM cleanup successful.*|=== FAILED: VRAM cleanup unsuccessful .*"
    ),
    re.compile(r"ERROR: VRAM usage exceeds threshold.*"),
    re.compile(
        r"Not mounting \S+; /sgl-data will be container-local\..*|Warning: \S+ does not exist; using container-local.*"
    ),
    re.compile(
        r"Local docker registry pull failed.*|Warning: Docker Hub login failed.*|Using fallback PyPI mirror.*"
    ),
    re.compile(r"Warning: Unknown suite \S+ for backend \S+.*|No tests found for hw=.*"),
    re.compile(r"Retrying with HF_HUB_OFFLINE=1.*"),
)
_TELLING: Final = re.compile(
    r"HEAD is now|git|[0-9a-f]{40}|Runner name|image|ROCm|sgl-dev|CI-AITER|triton|VRAM|container-local|registry|Docker Hub|PyPI mirror"
    r"|Unknown suite|No tests found|HF_HUB_OFFLINE|GPU architecture|FAILED|ERROR|Status: "
)


class SetUpReader:
    """Takes the lines before tests begin."""

    def __init__(self, found: SetUp) -> None:
        """Fill in this value."""
        self._found = found
        self._sha_follows = False
        self._fallback_follows = False
        self._triton = ""
        self._aiter: list[str] = []

    @staticmethod
    def empty() -> SetUp:
        """Nothing is known yet."""
        return SetUp()

    def take_script(self, script: str, line: int) -> None:
        """The script of a step, as it is run."""
        arguments = start_arguments(script)
        if arguments is None:
            return
        given = dict(itertools.pairwise(arguments))
        flavour = given.get("--rocm-version", "").removeprefix("rocm")
        if flavour.isdecimal():
            self._found.rocm, self._found.rocm_from = flavour, f"the start script's option, line {line}"
        if image := given.get("--custom-image", ""):
            self._found.image, self._found.image_from = image, f"the start script's option, line {line}"

    def take(self, line: LogLine) -> None:
        """The next line."""
        text, found = line.text, self._found
        if self._sha_follows:
            self._sha_follows = False
            if sha := _SHA.match(text.strip()):
                found.commit = sha[1]
                return
        if _TELLING.search(text) is None:
            return
        if _LOG_ONE.match(text):
            self._sha_follows = True
        elif head := _HEAD.match(text):
            if not head["commit"].startswith(found.commit[:7] or "-"):
                found.commit = head["commit"]
            found.merged, found.base = head["merged"] or found.merged, head["base"] or found.base
        elif runner := _RUNNER.search(text):
            found.runner = runner["name"]
        elif image := _IMAGE.search(text):
            self._image(image["image"], image["how"], line.number)
        elif rocm := _ROCM.match(text):
            found.rocm, found.rocm_from = rocm["rocm"], f"line {line.number}"
        elif _FALLBACK.match(text):
            found.notes.append(f"no image of the last days was found: {text}")
            self._fallback_follows = True
        elif self._fallback_follows and (coded := _HARD_CODED.match(text)):
            self._image(coded["image"], "hard-coded fallback", line.number)
        elif arch := _ARCH.match(text):
            found.hardware = arch["arch"]
        elif text.startswith(_AITER):
            self._take_aiter(text.removeprefix(_AITER))
        elif before := _TRITON_BEFORE.match(text):
            self._triton = before["version"]
        elif after := _TRITON_AFTER.match(text):
            was = f", was {self._triton}" if self._triton else ""
            found.triton = f"{after['version']} was installed{was}"
        else:
            self._note(text.strip())

    def _image(self, image: str, how: str, number: int) -> None:
        found = self._found
        if how.startswith("Pulled from local"):
            image = image.partition("/")[2] or image
            found.notes.append("pulled from the local registry")
        found.image, found.image_from = image.rstrip("."), f"{how.lower()}, line {number}"
        tag = _ROCM_TAG.search(image)
        if tag is not None and not found.rocm:
            found.rocm, found.rocm_from = tag["rocm"], f"the image's tag, line {number}"

    def _take_aiter(self, text: str) -> None:
        for pattern, words in _AITER_WORDS:
            if found := pattern.match(text):
                self._aiter.append(words.format(**found.groupdict()))
                self._found.aiter = "; ".join(dict.fromkeys(self._aiter))
                return

    def _note(self, text: str) -> None:
        if any(pattern.fullmatch(text) for pattern in _NOTES) and text not in self._found.notes:
            self._found.notes.append(text)
