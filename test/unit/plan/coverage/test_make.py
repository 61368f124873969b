"""The whole list: order, what a test costs, the line that adds it, and how good an earlier list was."""

from ci.catalog.registrations.parse import Registration
from ci.catalog.registrations.test_contents import read_contents
from ci.plan.coverage.make import Coverage, TreeTests, backtest, make_coverage
from ci.plan.coverage.registered import by_file
from support.planning import catalog

SOURCES = {"good": "import triton\n", "bad": "import hopperlib\n", "off": "", "one": "", "two": ""}


def row(name: str, backend: str, est: float, disabled: str | None = None) -> Registration:
    suite = {"cuda": "base-b-test-1-gpu", "amd": "stage-b-test-1-gpu-amd"}[backend]
    return Registration(
        file=f"test/registered/a/{name}.py",
        backend=backend,
        suite=suite,
        est_time_s=est,
        nightly=False,
        disabled=disabled,
        line=7,
    )


def coverage() -> Coverage:
    rows = [row(name, "cuda", 100) for name in SOURCES]
    rows += [row("one", "amd", 200), row("two", "amd", 150), row("off", "amd", 10, disabled="hangs")]
    files = by_file(rows)
    contents = {}
    for one in files:
        found = read_contents(SOURCES[one.file.rpartition("/")[2][:-3]].encode(), one.file)
        assert found is not None
        contents[one.file] = found
    tree = TreeTests(root="/t", files=files, contents=contents, helpers={one.file: () for one in files})
    return make_coverage(catalog().coverage, tree, lambda _suite: 2)


def test_the_likeliest_comes_first_and_a_disabled_one_gets_no_line() -> None:
    found = coverage()
    names = [one.test.file[len("test/registered/a/") : -len(".py")] for one in found.candidates]
    assert names == ["good", "bad", "off"]
    assert (found.total.cuda, found.total.both) == (5, 2)
    off = next(one for one in found.candidates if one.test.disabled)
    assert off.line == ""


def test_the_line_has_the_suite_of_its_neighbours_and_their_ratio_of_time() -> None:
    first = coverage().candidates[0]
    assert first.line == 'register_amd_ci(est_time=100, suite="stage-b-test-1-gpu-amd")'
    assert first.after_line == 7
    assert "no tests have both" in first.est_time_why


def test_what_it_adds_to_the_longest_shard() -> None:
    found = coverage()
    first = found.candidates[0]
    assert (first.before.longest_s, first.after.longest_s, first.before.shards) == (200, 250, 2)
    ((before, after),) = found.together(found.candidates).values()
    assert (before.total_s, after.total_s) == (350, 550)


def test_a_later_tree_judges_the_list() -> None:
    found = coverage()
    later = by_file([row("good", "amd", 1), row("one", "amd", 1)])
    judged = backtest(found, later, below="test/registered")
    assert (judged.gap, judged.added) == (3, ("test/registered/a/good.py",))
    assert (judged.precision, judged.recall) == (1 / 3, 1.0)
    elsewhere = backtest(found, later, below="python")
    assert (elsewhere.gap, elsewhere.precision, elsewhere.recall) == (0, 0.0, 0.0)
