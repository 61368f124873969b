"""The rows of dependencies.toml and guards.toml: every bad one is reported."""

import pytest

from support.catalog_files import CatalogCopy


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("dependencies.toml", '"{python}", "setup_rocm.py"', '"{pyhton}", "setup_rocm.py"', "unknown placeholder {pyhton} (did you mean"),
        ("dependencies.toml", 'id = "last"', 'id = "engine"', "'engine' appears twice"),
        ("dependencies.toml", 'again_after = ["remove-old"]', 'again_after = ["last"]', "unknown earlier step 'last'"),
        ("dependencies.toml", 'needs_pin = "eval"', 'needs_pin = "evall"', "unknown pin 'evall'"),
        ("dependencies.toml", 'flavours = ["rocm724"]', 'flavours = ["rocm742"]', "unknown flavour 'rocm742'"),
        ("dependencies.toml", 'commands = [["ldconfig"]]', 'commands = "ldconfig"', "is 'ldconfig', not a list (e.g. commands = [["),
        ("dependencies.toml", 'commands = [["ldconfig"]]', "commands = [[]]", "commands[0]: is empty"),
        ("dependencies.toml", 'commands = [["ldconfig"]]', 'commands = [["sh", "{install}"]]', "not the first word"),
        ("dependencies.toml", "optional = true", "optional = true\nproduct = true", "cannot be combined with product"),
        ("dependencies.toml", "timeout_s = 20", "timeout_s = 0", "must be above 0"),
        ("dependencies.toml", 'family = "mi35x"', 'family = "mi36x"', "no row for family 'mi35x'"),
        ("dependencies.toml", 'program = "uv"', 'progam = "uv"', "unknown key"),
        ("dependencies.toml", '"-m", "pip", "install"]', '"-m", "{pip}", "install"]', "unknown placeholder {pip}"),
        ("dependencies.toml", 'env = { MORI_GPU_ARCHS = "{gfx}" }', "env = { MORI_GPU_ARCHS = 1 }", "env.MORI_GPU_ARCHS: is 1, not a string"),
        ("guards.toml", 'distribution = "torch"', 'distribution = "Torch"', "invalid value 'Torch' (a normalised name"),
        ("guards.toml", 'required_in = ["rocm700"', 'required_in = ["rocm7"', "unknown flavour 'rocm7'"),
        ("guards.toml", 'cwd = "/sgl-workspace"', 'cwd = "sgl-workspace"', "(an absolute path"),
        ("guards.toml", 'name = "torch.version"', 'name = "torch version"', "(a dotted name"),
    ],
)  # fmt: skip
def test_a_bad_row_is_reported(
    *, catalog_copy: CatalogCopy, file: str, old: str, new: str, says: str
) -> None:
    catalog_copy.replace(f"catalog/{file}", old, new)
    problems = catalog_copy.problems()
    assert any(says in problem and file in problem for problem in problems), problems


def test_a_list_of_installers_ends_with_one_that_is_always_there(catalog_copy: CatalogCopy) -> None:
    old = '[[installer]]\nid = "pip"'
    catalog_copy.replace("catalog/dependencies.toml", old, f'{old}\nprogram = "pip"')
    assert any("the last row has a program" in problem for problem in catalog_copy.problems())
