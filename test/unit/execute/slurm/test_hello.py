"""What keeps the nodes of an allocation from working together is said before any test begins."""

from dataclasses import replace
from pathlib import Path

from ci.errors import ExitCode
from ci.execute.slurm.files import SlurmFiles
from ci.execute.slurm.hello import Greeting, Hello, wrong_with

HEAD = Hello(node="n1", host="h1", time_s=100.0, probe="p", tree="t")
FILES = SlurmFiles(run=Path("/runs/one"))


def _wrong(*greetings: Greeting) -> str:
    error = wrong_with(greetings, HEAD, FILES, skew_s=5)
    return "" if error is None else error.render()


def _of_n2(*, time_s: float = 100.0, probe: str = "p", tree: str = "t", written: bool = True) -> Greeting:
    hello = replace(HEAD, node="n2", time_s=time_s, probe=probe, tree=tree)
    return Greeting(hello=hello, heard_s=100.0, written=written)


def test_nodes_that_see_the_same_may_work() -> None:
    assert _wrong(_of_n2(), _of_n2(time_s=104.9), _of_n2(time_s=95.1)) == ""


def test_a_clock_that_differs_is_named_with_both_nodes_and_the_seconds() -> None:
    assert "node n2: its clock is 120.0 s ahead of that of node n1" in _wrong(_of_n2(time_s=220.0))
    assert "node n2: its clock is 120.0 s behind that of node n1" in _wrong(_of_n2(time_s=-20.0))


def test_a_folder_that_is_not_shared_is_named_in_either_direction() -> None:
    assert "node n2: /runs/one/slurm/probe has other content there" in _wrong(_of_n2(probe="q"))
    assert "what it wrote into /runs/one/slurm cannot be read on node n1" in _wrong(_of_n2(written=False))
    assert "node n2: the code or the tests differ from those on node n1" in _wrong(_of_n2(tree="u"))


def test_everything_wrong_is_said_at_once_and_is_infrastructure() -> None:
    error = wrong_with([_of_n2(tree="u"), _of_n2(probe="q", time_s=0.0)], HEAD, FILES, skew_s=5)
    assert error is not None
    assert len(error.problems) == 3
    assert error.exit_code is ExitCode.INFRASTRUCTURE
