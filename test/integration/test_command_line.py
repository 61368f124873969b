"""The command line as a child process: what bad input gets, what machines read, how a plan is repeated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ci.plan.model import Plan
from support.files import ci, copy_repository, git, only_tests, registered, run_folder

PASSING = registered("def test_one() -> None:\n    assert True\n")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository with three quick tests of its own and one that is skipped."""
    repository = copy_repository(tmp_path_factory.mktemp("copy") / "repository")
    skipped = registered("def test_two() -> None:\n    pytest.skip('no such feature')\n", est_time=4)
    failing = registered(
        "def test_three() -> None:\n    assert 1 + 1 == 3\n", est_time=3, suite="stage-b-test-1-gpu-small-amd"
    )
    script = (
        "from harness.register import register_amd_ci\n\n"
        'register_amd_ci(est_time=2, suite="stage-a-test-1-gpu-small-amd")\n\n'
        'if __name__ == "__main__":\n    print("a script")\n'
    )
    tests = {
        "amd/test_one.py": PASSING,
        "amd/test_two.py": skipped,
        "b/test_three.py": failing,
        "amd/plain.py": script,
    }
    only_tests(repository, tests)
    return repository


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        ((), 2, ["no command"]),
        (("rum",), 2, ["'rum'", "did you mean 'run'"]),
        (("run", "stage-x-amd"), 2, ["'stage-x-amd'", "did you mean"]),
        (("run", "stage-a-amd", "--siute", "x"), 2, ["--siute", "did you mean '--suite'"]),
        (("run", "stage-a-amd", "--suite", "1-gpu-smal"), 2, ["'1-gpu-smal'", "did you mean '1-gpu-small'"]),
        (("run", "stage-a-amd", "--shard", "0/3"), 2, ["0/3"]),
        (("run", "stage-a-amd", "--shard", "4/3"), 2, ["4/3"]),
        (("run", "stage-a-amd", "--shard", "x"), 2, ["--shard 3/14"]),
        (("run", "stage-a-amd", "--test", "test_basic_sanit.py"), 2, ["test_basic_sanit.py", "did you mean"]),
        (("run", "stage-a-amd", "--hardware", "mi300"), 2, ["'mi300'", "mi300x"]),
        (("run", "stage-a-amd", "--hardware", "mi300x"), 2, ["this machine is cpu", "--dry-run"]),
        (("run", "stage-a-amd", "--checkout", "/"), 2, ["/", "is not"]),
        (
            ("run", "stage-a-amd", "--checkout", "/nonexistent/tree"),
            2,
            ["/nonexistent/tree", "no such folder"],
        ),
        (("run", "stage-a-amd", "--python", "/bin/true"), 2, ["/bin/true"]),
        (("run", "stage-a-amd", "--engine", "vllm"), 2, ["'vllm'"]),
        (("run", "stage-a-amd", "--plan", "/nowhere.json"), 2, ["/nowhere.json"]),
        (("run", "stage-a-amd", "--last-failed"), 2, ["no run of stage-a-amd"]),
        (("run", "stage-b-amd", "--suite", "1-gpu-small-mi35x"), 3, ["no test is registered"]),
        (("envs", "show", "deepseek_v4.FP5_ENV_VARS"), 2, ["did you mean 'deepseek_v4.FP"]),
        (("envs", "sho"), 2, ["did you mean 'show'"]),
        (("envs", "explain", "SGLANG_USE_ATIER"), 2, ["did you mean 'SGLANG_USE_AITER'"]),
        (("plan",), 2, ["stage_a_amd"]),
        (("plan", "--diff", "/a"), 2, ["expected 2 arguments"]),
    ],
)
def test_bad_input_ends_with_its_code_the_cause_and_no_traceback(
    runs: Path, arguments: tuple[str, ...], code: int, parts: list[str]
) -> None:
    ended = ci(*arguments, runs=runs)
    assert ended.code == code, ended.text
    assert f"error (exit {code})" in ended.err
    assert "Traceback" not in ended.text
    for part in parts:
        assert part in ended.err
    assert not runs.exists(), "bad input never half-runs"


def test_a_list_is_fit_for_a_pipe(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-a-amd", "--list", runs=runs, cwd=copy)
    assert ended.out.splitlines() == [
        "test/registered/amd/test_one.py\t5\t1-gpu-small",
        "test/registered/amd/test_two.py\t4\t1-gpu-small",
        "test/registered/amd/plain.py\t2\t1-gpu-small",
    ]
    rows = json.loads(ci("run", "stage-a-amd", "--list", "--json", runs=runs, cwd=copy).out)
    assert [(row["test"], row["kind"]) for row in rows][-1] == ("test/registered/amd/plain.py", "script")


def test_a_dry_run_does_nothing_and_its_plan_can_be_run(copy: Path, runs: Path, tmp_path: Path) -> None:
    dry = ci("run", "stage-a-amd", "--dry-run", "--json", "--env", "SGLANG_X=1", runs=runs, cwd=copy)
    assert dry.code == 0, dry.text
    assert not runs.exists()
    saved = tmp_path / "plan.json"
    saved.write_text(dry.out)
    ended = ci("run", "stage-a-amd", "--plan", str(saved), "--json", runs=runs, cwd=copy)
    assert ended.code == 0, ended.text
    assert ended.events()[0]["plan_digest"] == json.loads(dry.out)["digest"]


def test_a_plan_of_another_commit_is_refused(copy: Path, runs: Path, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    saved.write_text(ci("plan", "stage-a-amd", "--json", runs=runs, cwd=copy).out)
    (copy / "test/registered/amd/test_one.py").write_text(PASSING + "# changed\n")
    try:
        ended = ci("run", "stage-a-amd", "--plan", str(saved), runs=runs, cwd=copy)
    finally:
        git(copy, "checkout", "-q", "--", ".")
    assert ended.code == 2
    assert "+dirty." in ended.err
    assert "git checkout" in ended.err


def test_an_edited_plan_is_refused_and_run_only_as_unverified(copy: Path, runs: Path, tmp_path: Path) -> None:
    made = ci("plan", "stage-a-amd", "--json", runs=runs, cwd=copy)
    data = json.loads(made.out)
    plan = Plan.from_json(data, where="plan")
    (suite,) = plan.work.suites
    edited = replace(
        plan,
        work=replace(plan.work, rehearsal=False, suites=(replace(suite, tests=suite.tests[:1]),)),
    )
    saved = tmp_path / "plan.json"
    saved.write_text(edited.text())
    for words in ((), ("--dry-run",), ("--list",)):
        refused = ci("run", "stage-a-amd", "--plan", str(saved), *words, runs=runs, cwd=copy)
        assert refused.code == 2, refused.text
        assert "rehearsal: the plan says false, here it is true" in refused.err
        assert "test_two.py" in refused.err
    assert not runs.exists()
    ended = ci("run", "stage-a-amd", "--plan", str(saved), "--as-saved", runs=runs, cwd=copy)
    assert ended.code == 0, ended.text
    folder = run_folder(runs)
    reports = [
        (folder / name).read_text() for name in ("summary.md", "report.html", "junit.xml", "plan.json")
    ]
    events = json.loads((folder / "events.jsonl").read_text().splitlines()[0])
    assert all("UNVERIFIED" in text for text in (ended.out, *reports[:3]))
    assert events["unverified"] == json.loads(reports[3])["unverified"]
    again = ci("run", "stage-a-amd", "--plan", str(folder), runs=runs, cwd=copy)
    assert again.code == 2, "it stays what it is"


def test_a_changed_environment_is_the_only_difference(copy: Path, runs: Path, tmp_path: Path) -> None:
    for name, extra in (("a", ()), ("b", ("--env", "SGLANG_USE_AITER=0"))):
        (tmp_path / f"{name}.json").write_text(
            ci("plan", "stage_a_amd", *extra, "--json", runs=runs, cwd=copy).out
        )
    ended = ci(
        "plan", "--diff", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json", runs=runs, cwd=copy
    )
    result = json.loads(ended.out)
    assert not result["same_work"]
    fields = [row["path"] for row in result["differences"] if not row["path"].startswith("placement.command")]
    assert fields == ["work.suites.1-gpu-small.env.SGLANG_USE_AITER"]


def test_a_run_reports_passed_skipped_and_scripts(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-a-amd", runs=runs, cwd=copy)
    assert ended.code == 0, ended.text
    for part in ("REHEARSAL", "2 passed", "1 skipped", "no such feature"):
        assert part in ended.out
    folder = run_folder(runs)
    names = {entry.name for entry in folder.iterdir()}
    assert {
        "plan.json",
        "events.jsonl",
        "junit.xml",
        "summary.md",
        "report.html",
        "terminal.svg",
        "logs",
    } <= names
    assert (folder / "spec.json").stat().st_mode & 0o077 == 0


def test_a_run_of_skipped_tests_alone_is_exit_3_with_the_reasons(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-a-amd", "--test", "test_two.py", runs=runs, cwd=copy)
    assert ended.code == 3, ended.text
    assert "no such feature" in ended.out


def test_an_empty_shard_is_named_and_exit_0(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-b-amd", "--suite", "1-gpu-small", "--shard", "2/14", runs=runs, cwd=copy)
    assert ended.code == 0, ended.text
    assert "shard 2/14 of suite 1-gpu-small holds no test" in ended.out


def test_a_failure_is_exit_1_with_the_line_and_can_be_repeated_by_last_failed(copy: Path, runs: Path) -> None:
    ended = ci("run", "stage-b-amd", runs=runs, cwd=copy)
    assert ended.code == 1, ended.text
    source = (copy / "test/registered/b/test_three.py").read_text().splitlines()
    line = 1 + next(number for number, text in enumerate(source) if "1 + 1 == 3" in text)
    assert f"test_three.py:{line}" in ended.out
    assert (
        "repeat it: nox -s stage_b_amd -- --suite 1-gpu-small --test test/registered/b/test_three.py\n"
        in ended.out
    )
    run = run_folder(runs).name
    for selection in (["--last-failed"], ["--last-failed", run], ["--plan", run, "--failed"]):
        again = ci("run", "stage-b-amd", *selection, "--list", runs=runs, cwd=copy)
        assert again.out.splitlines() == ["test/registered/b/test_three.py\t3\t1-gpu-small"], again.text


def test_what_stands_after_the_second_dashes_reaches_pytest(copy: Path, runs: Path) -> None:
    ended = ci(
        "run",
        "stage-a-amd",
        "--test",
        "test_one.py",
        "--json",
        "--",
        "-k",
        "nothing_like_it",
        runs=runs,
        cwd=copy,
    )
    (test,) = [event for event in ended.events() if event["type"] == "test-ended"]
    assert test["outcome"] == "skipped", "zero cases are no pass"
    assert ended.code == 3


def test_secrets_reach_the_tests_and_no_file(copy: Path, runs: Path) -> None:
    body = "def test_it() -> None:\n    import os\n    assert os.environ['HF_TOKEN'].endswith('canary')\n    assert 'EDITOR' not in os.environ\n"
    path = copy / "test/registered/amd/test_secret.py"
    path.write_text(registered(body))
    try:
        env = {"HF_TOKEN": "hf_secret_canary", "EDITOR": "vi"}
        ended = ci("run", "stage-a-amd", "--test", "test_secret.py", runs=runs, cwd=copy, env=env)
    finally:
        path.unlink()
    assert ended.code == 0, ended.text
    assert "hf_secret_canary" not in ended.text
    for file in run_folder(runs).rglob("*"):
        if file.is_file():
            assert b"hf_secret_canary" not in file.read_bytes(), file


def test_a_broken_registration_stops_a_run_and_hides_no_other_problem(copy: Path, runs: Path) -> None:
    bad = {
        "amd/bad_syntax.py": "register_amd_ci(est_time=1, suite='stage-a-test-1-gpu-small-amd')\ndef broken(:\n",
        "amd/bad_value.py": registered("x = 1\n").replace("est_time=5", "est_time=sum([1])"),
        "amd/unregistered.py": "x = 1\n",
    }
    for name, source in bad.items():
        (copy / "test/registered" / name).write_text(source)
    try:
        ended = ci("run", "stage-a-amd", runs=runs, cwd=copy)
        checked = ci("check", runs=runs, cwd=copy)
        named = ci("run", "stage-a-amd", "--test", "test_one.py", runs=runs, cwd=copy)
    finally:
        for name in bad:
            (copy / "test/registered" / name).unlink()
    assert (ended.code, checked.code, named.code) == (2, 2, 0)
    for name in bad:
        assert name in ended.err
        assert name in checked.err


def test_envs_show_and_diff_and_explain(runs: Path) -> None:
    diff = ci("envs", "diff", "deepseek_v4.FP4_ENV_VARS", "deepseek_v4.FP8_ENV_VARS", "--json", runs=runs)
    assert json.loads(diff.out) == [{"name": "SGLANG_DSV4_FP4_EXPERTS", "left": "true", "right": "false"}]
    shown = json.loads(ci("envs", "show", "stage-c-test-4-gpu-amd", "--json", runs=runs).out)
    settings = shown["stage-c-test-4-gpu-amd"]
    assert settings["NCCL_CUMEM_ENABLE"]["source"] == "stage_c.FOUR_GPU"
    explained = ci("envs", "explain", "GPU_ARCHS", runs=runs)
    assert "gfx950" in explained.out
    assert "base.MI35X" in explained.out


def test_sglangs_own_tests_are_listed_and_planned_but_not_rehearsed(tmp_path: Path, runs: Path) -> None:
    tree = tmp_path / "sglang"
    (tree / "test/registered").mkdir(parents=True)
    (tree / "test/registered/test_theirs.py").write_text(PASSING)
    listed = ci("run", "stage-a-amd", "--checkout", str(tree), "--list", runs=runs)
    assert listed.out == "test/registered/test_theirs.py\t5\t1-gpu-small\n"
    # in a container it would be refused: this tree pins no AITER
    elsewhere = ("--hardware", "mi300x", "--executor", "host")
    planned = ci("plan", "stage-a-amd", "--checkout", str(tree), *elsewhere, "--json", runs=runs)
    plan = json.loads(planned.out)
    assert (plan["work"]["engine"], plan["work"]["hardware_class"]) == ("sglang", "mi300x")
    assert any(text.startswith("checkout unknown") for text in plan["partial"]), (
        "the tree is in no git repository"
    )
    ended = ci("run", "stage-a-amd", "--checkout", str(tree), runs=runs)
    assert ended.code == 4
    assert "so another server cannot replace it" in ended.err


def test_two_runs_of_one_second_have_folders_of_their_own(copy: Path, runs: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # this test alone

    def once(_: int) -> int:
        return ci("run", "stage-a-amd", "--test", "test_one.py", runs=runs, cwd=copy).code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(once, range(3))) == [0, 0, 0]
    assert len([entry for entry in runs.iterdir() if not entry.name.startswith(".")]) == 3


def test_check_names_every_problem_of_rows_sets_and_registrations(copy: Path, runs: Path) -> None:
    (copy / "envs/extra.toml").write_text('[EXTRA]\nX = { value = "1" }\n')
    stages = copy / "ci/catalog/stages.toml"
    text = stages.read_text()
    stages.write_text(text.replace("shards = 14", "shards = 0").replace("gpus = 8", "gpu = 8", 1))
    (copy / "test/registered/amd/orphan.py").write_text(
        registered("x = 1\n", suite="stage-a-test-1-gpu-smal-amd")
    )
    try:
        ended = ci("check", runs=runs, cwd=copy)
    finally:
        (copy / "envs/extra.toml").unlink()
        (copy / "test/registered/amd/orphan.py").unlink()
        stages.write_text(text)
    assert ended.code == 2
    for part in (
        "X.why",
        "shards: is 0",
        "gpu: unknown key",
        "no stage runs suite 'stage-a-test-1-gpu-smal-amd'",
    ):
        assert part in ended.err, ended.err
