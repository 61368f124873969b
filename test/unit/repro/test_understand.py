"""A plan of a container comes back from files and logs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ci.execute.run_folder import read_plan
from ci.plan.compare.capsule import encode
from ci.repro.understand import from_log
from support.planning import catalog
from support.shard_plans import contained_shard_plan


@pytest.mark.parametrize(
    "changes", [{}, {"env": (("SGLANG_X", "ü ' $HOME"),)}, {"keep": True, "strict": True, "fail_fast": True}]
)
def test_a_plan_of_a_container_comes_back_from_file_log_and_decorated_log(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    made = contained_shard_plan(**changes)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(made.to_json()))
    log = f"some line\n{encode(made)}\nlast line\n"
    decorated = "".join(f"2026-05-29T07:12:03.1234567Z {line}\r\n" for line in log.splitlines())
    for text in (log, decorated):
        found = from_log(text, catalog(), where="log")
        assert found.plan is not None
        assert found.plan.digest == made.digest
        place = made.placement.container
        assert place is not None
        # an address of the other machine's engine says nothing here
        assert found.plan.placement.container == replace(place, docker="")
        assert found.plan.placement.python == made.placement.python == "python3"
        assert found.asked.arguments("/sglang") == made.placement.command[4:]
    assert read_plan(file).work == made.work
