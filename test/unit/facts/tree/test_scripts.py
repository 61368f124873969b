"""The commands of a step's script."""

from ci.facts.tree.scripts import commands_of


def commands(script: str) -> list[tuple[str, ...]]:
    unread: list[tuple[int, str]] = []
    found = [command.words for command in commands_of(script, unread)]
    assert unread == []
    return found


def test_a_backslash_continues_a_command_and_its_line_is_the_first() -> None:
    (command,) = commands_of("\nrun -e A=1 \\\n  'two words' # why\n", [])
    assert (command.words, command.line) == (("run", "-e", "A=1", "two words"), 1)


def test_what_surrounds_commands_is_left_out() -> None:
    script = 'if [ -z "$x" ]; then\n  first > /dev/null 2>&1 || CODE=$?\nfi\nsecond && third | tee log'
    assert [words[0] for words in commands(script)] == ["[", "first", "fi", "second", "third", "tee"]


def test_comments_and_here_documents_are_no_commands() -> None:
    assert commands("# don't\ncat <<'END'\nrun that\nEND\nrun this#that # isn't\n") == [
        ("cat",),
        ("run", "this#that"),
    ]


def test_a_shell_inside_a_container_is_followed() -> None:
    found = list(commands_of("docker exec box bash -c 'cd /there && X=1 python3 a.py'", []))
    assert (found[1].words, found[1].env, found[1].folder) == (
        ("docker", "exec", "box", "python3", "a.py"),
        (("X", "1"),),
        "/there",
    )


def test_what_cannot_be_split_is_named() -> None:
    unread: list[tuple[int, str]] = []
    assert list(commands_of("one\ntwo 'open", unread)) == list(commands_of("one", []))
    assert unread == [(1, "two 'open")]
