"""Layers without pins here: resolved once within the base, and every refusal explained."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.engine.resolve import Resolver
from ci.engine.trees import TreeWants
from ci.errors import InfrastructureError, UsageError
from ci.system.process import Completed
from support.engine_makers import write_pins

METADATA = """\
Metadata-Version: 2.1
Name: sglang
Version: 1.3.0
Requires-Dist: torch==9.0
Requires-Dist: transformers==5.2.0
Requires-Dist: transformers==1.0; extra == "old"
"""


SCRIPTS = {"sglang": "sglang.cli.main:main"}


def wanting(transformers: str, *requirements: str) -> TreeWants:
    return TreeWants(
        transformers=transformers, requirements=requirements, scripts=SCRIPTS, arguments=(), where="p:3"
    )


@dataclass
class Index:
    """An index with three releases, asked by uv; `fails` with this text instead."""

    releases: Sequence[str] = ("1.1.0", "1.3.0", "1.6.0")
    fails: str = ""
    commands: list[list[str]] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str], *, timeout_s: float, cwd: Path, env: Mapping[str, str]
    ) -> Completed:
        assert timeout_s > 0
        assert (cwd / "pyproject.toml").is_file()
        assert env == {"HTTPS_PROXY": "proxy"}
        self.commands.append(list(argv))
        if self.fails:
            return self.ended(argv, self.fails)
        return (self.install if argv[2] == "install" else self.compile)(argv)

    def install(self, argv: Sequence[str]) -> Completed:
        version = argv[-1].partition("==")[2]
        if version not in self.releases:
            return self.ended(
                argv, f"error: No solution\n  cause: Because there is no version of {argv[-1]} ..."
            )
        folder = Path(argv[argv.index("--target") + 1]) / "sglang-1.3.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(METADATA)
        return self.ended(argv)

    def compile(self, argv: Sequence[str]) -> Completed:
        output = Path(argv[argv.index("--output-file") + 1])
        self.wanted = Path(argv[-1]).read_text().splitlines()
        lines = []
        for line in self.wanted:
            name, sign, version = re.fullmatch(r"([\w-]+)([<>=]+)(.*)", line).groups()  # type: ignore[union-attr]
            fits: Mapping[str, Callable[[str], bool]] = {"<": version.__gt__, ">": version.__lt__}
            found = [each for each in self.releases if sign != "==" and fits[sign](each)]
            if sign != "==" and not found:
                return self.ended(argv, "error: No solution found")
            order = min if "lowest" in argv else max
            lines.append(f"{name}=={version if sign == '==' else order(found)} \\\n    --hash=sha256:0\n")
        kept = output.read_text() if output.exists() else ""
        output.write_text("".join([*lines, *([kept] if "transformers" not in self.wanted[-1] else [])]))
        return self.ended(argv)

    def ended(self, argv: Sequence[str], error: str = "") -> Completed:
        return Completed(argv=tuple(argv), code=1 if error else 0, stdout=b"", stderr=error.encode())


@pytest.fixture
def make(tmp_path: Path, catalog: Catalog) -> Callable[[Index], Resolver]:
    requirements = write_pins(tmp_path / "requirements")

    def made(index: Index) -> Resolver:
        return Resolver(
            rows=catalog.sglang,
            cache=tmp_path / "cache",
            uv="uv",
            environ={"HTTPS_PROXY": "proxy"},
            capture=index,
            requirements=requirements,
        )

    return made


def test_a_release_with_a_row_asks_no_index(make: Callable[[Index], Resolver]) -> None:
    layer = make(index := Index()).release("1.2.0")
    assert layer.pinned_here
    assert not index.commands


def test_another_release_brings_what_it_wants_differently_and_is_resolved_once(
    make: Callable[[Index], Resolver], tmp_path: Path
) -> None:
    layer = make(index := Index()).release("1.3.0")
    assert (layer.name, layer.pinned_here) == ("sglang-1.3.0", False)
    # its torch is the base's, and what an extra wants is not installed
    assert index.wanted == ["sglang==1.3.0", "transformers==5.2.0"]
    assert re.findall(r"^\S+==\S+", layer.pins, re.MULTILINE) == ["sglang==1.3.0", "transformers==5.2.0"]
    assert "--hash=" in layer.pins
    assert make(again := Index(fails="error: dns error")).release("1.3.0") == layer
    assert not again.commands
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["engine-pins"]


def test_a_version_that_does_not_exist_is_answered_with_its_neighbours(
    make: Callable[[Index], Resolver],
) -> None:
    with pytest.raises(UsageError, match=r"no release 1\.4\.0") as raised:
        make(Index()).release("1.4.0")
    assert raised.value.cause == "the nearest: 1.3.0, 1.6.0; pinned here: 1.2.0"
    assert raised.value.then.endswith("--sglang 1.2.0")


def test_what_is_no_version_asks_no_index(make: Callable[[Index], Resolver]) -> None:
    with pytest.raises(UsageError, match="newest"):
        make(index := Index()).release("newest")
    assert not index.commands


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        ("error: Failed to fetch\n  cause: dns error\n", "the package index was not reached"),
        ("error: Failed\n  cause: No space left on device (os error 28)\n", "the disk is full"),
        ("error: No solution\n  cause: no wheels with a matching platform tag\n", "glibc 2.34"),
        ("error: something new\n", "not known"),
    ],
)
def test_what_is_not_the_versions_fault_is_the_infrastructures(
    make: Callable[[Index], Resolver], printed: str, cause: str
) -> None:
    with pytest.raises(InfrastructureError) as raised:
        make(Index(fails=printed)).release("1.3.0")
    assert cause in raised.value.cause
    assert raised.value.then


def test_a_checkout_gets_a_layer_without_sglang(make: Callable[[Index], Resolver]) -> None:
    wants = wanting("5.2.0", "transformers==5.2.0")
    layer = make(index := Index()).checkout(wants)
    assert (layer.name, layer.pinned_here, layer.scripts) == ("sglang-tree-5.2.0", False, SCRIPTS)
    assert index.wanted == ["transformers==5.2.0"]
    assert make(Index()).checkout(wanting("5.1.0")).pinned_here


def test_requirements_that_exclude_each_other_are_named(make: Callable[[Index], Resolver]) -> None:
    wants = wanting("", "transformers>9", "transformers<1")
    with pytest.raises(UsageError, match="p:3"):
        make(Index(fails="error: No solution found\n  cause: x\n")).checkout(wants)
