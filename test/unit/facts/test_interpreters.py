"""Which interpreter has an engine: each is asked by a program, and the engine is never imported."""

from pathlib import Path

import pytest

from ci.catalog.catalog import Catalog
from ci.errors import InfrastructureError, UsageError
from ci.facts.interpreters import find_engine
from ci.plan.facts import EngineFact

pytestmark = pytest.mark.processes

GOOD = '{"found": true, "version": "0.5.12", "python": "3.10.12", "pytest": true, "ok": true}'
WITHOUT = GOOD.replace('"found": true', '"found": false')
OLD = '{"found": false, "version": "", "python": "3.8.10", "pytest": true, "ok": false}'


def python(folder: Path, answer: str, *, code: int = 0) -> Path:
    """A program in the place of an interpreter; it notes what it was asked."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python3"
    path.write_text(
        f"#!/bin/sh\necho \"$3 $PWD\" >> {folder}/asked\necho noise\necho '{answer}'\nexit {code}\n"
    )
    path.chmod(0o755)
    return path


def find(catalog: Catalog, *, given: str = "", ours: bool = False, path: str = "") -> EngineFact | None:
    return find_engine(catalog.engines["sglang"], given=given, ours=ours, environ={"PATH": path})


def test_the_one_that_is_given_is_taken(catalog: Catalog, tmp_path: Path) -> None:
    given = python(tmp_path, GOOD)
    found = find(catalog, given=str(given), path="/nowhere")
    assert found is not None
    assert (found.python, found.python_version, found.engine_version) == (str(given), "3.10.12", "0.5.12")
    assert found.source == f"--python ({given})"
    assert (tmp_path / "asked").read_text() == f"{catalog.engines['sglang'].package} /\n"


@pytest.mark.parametrize(
    ("answer", "code", "error", "says"),
    [
        (GOOD, 3, UsageError, "it is not a Python: exit 3"),
        ("hello", 0, UsageError, "it is not a Python"),
        ("[]", 0, UsageError, "it is not a Python"),
        (OLD, 0, InfrastructureError, "it is Python 3.8.10, 3.10 or newer is needed"),
        (WITHOUT, 0, InfrastructureError, "it has no package"),
        (GOOD.replace('"pytest": true', '"pytest": false'), 0, InfrastructureError, "but not pytest"),
    ],
)
def test_one_that_is_given_and_cannot_run_the_tests_is_refused(
    catalog: Catalog, tmp_path: Path, answer: str, code: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        find(catalog, given=str(python(tmp_path, answer, code=code)))


def test_one_that_is_given_and_does_not_exist_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        find(catalog, given=str(tmp_path / "none"))


def test_of_those_on_the_path_the_first_that_has_the_engine_is_taken(
    catalog: Catalog, tmp_path: Path
) -> None:
    python(tmp_path / "a", WITHOUT)
    python(tmp_path / "b", "broken", code=1)
    wanted = python(tmp_path / "c", GOOD)
    python(tmp_path / "d", GOOD)
    path = ":".join(["", str(tmp_path / "none"), *(str(tmp_path / name) for name in "abcd")])
    found = find(catalog, path=path)
    assert found is not None
    assert found.python == str(wanted)
    assert "first python3 on the PATH" in found.source
    assert not (tmp_path / "d/asked").exists()


def test_none_on_the_path_has_it(catalog: Catalog, tmp_path: Path) -> None:
    python(tmp_path, WITHOUT)
    assert find(catalog, path=str(tmp_path)) is None
    assert find(catalog) is None


def test_in_a_rehearsal_only_our_own_is_asked(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python(tmp_path / "path", GOOD)
    for answer, taken in ((GOOD, True), (WITHOUT, False)):
        monkeypatch.setattr("sys.executable", str(python(tmp_path / "ours", answer)))
        found = find(catalog, ours=True, path=str(tmp_path / "path"))
        assert (found is not None) is taken
        if found is not None:
            assert found.python == str(tmp_path / "ours/python3")
