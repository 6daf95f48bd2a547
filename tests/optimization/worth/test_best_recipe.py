"""The differentiable answer to one question."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from benchmarks.support.synthetic import true_theta
from m3jax import best_recipe, optimize
from m3jax.laws import get_law
from m3jax.optimization import Question
from m3jax.recipe import SINGLE_STAGE

from ..known_fits import fits_of

NONE = np.inf


def question_of(compute=1e20, tokens=1e8, **more) -> Question:
    values = {
        "compute": compute,
        "target_tokens": tokens,
        "low": np.array([1e7, 1.0, 0.05, 0.05]),
        "high": np.array([1e12, 64.0, 1.0, 1.0]),
        "stage_low": 0.1,
        "stage_high": 0.6,
        "first_share": 0.0,
        "first_ratio": 0.0,
        "total_tokens": NONE,
        "source_tokens": NONE,
        "inference_tokens": 0.0,
        "gpu_flops": NONE,
    }
    return Question(**values | more)


@pytest.mark.slow
def test_derivatives_agree_with_central_differences():
    """Of loss and variables, in budget, corpus, a coefficient and a bound, free and active."""
    law = get_law("m3")
    theta = true_theta(1, 3)[0]

    def answer(x):
        high = jnp.exp(jnp.log(jnp.array([1e12, 1.0, 1.0, 1.0])).at[1].set(x[3]))
        question = question_of(1e20 * jnp.exp(x[0]), 1e8 * jnp.exp(x[1]), high=high)
        at = jnp.asarray(theta).at[4].add(x[2])
        loss, recipe = best_recipe(law, at, question, regimes=(SINGLE_STAGE,))
        values = jnp.stack([loss, recipe.n_params, recipe.epochs, recipe.target_ratio])
        return jnp.log(values), jnp.log(values)

    with jax.enable_x64(True):
        both = jax.jit(jax.jacrev(answer, has_aux=True))
        for log_most, active in ((np.log(64.0), False), (np.log(3.0), True)):
            at = np.array([0.0, 0.0, 0.0, log_most])
            exact, here = both(at)
            assert (abs(here[2] - log_most) < 1e-9) == active
            step = 1e-4 * np.eye(4)
            central = np.stack([(both(at + s)[1] - both(at - s)[1]) / 2e-4 for s in step], axis=1)
            np.testing.assert_allclose(exact, central, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_best_recipe_is_what_optimize_finds():
    law, fits = get_law("m3"), fits_of("m3", 2)
    found = optimize(fits, compute=1e20, target_tokens=1e8, **_recipes.BOUNDS)
    with jax.enable_x64(True):
        one = jax.jit(lambda theta: best_recipe(law, theta, question_of()))
        for i in range(2):
            loss, recipe = one(jnp.asarray(fits.theta[i]))
            assert float(loss) == pytest.approx(found.loss[i, 0, 0], rel=1e-8)
            assert float(recipe.epochs) == pytest.approx(found.recipe.epochs[i, 0, 0], rel=1e-4)
