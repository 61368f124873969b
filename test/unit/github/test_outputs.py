"""What later jobs get: outputs and the page of a run."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import InfrastructureError
from ci.github.outputs import add_summary, set_outputs


@given(
    st.dictionaries(
        st.sampled_from(["wave_1", "x"]), st.text(st.characters(blacklist_categories=["Cs"])), max_size=2
    )
)
def test_outputs_survive_any_text(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "outputs-of-a-test"
    path.unlink(missing_ok=True)
    set_outputs({"GITHUB_OUTPUT": str(path)}, values)
    text = path.read_bytes().decode() if path.exists() else ""
    path.unlink(missing_ok=True)
    found = {}
    while text:
        name, mark, rest = re.fullmatch(r"(\w+)<<(end-[0-9a-f]{32})\n(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        found[name], _, text = rest.partition(f"\n{mark}\n")
    assert found == values


def test_outside_actions_nothing_is_written_and_a_lost_file_is_an_error(tmp_path: Path) -> None:
    set_outputs({}, {"a": "b"})
    add_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}, "one\n")
    add_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}, "two\n")
    assert (tmp_path / "s.md").read_text() == "one\ntwo\n"
    with pytest.raises(InfrastructureError, match="gone/out") as caught:
        set_outputs({"GITHUB_OUTPUT": str(tmp_path / "gone/out")}, {"a": "b"})
    assert "GITHUB_OUTPUT" in caught.value.render()
