"""The prior of the public run tables, made of two of them."""

import json

import numpy as np
import pytest

from m3jax.fitting import Prior
from m3jax.laws import get_law
from tools import public_prior

from ..conftest import call_script, is_finite


@pytest.mark.slow
def test_a_left_out_table_is_predicted(shared_data, monkeypatch):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    done = call_script(
        public_prior, "--laws", "chinchilla", "--counts", 8, "--repeats", 2, "--json"
    )
    assert done.code == 0
    assert is_finite(done.json)
    rows = done.json["chinchilla"]
    assert set(rows) == {"Muennighoff", "Chinchilla"}
    assert set(rows["Chinchilla"]["8"]) == {"weak", "public", "public_better"}
    public_prior.show(done.json)


@pytest.mark.slow
def test_the_shipped_prior_is_what_the_tables_give(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(public_prior, "LAWS", ("chinchilla",))
    path = tmp_path / "prior.json"
    public_prior.write(shared_data, path)
    law = get_law("chinchilla")
    made, shipped = json.loads(path.read_text())["laws"]["chinchilla"], Prior.public(law).ranges
    assert set(made) == set(shipped)
    for name, span in made.items():
        np.testing.assert_allclose(span, shipped[name], rtol=1e-3)


def test_without_the_tables_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path))
    done = call_script(public_prior)
    assert (done.code, done.out) == (2, "")
    assert "set M3JAX_DATA" in done.err
