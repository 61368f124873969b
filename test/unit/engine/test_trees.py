"""What a checkout wants is read from its own files, and problems are said with file and line."""

import re
from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.engine.trees import tree_wants
from ci.errors import UsageError

SCRIPTS = '[project.scripts]\nsglang = "sglang.cli.main:main"\n'


def tree(folder: Path, text: str, name: str = "pyproject_cpu.toml") -> Path:
    (folder / "python").mkdir(exist_ok=True)
    (folder / "python" / name).write_text(text)
    return folder


def test_the_file_for_cpus_is_read_first(tmp_path: Path, catalog: Catalog) -> None:
    tree(tmp_path, '[project]\ndependencies = ["transformers==1.0"]\n' + SCRIPTS, "pyproject.toml")
    text = '[project]\ndependencies = [\n  "aiohttp",\n  "transformers[torch]==5.8.1",\n]\n' + SCRIPTS
    wants = tree_wants(tree(tmp_path, text), catalog.sglang)
    assert (wants.transformers, wants.requirements) == ("5.8.1", ("transformers==5.8.1",))
    assert wants.scripts == {"sglang": "sglang.cli.main:main"}
    assert wants.where == "python/pyproject_cpu.toml:4"


def test_a_file_for_several_devices_has_them_in_an_extra(tmp_path: Path, catalog: Catalog) -> None:
    text = (
        "[project]\ndependencies = []\n[project.optional-dependencies]\n"
        'common = ["transformers==4.0; sys_platform == \'win32\'", "transformers==5.1.0"]\n' + SCRIPTS
    )
    wants = tree_wants(tree(tmp_path, text, "pyproject_other.toml"), catalog.sglang)
    assert wants.transformers == "5.1.0"


def test_a_range_is_no_version(tmp_path: Path, catalog: Catalog) -> None:
    text = '[project]\ndependencies = ["transformers>=5.3,<6"]\n' + SCRIPTS
    wants = tree_wants(tree(tmp_path, text), catalog.sglang)
    assert (wants.transformers, wants.requirements) == ("", ("transformers<6,>=5.3",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[project]\ndependencies = [\n  "transformers=>5",\n]\n' + SCRIPTS,
            "pyproject_cpu.toml:3: .*'transformers=>5'",
        ),
        ("[project\n", r"pyproject_cpu.toml:1.*TOML"),
        ('[project]\ndependencies = ["torch"]\n' + SCRIPTS, "does not name transformers"),
        ('[project]\ndependencies = ["transformers==5"]\n', "scripts"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, catalog: Catalog, text: str, said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        tree_wants(tree(tmp_path, text), catalog.sglang)
    assert re.search(said, raised.value.render())


def test_a_checkout_that_cannot_do_without_an_argument_gets_it(tmp_path: Path, catalog: Catalog) -> None:
    text = '[project]\ndependencies = ["transformers==5.8.1"]\n' + SCRIPTS
    wanted = ("--grammar-backend", "simple")
    assert tree_wants(tree(tmp_path, text), catalog.sglang).arguments == wanted
    (tmp_path / "python" / "sglang").mkdir()
    (tmp_path / "python" / "sglang" / "backend.py").write_text("on_cpu = True\n")
    assert tree_wants(tmp_path, catalog.sglang).arguments == ()


def test_a_folder_that_is_no_checkout(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="not an SGLang checkout"):
        tree_wants(tmp_path, catalog.sglang)
