"""The JSON Schemas: they take what we write and read, and refuse what our readers refuse."""

import base64
import copy
import dataclasses
import hashlib
import json
import tomllib
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ci.plan.compare import capsule
from ci.plan.model import Plan
from ci.record.event_json import event_from
from ci.report.reference.schemas import FOLDER, render_schemas
from ci.system.codec import DecodeError, canonical, decode
from support.catalog_files import CATALOG_DIR, ENVS_DIR, CatalogCopy, catalog
from support.planning import STAGE_B_SMALL, bound, facts, mi300x, planned, registration, request
from support.records import EVENTS

REPOSITORY = Path(__file__).parents[4]
LIVE = sorted((*REPOSITORY.glob("ci/catalog/*.toml"), *REPOSITORY.glob("envs/*.toml")))
EVENT_LINES = [
    line
    for file in sorted(EVENTS.glob("*.jsonl"))
    for line in file.read_text().splitlines()
    if line.endswith("}")  # one record ends in the middle of a line
]


@cache
def schemas() -> dict[str, str]:
    """Those of the fixture catalog's readers, which are the readers of every catalog."""
    return render_schemas(catalog().reader.kinds)


@cache
def schema(name: str) -> Any:
    """One of them."""
    return json.loads(schemas()[f"{FOLDER}/{name}.json"])


@cache
def validator(name: str) -> Draft202012Validator:
    """What checks by one of them."""
    Draft202012Validator.check_schema(schema(name))
    return Draft202012Validator(schema(name))


def fits(name: str, value: object) -> bool:
    """Whether a value of JSON fits a schema."""
    return bool(validator(name).is_valid(value))


def fits_capsule(value: list[Any]) -> bool:
    """Whether pairs fit the schema of a capsule; each of them is looked at once."""
    whole = validator("capsule")
    rest = whole.evolve(schema={key: part for key, part in schema("capsule").items() if key != "items"})
    return bool(rest.is_valid(value)) and all(pair_fits(json.dumps(pair)) for pair in value)


@cache
def pair_fits(text: str) -> bool:
    one = validator("capsule").evolve(schema=schema("capsule")["items"])
    return bool(one.is_valid(json.loads(text)))


def as_json(path: Path) -> Any:
    """A TOML file as JSON has it: dates are strings."""
    return json.loads(json.dumps(tomllib.loads(path.read_text()), default=str))


def accepts(read: Callable[[], object]) -> bool:
    """Whether our reader takes a value."""
    try:
        read()
    except DecodeError:
        return False
    return True


@cache
def plan() -> Any:
    """A plan of two tests as JSON."""
    rows = [registration(f"test/registered/x/test_{name}.py", STAGE_B_SMALL) for name in "ab"]
    asked = request("stage-b-amd", suites=("1-gpu-small",), env=(("SGLANG_X", "1"),))
    floor = bound(">", 1, test=rows[0].file)
    made = planned(dataclasses.replace(catalog(), bounds=(floor,)), mi300x(rows), asked)
    return made.to_json()


@cache
def pairs() -> list[Any]:
    """What the capsule of that plan holds."""
    line = capsule.encode(Plan.from_json(plan(), where="plan"))
    return [list(pair) for pair in capsule._unpack(line.rsplit(" ", 1)[1], 1 << 20)]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key of every object in a value."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        if isinstance(value, dict):
            yield (*path, key)
        yield from places(child, (*path, key))


def retyped(value: object) -> object:
    """A value of another type, that fits no field which takes the first."""
    return 2.5 if isinstance(value, dict) else {"?": [[]]}


def changed(value: Any, path: tuple[str | int, ...], how: str) -> Any:
    """A copy in which the key at `path` is dropped, renamed or has a value of another type."""
    made = copy.deepcopy(value)
    around = made
    for key in path[:-1]:
        around = around[key]
    if how == "retype":
        around[path[-1]] = retyped(around[path[-1]])
    else:
        kept = around.pop(path[-1])
        if how == "rename":
            around[f"{path[-1]}_x"] = kept
    return made


CHANGES = ("drop", "rename", "retype")


@pytest.mark.live_rows
@pytest.mark.parametrize("path", LIVE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_row_fits_the_schema_that_its_file_names_for_editors(path: Path) -> None:
    first, _, _ = path.read_text().partition("\n")
    assert first.startswith("#:schema ")
    named = (path.parent / first.removeprefix("#:schema ")).resolve()
    assert named.is_relative_to(REPOSITORY / FOLDER)
    assert path.parent.name == "envs" or named.stem == path.stem
    errors = Draft202012Validator(json.loads(named.read_text())).iter_errors(as_json(path))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("path", sorted(CATALOG_DIR.glob("*.toml")), ids=lambda path: path.name)
def test_a_row_with_a_wrong_key_is_refused_by_schema_and_reader_alike(path: Path) -> None:
    data, kinds = as_json(path), catalog().reader.kinds[path.name]
    name = f"catalog/{path.stem}"
    assert fits(name, data)
    for array, rows in data.items():
        column = schema(name)["properties"][array]["items"]
        examples = {key: row for row in rows for key in row}  # one row for each key
        for key, row in examples.items():
            for how in CHANGES:
                wrong = changed(row, (key,), how)
                refused = not fits(name, {array: [wrong]})
                place = f"{array}.{key} {how}"
                assert refused == (not accepts(partial(decode, kinds[array], wrong))), place
                assert refused or (how == "drop" and key not in column.get("required", ())), place


@pytest.mark.parametrize("path", sorted(ENVS_DIR.glob("*.toml")), ids=lambda path: path.name)
def test_a_variable_with_a_wrong_key_is_refused_by_schema_and_reader_alike(
    path: Path, tmp_path: Path
) -> None:
    data = as_json(path)
    assert fits("envs", data)
    (table, variables) = next(iter(data.items()))
    entry = next(iter(variables.values()))
    for key, how in ((key, how) for key in ("value", "why") for how in CHANGES):
        assert not fits("envs", {table: {"X": changed(entry, (key,), how)}})
    broken = CatalogCopy(tmp_path / "copy")
    (broken.envs / path.name).write_text(
        '[SET]\nA = { valeu = "1", why = "x" }\nB = { value = 1, why = "x" }\n'
    )
    assert {"valeu", "value"} <= {problem.split(":")[2].rpartition(".")[2] for problem in broken.problems()}


@given(path=st.deferred(lambda: st.sampled_from(list(places(plan())))), how=st.sampled_from(CHANGES))
def test_a_plan_with_a_wrong_key_is_refused_by_schema_and_reader_alike(
    path: tuple[str | int, ...], how: str
) -> None:
    wrong = changed(plan(), path, how)
    fields = {key: value for key, value in wrong.items() if key not in ("schema", "digest")}
    stated = {"schema", "digest"} <= set(wrong) and (path[0] not in ("schema", "digest"))
    assert fits("plan", wrong) == (stated and accepts(lambda: decode(Plan, fields)))


def test_a_plan_fits_and_one_of_another_schema_does_not() -> None:
    assert fits("plan", plan())
    assert not fits("plan", {**plan(), "schema": 1})
    wrong = planned(catalog(), facts([registration("test/registered/x/test_a.py")]), request()).to_json()
    assert fits("plan", wrong)


def test_every_event_of_real_runs_fits() -> None:
    assert EVENT_LINES
    for line in EVENT_LINES:
        assert fits("event", json.loads(line)), line


@given(line=st.sampled_from(EVENT_LINES), how=st.sampled_from(CHANGES), data=st.data())
def test_an_event_with_a_wrong_key_is_refused_by_schema_and_reader_alike(
    line: str, how: str, data: st.DataObject
) -> None:
    event = json.loads(line)
    wrong = changed(event, data.draw(st.sampled_from(list(places(event)))), how)
    assert fits("event", wrong) == accepts(lambda: event_from(wrong))


def test_an_event_of_another_version_fits() -> None:
    assert fits("event", {"type": "from-next-year", "anything": 1})
    assert fits("event", {"type": "run-ended", "exit_code": 0, "anything": 1})


def test_a_capsule_fits_and_so_does_its_line() -> None:
    assert fits("capsule", pairs())
    line = Draft202012Validator(schema("capsule")["$defs"]["line"])
    good = capsule.encode(Plan.from_json(plan(), where="plan"))
    assert line.is_valid(good)
    assert not line.is_valid(good.replace("stage-b-amd", "Stage B"))


@given(data=st.data(), how=st.sampled_from(CHANGES))
def test_a_capsule_with_a_wrong_value_is_refused_by_schema_and_reader_alike(
    data: st.DataObject, how: str
) -> None:
    place = data.draw(st.integers(0, len(pairs()) - 1))
    name = pairs()[place][0]
    wrong = copy.deepcopy(pairs())
    if how == "drop" and name not in ("suite", "test"):  # that one is missing is known by their number alone
        del wrong[place]
    elif how == "rename":
        wrong[place][0] = f"{name}_x"
    else:
        wrong[place][1] = retyped(wrong[place][1])
    assert fits_capsule(wrong) == (capsule.decode(packed(wrong), limit_bytes=1 << 20).plan is not None)


def packed(values: list[Any]) -> str:
    """The capsule of these pairs, with a digest and a checksum that are right for them."""
    parts = capsule._collect((name, value) for name, value in values)
    work = {
        "stage": "stage-b-amd",
        **{name: value for name, value in parts.items() if capsule._is_work(name)},
    }
    digest = hashlib.sha256(canonical(work).encode()).hexdigest()[:12]
    text = "\n".join(json.dumps(pair) for pair in values)
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(text.encode()) + packer.flush()
    payload = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    words = (str(capsule.VERSION), "stage-b-amd", digest, str(len(payload)))
    return " ".join((capsule.MARK, *words, capsule._checksum(*words, payload), payload))
