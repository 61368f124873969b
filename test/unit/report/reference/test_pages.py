"""The reference pages: everything that there is, in words."""

import functools
import re

from ci.catalog.stages import Suite
from ci.cli.docs import _PARSERS, _sessions, _verbs
from ci.cli.main import _COMMANDS
from ci.errors import EXIT_ROWS
from ci.report.reference.pages import CommandHelp, render_pages
from support.catalog_files import catalog

COMMANDS = [
    CommandHelp(name="nox -s x --", text="Does x.", options=[("--plan FILE|RUN", "a plan, or\na run")])
]


def page(name: str) -> str:
    """One of the pages of the fixture catalog."""
    return pages()[f"docs/{name}.md"]


@functools.cache
def pages() -> dict[str, str]:
    return render_pages(catalog(), COMMANDS, [])


def test_every_exit_code_has_a_row_and_all_but_success_a_first_step() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.*) \|$", page("exit-codes"), flags=re.MULTILINE)
    assert [int(code) for code, _, _ in rows] == sorted(EXIT_ROWS)
    assert [code for code, meaning, step in rows if not (meaning and step.strip())] == ["0"]


def test_a_bar_or_a_line_break_in_a_cell_keeps_the_table_whole() -> None:
    assert "| `--plan FILE\\|RUN` | a plan, or a run |" in page("reference/options")


def test_every_key_of_a_row_says_what_it_takes_and_whether_it_is_needed() -> None:
    _, _, text = page("reference/rows").partition("### `[[suite]]` of stages.toml")
    table, _, _ = text.partition("\n### ")
    assert "| `shards` | whole number, at least 1 | required |" in table
    assert "| `attempts` | whole number, at least 1 | `1` |" in table
    assert "| `timeout_min` |" in table
    assert "timeout_s |" not in table
    assert (Suite.__doc__ or "").splitlines()[0] in table


def test_every_file_and_every_suite_is_there() -> None:
    assert set(re.findall(r"^## (\S+)$", page("reference/rows"), flags=re.MULTILINE)) == set(
        catalog().reader.kinds
    )
    stages = page("reference/stages")
    assert [suite.name for suite in catalog().suites if f"`{suite.name}`" not in stages] == []


def test_every_type_of_event_and_both_parts_of_a_plan_are_there() -> None:
    record = page("reference/record")
    assert {"### run-started", "### test-ended", "### Work", "### Placement"} <= set(record.splitlines())


def test_every_command_shows_its_options() -> None:
    """`run` is every stage, `repro` a verb, and the parts of a Slurm run are started by it."""
    started = {name for name in _COMMANDS if name.startswith("slurm_")}
    assert set(_COMMANDS) - {"run", "repro"} - started == set(_PARSERS)
    shown = {command.name: dict(command.options) for command in _sessions()}
    assert all(text for command in shown.values() for text in command.values())
    assert "--check" in shown["nox -s docs --"]
    assert "--shard I/N" in shown["nox -s STAGE --"]
    assert "nox -s lint" in shown


def test_every_verb_shows_what_it_must_be_given_and_its_options() -> None:
    shown = {command.name: [name for name, _ in command.options] for command in _verbs()}
    assert shown["./inv repro"][:3] == ["SOURCE", "--run", "--failed"]
    assert shown["./inv runs.sweep"] == []
    assert len(shown) > 15
