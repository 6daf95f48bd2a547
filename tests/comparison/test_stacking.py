"""How far laws are behind the best, and their weights."""

import dataclasses

import numpy as np
import pytest

from m3jax import Coefficient, Law, M3Error
from m3jax.comparison import (
    on_simplex,
    predict_held_out,
    stacking_weights,
)
from m3jax.comparison import score as scored_from

from .tables import FEW, POWER


@pytest.fixture(scope="module")
def two_laws(runs):
    """Held-out predictions of a law, of the same law under another name, and of a bad one."""
    twin = dataclasses.replace(POWER, name="twin")
    flat = Law(
        name="flat",
        coefficients=(Coefficient("a", (0.5, 10.0), (1e-3, 1e3), log=True, neutral=1.0),),
        function=lambda c, recipe: c["a"] * recipe.n_params**0.0,
        variables=(),
    )
    return predict_held_out(runs, ["chinchilla", POWER, twin, flat], holdouts=["folds"], **FEW)


def test_how_far_behind_the_best(runs, two_laws):
    for language in runs.languages:
        mine = [s for s in scored_from(runs, two_laws) if s.language == language]
        best = min(mine, key=lambda s: s.mae)
        assert best.behind == best.behind_low == best.behind_high == 0
        for one in mine:
            assert one.behind == pytest.approx(one.mae - best.mae)
            assert one.behind_low <= one.behind <= one.behind_high
        power, twin = (next(s for s in mine if s.law == law) for law in ("power", "twin"))
        assert (power.behind_low, power.behind_high) == (twin.behind_low, twin.behind_high)


def test_stacking_weights_share_between_twins_and_leave_out_the_bad(runs, two_laws):
    weights = stacking_weights(runs, two_laws, runs.languages[0])
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["power"] == pytest.approx(weights["twin"], rel=1e-3)
    assert max(weights, key=weights.get) == "chinchilla"
    with pytest.raises(M3Error, match="no law predicts"):
        stacking_weights(runs, two_laws, "Esperanto")


def test_weights_on_the_simplex_are_optimal():
    root = np.random.default_rng(0).normal(size=(20, 6, 4)) + 0.5
    gram = root.swapaxes(1, 2) @ root
    weights = on_simplex(gram)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    slope = np.einsum("bij,bj->bi", gram, weights)
    level = np.einsum("bi,bi->b", slope, weights)[:, None]
    assert np.all(slope >= level * (1 - 1e-4))  # no law that would lower the error by more weight
