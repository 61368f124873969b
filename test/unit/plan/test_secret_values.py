"""A secret of the environment is refused in what would be in the plan."""

import pytest

from ci.errors import UsageError
from ci.plan.secret_values import refuse_secret_values, secret_values
from support.planning import catalog, request

VALUE = "hf_abcdefgh"
ENVIRON = {"HF_TOKEN": VALUE, "MY_SECRET": "short", "EMPTY_TOKEN": "", "PATH": "/usr/bin"}


def test_secrets_are_variables_with_such_a_name_that_hold_something() -> None:
    assert secret_values(catalog(), ENVIRON) == {"HF_TOKEN": VALUE, "MY_SECRET": "short"}


def test_every_option_that_holds_one_is_named_and_the_secret_is_not_shown() -> None:
    asked = request(env=(("X", f"Bearer {VALUE}"), ("Y", "/usr/bin")), pytest_args=("-k", VALUE))
    with pytest.raises(UsageError) as caught:
        refuse_secret_values(catalog(), asked, ENVIRON)
    text = caught.value.render()
    assert [problem.where for problem in caught.value.problems] == ["--env X", "pytest's arguments"]
    assert "holds the value of HF_TOKEN" in text
    assert VALUE not in text


def test_values_too_short_to_be_a_secret_are_not_looked_for() -> None:
    refuse_secret_values(catalog(), request(env=(("X", "in short"),)), ENVIRON)
