"""Numbers as people read them."""

import numpy as np
import pytest

from m3jax import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [(8192, "8.19K"), (37e3, "37.0K"), (131072, "131K"), (999_999, "1.00M"), (1.2e6, "1.20M"),
     (3.4e9, "3.40B"), (2e15, "2000T"), (512, "512"), (999.7, "1.00K"), (None, "–"), (np.inf, "–")],
)  # fmt: skip
def test_counts(value, text):
    assert formatting.count(value) == text


def test_other_formats():
    assert formatting.flop(2.5e11) == "2.5e+11"
    assert formatting.ratio(0.34) == "0.340"
    assert formatting.ratio(99.96) == "100"
    assert formatting.loss(1.70051) == "1.7005"
    assert formatting.write_interval(22.84, 64, formatting.ratio) == "22.8–64.0"
    assert formatting.write_interval(None, 64, formatting.ratio) == "–"


def test_percents():
    assert formatting.percent(0.00528) == "0.53%"
    assert formatting.share(0.336) == "34%"
    assert [formatting.level(x) for x in (0.9, 0.995, 0.07)] == ["90%", "99.5%", "7%"]
    assert formatting.r_squared(0.99812) == "0.998"


@pytest.mark.parametrize(
    "write", ["count", "flop", "ratio", "loss", "percent", "rough_percent", "share", "r_squared"]
)
def test_what_is_not_known_is_a_dash(write):
    assert {getattr(formatting, write)(x) for x in (None, np.nan, np.inf)} == {formatting.MISSING}


def test_sentences():
    assert [formatting.rough_percent(x) for x in (0.0123, 0.05, 0.123, 1.5)] == [
        "1.2%",
        "5%",
        "12%",
        "150%",
    ]
    assert formatting.write_brief("epochs", 4.0) == "4"
    assert formatting.write_brief("target_tokens", 1.2e6) == "1.20M"
    lists = [["a"], ["a", "b"], ["a", "b", "c"]]
    assert [formatting.enumeration(words) for words in lists] == ["a", "a and b", "a, b and c"]
