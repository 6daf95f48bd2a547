"""The solvers against each other and against geometric programs; what they refuse."""

import json

import numpy as np
import pytest

from benchmarks.studies import agreement
from m3jax import M3Error, optimize
from tests.optimization.known_fits import fits_of


@pytest.mark.slow
def test_the_solvers_agree_with_each_other_and_with_cvxpy(monkeypatch, capsys):
    pytest.importorskip("cvxpy")
    monkeypatch.setattr("sys.argv", ["agreement", "--problems", "20", "--json"])
    assert agreement.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["solvable"] >= 14
    assert result["patterns_of_active_limits"] >= 8
    assert 0 <= result["max_gap"] < 1e-7
    assert result["cvxpy"]["same_solvable"]
    assert result["cvxpy"]["max_difference"] < 1e-6
    assert result["general"]["same_solvable"]
    assert result["general"]["max_difference"] < 1e-5


def test_what_cannot_be_proven_is_refused():
    fits = fits_of("m3", 1)
    options = {"compute": 1e20, "target_tokens": 1e8}
    with pytest.raises(M3Error, match="certify=True needs a law made of terms"):
        optimize(fits, certify=True, constraints=lambda recipe: recipe.epochs - 4, **options)
    with pytest.raises(M3Error, match="method: expected 'auto'"):
        optimize(fits, method="magic", **options)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{}, {"max_source_tokens": 3e8, "inference_tokens": 1e9}])
def test_compiled_and_by_numpy_the_answers_are_the_same(monkeypatch, limits):
    fits = fits_of("m3", 2)
    options = {"compute": [1e18, 1e20], "target_tokens": [1e7, 1e9], "draws": 3, **limits}
    by_numpy = optimize(fits, certify=True, **options)
    monkeypatch.setattr("m3jax.optimization.solvers._batched._PAYS", 0)
    compiled = optimize(fits, certify=True, **options)
    np.testing.assert_allclose(by_numpy.loss, compiled.loss, rtol=1e-10)
    np.testing.assert_allclose(by_numpy.gap, compiled.gap, atol=1e-6)
    np.testing.assert_allclose(by_numpy.recipe.n_params, compiled.recipe.n_params, rtol=1e-5)
    np.testing.assert_allclose(by_numpy.loss_low, compiled.loss_low, rtol=1e-9)
