"""A law with some coefficients held is a law of its own."""

import pytest

from m3jax import M3Error, special_case
from m3jax.laws import get_law


def test_special_cases():
    law = get_law("m3_no_repetition")
    assert law.names == ("E", "A", "alpha", "B", "beta", "gamma", "eta")
    quarter = special_case(get_law("m3"), "m3_quarter", {"tau": 0.25})
    assert "tau" not in quarter.names
    for held, words in (
        ({"Q": 0.0}, "no coefficient 'Q'"),
        ({"alpha": 0.5}, "cannot be held at 0.5, only at 0"),
        ({"tau": 1e9}, "expected 1e-08 to 100"),
    ):
        with pytest.raises(M3Error, match=words):
            special_case(get_law("m3"), "x", held)
    with pytest.raises(M3Error, match="bounded, a: cannot be held"):
        special_case(get_law("bounded"), "x", {"a": 0.0})
