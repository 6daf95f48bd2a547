"""Files are written whole; JSON and CSV have one form, and errors of reading name the file."""

import math

import pytest

from m3jax import M3Error
from m3jax.files import csv_text, json_text, parse_json, read_json, write_csv, write_json


def test_json_keeps_names_as_they_are_spelt(tmp_path):
    path = write_json(tmp_path / "sub" / "a.json", {"Võro": [1, 0.5]})
    assert path.read_text(encoding="utf-8") == '{\n "Võro": [\n  1,\n  0.5\n ]\n}\n'
    assert read_json(path) == {"Võro": [1, 0.5]}


def test_json_has_no_infinite_numbers(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([math.inf])
    with pytest.raises(M3Error, match=r"a\.json: cannot be written"):
        write_json(tmp_path / "a.json", [math.nan])
    assert not (tmp_path / "a.json").exists()


def test_json_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(M3Error, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(M3Error, match="cannot be read"):
        read_json(tmp_path)
    with pytest.raises(M3Error, match=r"^the prior: not valid JSON, perhaps cut short: .* line 1$"):
        parse_json("{", "the prior")


def test_csv_joins_lists_and_leaves_the_unknown_blank(tmp_path):
    rows = [{"a": "Võro, x", "b": ["p", "q"]}, {"a": None, "b": []}]
    path = write_csv(tmp_path / "a.csv", rows)
    assert path.read_bytes().decode() == 'a,b\n"Võro, x",p; q\n,\n'
    assert csv_text([], columns=("b", "a")) == "b,a\n"
    assert csv_text([{"a": 1, "b": 2}], columns=("b", "a")) == "b,a\n2,1\n"
