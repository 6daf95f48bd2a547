"""Every variable, regime and limit has words, and they are told apart."""

import dataclasses

import pytest

from m3jax import Recipe, formatting
from m3jax.optimization import LIMITS
from m3jax.recipe import REGIMES
from m3jax.variables import (
    DECISION_VARIABLES,
    LIMIT_WORDS,
    REGIME_WORDS,
    RUN_VARIABLES,
    SHEET_VARIABLES,
    VARIABLES,
)


def test_every_limit_has_words():
    assert set(LIMIT_WORDS) == set(LIMITS)
    assert len(set(LIMIT_WORDS.values())) == len(LIMITS)
    assert not any("_" in text for text in LIMIT_WORDS.values())


def test_every_variable_has_words_of_its_own():
    named = {*RUN_VARIABLES, *DECISION_VARIABLES, *SHEET_VARIABLES}
    assert named | {field.name for field in dataclasses.fields(Recipe)} <= set(VARIABLES)
    for field in ("symbol", "noun", "plural", "short", "axis"):
        words = [getattr(variable, field) for variable in VARIABLES.values()]
        assert len(set(words)) == len(words), field
    assert {name for name, variable in VARIABLES.items() if variable.constant} == {*RUN_VARIABLES}
    assert all(name == variable.name for name, variable in VARIABLES.items())


def test_regimes_have_one_order_and_keys_for_columns():
    assert tuple(REGIME_WORDS) == REGIMES
    assert [words.key for words in REGIME_WORDS.values()] == [
        "monolingual",
        "single_stage",
        "two_stage",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("n_params", 37e3, "37.0K"),
        ("epochs", 46.9, "46.9"),
        ("compute", 2.5e11, "2.5e+11"),
        ("loss", 1.70051, "1.7005"),
        ("loss", None, "–"),
    ],
)
def test_values_are_written_by_the_kind_of_their_variable(variable, value, text):
    assert formatting.write(variable, value) == text
    assert all(formatting.writer(name) for name in VARIABLES)
