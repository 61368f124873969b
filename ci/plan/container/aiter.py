"""Whether the image's AITER is the one that the checkout pins: a table, first match wins.

SGLang's own rule compares version strings, so that an image's `0.1.6.dev3+g46e6c92b3` is kept whatever commit the checkout
pins. Here commits are compared with commits. See docs/decisions/0012-aiter-by-commit.md.
"""

import re
from dataclasses import dataclass

from ci.errors import UsageError

__all__ = ["AiterDecision", "AiterFact", "decide", "valid_reference"]

# git abbreviates to 7 digits and more
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_RELEASE = re.compile(r"v?\d+(\.\d+)+((a|b|rc)\d+)?(\.?post\d+)?")
_COMMIT_IN_VERSION = re.compile(r"[+.]g([0-9a-f]{7,40})(?![0-9a-z])")
_DIRTY_IN_VERSION = re.compile(r"[+.]d\d{8}(?!\d)|[+.]dirty\b")
_REFERENCE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class AiterFact:
    """The image's AITER: its version (empty: not installed), and what its own records say about its commit.

    `head` is the commit of its repository's folder, `installed` the one that the installer noted; empty when there is none.
    `modified` is true when the folder differs from its commit.
    """

    version: str
    head: str
    installed: str
    modified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AiterDecision:
    """What to do, at which commit or tag, by which row of the table, and why in one sentence."""

    rebuild: bool
    commit: str
    rule: str
    because: str

    @property
    def text(self) -> str:
        """The decision as a line."""
        what = f"rebuild at {self.commit}" if self.rebuild else "keep"
        return f"{what} ({self.rule}): {self.because}"


def valid_reference(value: str, *, where: str) -> str:
    """A commit, tag or branch that git takes for nothing else.

    Raises:
        UsageError: it could be an option, or is not a name.
    """
    if not _REFERENCE.fullmatch(value) or ".." in value:
        raise UsageError(
            f"{where} is {value!r}, not a commit, tag or branch",
            cause="it must begin with a letter or digit and contain only letters, digits and . _ / -",
            then=f"{where}=46e6c92b3e",
        )
    return value


def decide(*, pin: str, override: str, image: AiterFact) -> AiterDecision:
    """Keep the image's AITER or build another; total over its arguments.

    Args:
        pin: what the checkout's Dockerfile names for the stage that built the image: a commit, else a tag.
        override: a commit or tag to build whatever the image has; empty for none.
        image: what the image has.
    """
    if override:
        return _rebuild(override, "override", f"requested: {override}")
    if not image.version:
        return _rebuild(pin, "missing", "the container has no AITER")
    if _COMMIT.fullmatch(pin.lower()):
        return _by_commit(pin, image)
    return _by_release(pin, image)


def _by_commit(pin: str, image: AiterFact) -> AiterDecision:
    wanted = pin.lower()
    noted = _COMMIT_IN_VERSION.search(image.version)
    known = {
        "its version": noted.group(1) if noted else "",
        "its installer": image.installed.lower(),
        "its repository": image.head.lower(),
    }
    others = {where: commit for where, commit in known.items() if commit and not _same(commit, wanted)}
    if others:
        where, commit = next(iter(others.items()))
        rule = "patched-other-commit" if _modified(image) else "other-commit"
        lost = "; its local changes are lost" if _modified(image) else ""
        return _rebuild(
            pin, rule, f"the container has {commit[:12]} by {where}, the pin is {wanted[:12]}{lost}"
        )
    if not any(known.values()):
        what = f"nothing says which commit the container's {image.version} is, the pin is {wanted[:12]}"
        return _rebuild(pin, "unknown-commit", what)
    if _modified(image):
        what = f"the container has the pin {wanted[:12]} with local changes, which its build made"
        return _keep(pin, "patched", what)
    return _keep(pin, "same-commit", f"the container has the pin {wanted[:12]} ({image.version})")


def _by_release(pin: str, image: AiterFact) -> AiterDecision:
    public, _, local = image.version.partition("+")
    if not _RELEASE.fullmatch(pin) or public.removeprefix("v") != pin.removeprefix("v"):
        return _rebuild(pin, "other-version", f"the container has {image.version}, the pin is {pin}")
    if _COMMIT_IN_VERSION.search("+" + local):
        return _rebuild(pin, "other-version", f"the container has a commit after {pin}: {image.version}")
    if _modified(image):
        return _keep(
            pin, "patched", f"the container has the pin {pin} with local changes, which its build made"
        )
    return _keep(pin, "equal", f"the container has the pin {pin}")


def _modified(image: AiterFact) -> bool:
    return image.modified or _DIRTY_IN_VERSION.search(image.version) is not None


def _same(one: str, other: str) -> bool:
    """Whether two commits, either of them perhaps abbreviated, can be the same."""
    return one.startswith(other) or other.startswith(one)


def _rebuild(commit: str, rule: str, because: str) -> AiterDecision:
    return AiterDecision(rebuild=True, commit=commit, rule=rule, because=because)


def _keep(commit: str, rule: str, because: str) -> AiterDecision:
    return AiterDecision(rebuild=False, commit=commit, rule=rule, because=because)
