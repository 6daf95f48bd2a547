"""How numbers may be written: what is read, what is not, and what is said of the rest."""

import numpy as np
import pytest

from m3jax import M3Error
from m3jax.numerals import Notation

PLAIN, COMMA = Notation(), Notation(decimal=",")
ENGLISH, GERMAN = Notation(".", ","), Notation(",", ".")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("115K", 115e3),
        ("115k", 115e3),
        ("1.2B", 1.2e9),
        ("0.1T", 1e11),
        ("350m", 350e6),
        ("2e9", 2e9),
        (" +1E+9 ", 1e9),
        ("2 billion", 2e9),
        ("2\u00a0Million", 2e6),
        ("10%", 0.1),
        ("57 %", 0.57),
        ("1.7e-3K", 1.7),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3.0),
        ("-inf", -np.inf),
        ("1e999", np.inf),
    ],
)
def test_one_grammar(text, value):
    assert PLAIN.read(text).value == value


def test_the_suffix_is_kept():
    assert [PLAIN.read(t).suffix for t in ("1.2B", "2 Thousand", "10%", "1")] == [
        "b", "thousand", "%", "",
    ]  # fmt: skip


@pytest.mark.parametrize("digits", ["1.1", "2.3", "8.7", "0.07", "1.005"])
@pytest.mark.parametrize(("suffix", "power"), [("K", 3), ("M", 6), ("B", 9), ("%", -2)])
def test_a_suffix_costs_no_bit(digits, suffix, power):
    assert PLAIN.read(digits + suffix).value == float(f"{digits}e{power}")


@pytest.mark.parametrize(
    "text",
    ["", "many", "1,000", "1_000", "True", "0x10", "1 000", "1.2G", "K", "%", "1e", "1.2.3", "--1",
     "1K2", "2 billions", "1e3.5", "5,96"],
)  # fmt: skip
def test_nothing_else_is_a_number(text):
    assert PLAIN.read(text) is None


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (ENGLISH, "1,234,567", 1234567.0),
        (ENGLISH, "1,234.5", 1234.5),
        (ENGLISH, "115008", 115008.0),
        (ENGLISH, "1,200M", 1.2e9),
        (GERMAN, "1.234.567,5", 1234567.5),
        (GERMAN, "115.008", 115008.0),
        (Notation(".", " "), "1 234\u202f567", 1234567.0),
        (Notation(".", "'"), "1’234", 1234.0),
        (COMMA, "5,966", 5.966),
        (COMMA, "1,2e9", 1.2e9),
        (COMMA, "1,2 B", 1.2e9),
        (COMMA, "5.966037735849056", 5.966037735849056),
        (COMMA, "9.984e-05", 9.984e-05),
        (COMMA, "0.386", 0.386),
        (COMMA, "1.0", 1.0),
    ],
)
def test_other_marks(notation, text, value):
    assert notation.read(text).value == value


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        (ENGLISH, "1,5"),
        (ENGLISH, "12,34,567"),
        (ENGLISH, "1234,567"),
        (ENGLISH, "0,386"),
        (ENGLISH, "1.234,567"),
        (COMMA, "115.008"),  # 115.008 or a hundred thousand
        (COMMA, "1.234B"),
        (COMMA, "1,234,567"),
        (GERMAN, "5.966037735849056"),
        (GERMAN, "9.984e-05"),
        (GERMAN, "0.386"),
    ],
)
def test_what_might_be_two_things_is_neither(notation, text):
    assert notation.read(text) is None


@pytest.mark.parametrize(
    ("notation", "text", "hint"),
    [
        (PLAIN, "1,5", " (decimal=',' would read it)"),
        (PLAIN, "1,234,567", " (thousands=',' would read it)"),
        (PLAIN, "115,008", " (thousands=',' or decimal=',' would read it)"),
        (PLAIN, "1.234,5", " (decimal=',' thousands='.' would read it)"),
        (PLAIN, "1 234 567", " (thousands=' ' would read it)"),
        (COMMA, "115.008", " (decimal='.' or thousands='.' would read it)"),
        (ENGLISH, "1,5", " (decimal=',' would read it)"),
        (PLAIN, "12,34,567", ""),
        (PLAIN, "many", ""),
    ],
)
def test_what_would_read_it_is_said(notation, text, hint):
    assert notation.hint(text) == hint


def test_a_mark_is_one_thing():
    with pytest.raises(M3Error, match="decimal: expected another mark"):
        Notation(",", ",")
