"""Layering of env sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.catalog.environment import SecretWords
from ci.catalog.envsets import EnvSet, EnvVariable, is_secret
from ci.errors import Problem
from ci.plan.environment import Layer, resolve

Pairs = dict[str, str]


def env_set(name: str, pairs: Pairs) -> EnvSet:
    variables = tuple(EnvVariable(name=key, value=value, why="because") for key, value in pairs.items())
    return EnvSet(id=name, variables=variables)


def layer(name: str, *sets: EnvSet) -> Layer:
    return Layer(name=name, sets=sets)


pairs = st.dictionaries(st.sampled_from("ABCDE"), st.sampled_from("012"), max_size=5)


@given(st.lists(pairs, max_size=5))
def test_the_highest_layer_wins_and_what_it_overrode_is_kept(stack: list[Pairs]) -> None:
    problems: list[Problem] = []
    layers = [layer(str(number), env_set(f"set{number}", content)) for number, content in enumerate(stack)]
    resolved = resolve(layers, problems)
    assert problems == []
    expected: Pairs = {}
    for content in stack:
        expected |= content
    assert resolved.values == dict(sorted(expected.items()))
    for name, setting in resolved.settings.items():
        history = [(f"set{number}", content[name]) for number, content in enumerate(stack) if name in content]
        assert [(setting.source, setting.value), *setting.overrode] == history[::-1]


@given(pairs, pairs)
def test_sets_of_one_layer_may_agree_but_not_differ(one: Pairs, two: Pairs) -> None:
    problems: list[Problem] = []
    resolve([layer("base", env_set("one", one), env_set("two", two))], problems)
    differing = {name for name in one.keys() & two.keys() if one[name] != two[name]}
    assert len(problems) == len(differing)
    for name in differing:
        assert any(name in problem.where and "one says" in problem.what for problem in problems)


SECRETS = (SecretWords(words=("TOKEN", "KEY"), why="test"),)


@pytest.mark.parametrize("name", ["HF_TOKEN", "TOKEN", "OPENAI_API_KEY", "my_token"])
def test_a_secrets_name_is_known_by_its_parts(name: str) -> None:
    assert is_secret(name, SECRETS)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MONKEY", "SGLANG_USE_AITER", "KEYBOARD"])
def test_a_word_within_a_part_makes_no_secret(name: str) -> None:
    assert not is_secret(name, SECRETS)
