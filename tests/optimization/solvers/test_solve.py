"""The solvers against each other and against geometric programs; what they refuse."""

import json

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
