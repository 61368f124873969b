"""How a test's environment is made: the rows of `environment.toml`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from ci.catalog.columns import Explained, Text
from ci.catalog.decode import Reader

__all__ = ["EnvLayer", "Environment", "PassThrough", "SecretWords", "TestEnv", "load_environment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvLayer(Explained):
    """Env sets that hold for every stage, or for suites of one hardware family."""

    id: Text
    family: Text = ""
    sets: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestEnv(Explained):
    """Env sets of one registered test, over those of its suite."""

    __test__ = False  # pytest takes a class named Test... for a test
    KEY: ClassVar[str] = "test"

    test: Text
    sets: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThrough(Explained):
    """Variables of the caller that reach the tests; `host_only` ones mean nothing inside a container."""

    names: tuple[Text, ...]
    prefixes: tuple[Text, ...] = ()
    host_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWords(Explained):
    """Words that make a variable's name a secret's name, as parts between underscores."""

    words: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """All rows of environment.toml."""

    layers: tuple[EnvLayer, ...]
    tests: tuple[TestEnv, ...]
    pass_through: tuple[PassThrough, ...]
    secrets: tuple[SecretWords, ...]


def load_environment(reader: Reader, *, families: Collection[str]) -> Environment:
    """Read environment.toml; what is wrong with it is added to the reader's problems."""
    file = reader.open("environment.toml", "layer", "test_env", "pass_through", "secret")
    rows = Environment(
        layers=file.rows("layer", EnvLayer),
        tests=file.rows("test_env", TestEnv),
        pass_through=file.rows("pass_through", PassThrough),
        secrets=file.rows("secret", SecretWords),
    )
    file.refer("layer", "family", "hardware family", families)
    return rows
