"""Recommendations and the plan of them, which every format writes."""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Recipe, fit, optimize, training_plan

from .batches import BATCH, SIZES


@pytest.fixture(scope="session")
def fits():
    """Two made-up languages; the first one's name is hard on a CSV file."""
    runs = run_table(true_theta(2, 3), 24, 0.003, 5)
    odd = 'a "b", c;\nd'
    names = np.where(runs.language == runs.languages[0], odd, runs.language)
    return fit(dataclasses.replace(runs, language=names), "chinchilla", draws=2, starts=2)


@pytest.fixture(scope="session")
def found(fits):
    """Recommendations: nothing is allowed under the first budget, one recipe is two-stage."""
    found = optimize(fits, compute=[1e6, 3e19], target_tokens=SIZES)
    assert not found.feasible[:, 0].any()
    assert found.feasible[:, 1].all()
    place = (1, 1, 0)
    two = Recipe.create(
        n_params=1e8, target_tokens=1e8, epochs=8.0, target_ratio=0.2, final_ratio=0.6,
        first_ratio=0.05,
    )  # fmt: skip
    regime = found.regime.copy()
    regime[place] = 2

    def put(leaf, value):
        leaf = leaf.copy()
        leaf[place] = value
        return leaf

    return dataclasses.replace(found, recipe=jax.tree.map(put, found.recipe, two), regime=regime)


@pytest.fixture(scope="session")
def planned(found):
    """The plan in steps, and its one entry of two stages."""
    content = training_plan(found, BATCH)
    (two,) = (entry for entry in content["plans"] if len(entry["stages"]) == 2)
    return content, two


@pytest.fixture(scope="session")
def small(found):
    """The two-stage recipe on a corpus small enough to go through: 4 sequences an epoch at 512."""
    recipe = Recipe.create(
        n_params=1e8, target_tokens=2048 * 40, epochs=5.5, target_ratio=0.2, final_ratio=0.6,
        first_ratio=0.05,
    )  # fmt: skip
    put = jax.tree.map(lambda leaf, new: np.full_like(leaf[:1, 1:, :1], new), found.recipe, recipe)
    return dataclasses.replace(
        found,
        languages=found.languages[:1],
        compute=found.compute[1:],
        target_tokens=np.array([[2048.0 * 40]]),
        recipe=put,
        **{
            name: getattr(found, name)[:1, 1:, :1]
            for name in ("feasible", "regime", "kkt", "agreement", "multipliers", "regret")
        },
        **{
            name: getattr(found, name)[:1, 1:, :1]
            for name in ("loss", "loss_low", "loss_high", "regime_share", "by_regime_loss")
        },
        infeasible={},
    )
