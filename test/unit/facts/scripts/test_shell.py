"""What a launch script gives the programs that it starts, without running it."""

import pytest

from ci.facts.scripts.shell import read_shell


def environment(script: str) -> dict[str, str]:
    return {name: assigned.text for name, assigned in read_shell(script).environment()}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("export A=1 B='x y' C=\"p q\"", {"A": "1", "B": "x y", "C": "p q"}),
        ("A=1\nexport A", {"A": "1"}),
        ("export A\nA=1", {"A": "1"}),
        ("A=1", {}),
        ("declare -x A=1; declare B=2; readonly C=3", {"A": "1"}),
        ("export A=1; export -n A", {}),
        ("export A=1; unset A", {}),
        ("export A=1; A=2", {"A": "2"}),
        ("export A=; export B='' C=a\\ b", {"A": "", "B": "", "C": "a b"}),
        ("export P=/a; P+=:/b", {"P": "/a:/b"}),
        ("set -a\nA=1\nset +a\nB=2", {"A": "1"}),
        ("A=1 B=2 python3 -m server --tp 8", {"A": "1", "B": "2"}),
        ("sudo env -i A=1 B=2 python3 -m server C=3", {"A": "1", "B": "2"}),
        ("cd /x && export A=1", {"A": "1"}),
        ("(export A=1)", {}),
        ("cat <<X\nexport A=1\nX\nexport B=2", {"B": "2"}),
        ("export E=$'a\\tb'", {"E": "a\tb"}),
        ("# export A=1\nexport B=2  # and C=3", {"B": "2"}),
        ("exec nohup python3 x.py", {}),
        ("A=1 read -r line", {}),
        ("export A=1 \\\n  B=2", {"A": "1", "B": "2"}),
    ],
)
def test_what_is_exported_or_given_to_a_program(script: str, expected: dict[str, str]) -> None:
    assert environment(script) == expected


@pytest.mark.parametrize(
    "line",
    [
        "docker run -e A=1 --env 'B=x y' -eC=3 --env=D=4 image python3 x",
        "sudo docker exec -e A=1 -e B='x y' -e C=3 -e D=4 box sh",
        "bash scripts/ci/amd/amd_ci_exec.sh -e A=1 -e 'B=x y' -e C=3 -e D=4 -- python3 run.py",
        "-e A=1 -e B='x y' \\\n  -e C=3 --env D=4",
        "podman run -e A=1 image bash -c \"export B='x y' C=3; D=4 python3 x\"",
    ],
)
def test_variables_of_a_container(line: str) -> None:
    assert environment(line) == {"A": "1", "B": "x y", "C": "3", "D": "4"}


def test_a_container_gets_the_value_that_the_shell_has() -> None:
    found = read_shell("TOKEN=abc\nX=1\ndocker run -e TOKEN -e OTHER -e Y=$X --env-file my.env image")
    assert {name: each.text for name, each in found.environment()} == {"TOKEN": "abc", "Y": "1"}
    assert found.notes == [
        "line 3: OTHER is the caller's",
        "line 3: my.env is not read: compare it by itself",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "docker exec box find / -exec rm {} ;",
        "docker exec box sed -e s/A=1/B/ x",
        "docker exec box x -e a.b=1",
    ],
)
def test_options_of_the_program_in_a_container_are_not_the_containers(line: str) -> None:
    found = read_shell(line)
    assert (dict(found.environment()), found.notes) == ({}, [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"$D/x"', "/data/x"),
        ("${D}", "/data"),
        ('"$D $D"', "/data /data"),
        ("${NOT_SET:-5}", "5"),
        ("${D:-5}", "/data"),
        ("${EMPTY:-5}", "5"),
        ("${EMPTY-5}", ""),
        ("${NOT_SET:-$D}", "/data"),
        ("$(nproc)", "$(nproc) (known when it runs)"),
        ("a$1", "a$1 (known when it runs)"),
        ("${D%/}", "${D%/} (known when it runs)"),
        ('"\\$D \\"q\\""', '$D "q"'),
    ],
)
def test_a_value_is_followed_as_far_as_the_script_says_it(value: str, expected: str) -> None:
    assert environment(f"D=/data\nEMPTY=\nexport A={value}")["A"] == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("if x; then export A=1; fi", "1 or not set"),
        ("export A=1; if x; then A=2; fi", "1 or 2"),
        ("if x; then export A=1; fi; export A=3", "3"),
        ("for i in 1 2; do export A=1; done", "1 or not set"),
        ("setup() { export A=1; }", "1 or not set"),
        ("x || export A=1", "1 or not set"),
        ("case $x in y) export A=1;; esac", "1 or not set"),
        ("export A=1; if x; then unset A; fi", "1 or not set"),
    ],
)
def test_what_depends_on_a_condition_is_not_sure(script: str, expected: str) -> None:
    assert environment(script)["A"] == expected


def test_a_default_holds_unless_the_caller_sets_it() -> None:
    ((_, assigned),) = read_shell('\nexport A="${A:-1}"').environment()
    assert (assigned.text, assigned.why, assigned.line) == ("1", "unless the caller sets A", 2)


@pytest.mark.parametrize("line", ["source ./env.sh", ". ./env.sh", 'eval "$x"'])
def test_what_is_not_followed_is_named(line: str) -> None:
    assert "line 2: " in read_shell(f"export A=1\n{line}").notes[0]


def test_what_is_not_understood_is_named_and_the_rest_is_read() -> None:
    found = read_shell("export A=1\nif then fi (\n")
    assert dict(found.environment())["A"].text == "1"
    assert "not understood" in found.notes[0]
