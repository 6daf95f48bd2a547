"""The differentiable answer to one question."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from benchmarks.support.synthetic import true_theta
from m3jax import M3Error, best_recipe, optimize
from m3jax.laws import get_law
from m3jax.optimization import Question

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


AMOUNTS = ("compute", "target_tokens", "total_tokens", "source_tokens", "gpu_flops")
STAGES = ("stage_low", "stage_high")
BOUNDS = tuple((side, i) for side in ("low", "high") for i in range(4))
INPUTS = (*AMOUNTS, *STAGES, *BOUNDS)
COEFFICIENT = 6  # eta: where it is raised a final stage pays
THETA = true_theta(1, 3)[0]

# What is tightened, against a question where nothing but compute and text is scarce.
BINDING = {
    "compute": {},
    "target_tokens": {},
    "total_tokens": {"total_tokens": 2e9},
    "source_tokens": {"source_tokens": 1e9},
    "gpu_flops": {"gpu_flops": 1e19},
    ("high", 0): {("high", 0): 1e9},
    ("low", 0): {("low", 0): 1e10},
    ("high", 1): {("high", 1): 2.0},
    ("low", 1): {("low", 1): 8.0},
    ("high", 2): {("high", 2): 0.055},
    ("low", 2): {("low", 2): 0.3},
}
# The same where two stages are best.
BINDING_STAGES = {"stage_low": {"stage_low": 0.5}, ("high", 3): {("high", 3): 0.7}}


def packed(changes, shift=0.0) -> np.ndarray:
    """Logarithms of all inputs, and a shift of one coefficient."""
    base = question_of(total_tokens=1e12, source_tokens=1e12, gpu_flops=1e21)
    values = {name: getattr(base, name) for name in (*AMOUNTS, *STAGES)}
    values |= {(side, i): getattr(base, side)[i] for side, i in BOUNDS}
    return np.append(np.log([float((values | changes)[name]) for name in INPUTS]), shift)


def log_best_loss(x):
    """Log of the best loss of one and two stages, with everything traced."""
    values = dict(zip(INPUTS, jnp.exp(x[:-1]), strict=True))
    bounds = {
        side: jnp.stack([values.pop((side, i)) for i in range(4)]) for side in ("low", "high")
    }
    theta = jnp.asarray(THETA, x.dtype).at[COEFFICIENT].add(x[-1])
    question = question_of(**values, **bounds)
    return jnp.log(best_recipe(get_law("m3"), theta, question, regimes=(1, 2))[0])


@pytest.mark.slow
def test_derivatives_agree_with_central_differences_in_either_precision():
    """Of the best loss in budget, text, every limit and a coefficient, free and active."""
    points = {name: packed(changes) for name, changes in BINDING.items()}
    points |= {name: packed(changes, 0.1) for name, changes in BINDING_STAGES.items()}
    with jax.enable_x64(True):
        exact = jax.jit(jax.value_and_grad(log_best_loss))
        doubles = {name: np.asarray(exact(x)[1]) for name, x in points.items()}
        step = 1e-4 * np.eye(len(INPUTS) + 1)
        for name, x in points.items():
            central = [(exact(x + s)[0] - exact(x - s)[0]) / 2e-4 for s in step]
            np.testing.assert_allclose(doubles[name], central, rtol=1e-4, atol=1e-7, err_msg=name)
    singles = jax.jit(jax.grad(log_best_loss))  # 32 bits, as JAX comes
    for name, x in points.items():
        slope = abs(doubles[name][INPUTS.index(name)])
        assert slope > 1e-5, f"{name} does not bind"
        single = singles(x.astype(np.float32))
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, doubles[name], rtol=2e-3, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_outside_x64_the_recipe_is_right_too():
    loss, recipe = best_recipe(get_law("m3"), THETA, question_of())
    with jax.enable_x64(True):
        exact, best = best_recipe(get_law("m3"), THETA, question_of())
    assert loss.dtype == np.float32
    assert float(loss) == pytest.approx(float(exact), rel=1e-6)
    for mine, right in zip(jax.tree.leaves(recipe), jax.tree.leaves(best), strict=True):
        assert float(mine) == pytest.approx(float(right), rel=1e-4)


@pytest.mark.slow
def test_best_recipe_is_what_optimize_finds():
    law, fits = get_law("m3"), fits_of("m3", 2)
    found = optimize(fits, compute=1e20, target_tokens=1e8, **_recipes.BOUNDS)
    with jax.enable_x64(True):
        for i in range(2):
            loss, recipe = best_recipe(law, fits.theta[i], question_of())
            assert float(loss) == pytest.approx(found.loss[i, 0, 0], rel=1e-8)
            assert float(recipe.epochs) == pytest.approx(found.recipe.epochs[i, 0, 0], rel=1e-4)


WORDS = {
    "n_params": (1e7, 1e12),
    "epochs": (1, 64),
    "target_ratio": (0.05, 1),
    "final_ratio": (0.05, 1.0),
    "stage_fraction": (0.1, 0.6),
}


@pytest.mark.slow
def test_in_the_words_of_optimize_and_differentiated_by_a_float():
    with jax.enable_x64(True):
        coefficients = {k: float(v) for k, v in get_law("m3").from_theta(THETA).items()}

        def best(compute, **changed):
            named = coefficients | changed
            return best_recipe("m3", named, compute=compute, target_tokens=1e8, **WORDS)

        ready = best_recipe(get_law("m3"), THETA, question_of())
        assert float(best(1e20).loss) == pytest.approx(float(ready.loss), rel=1e-12)
        assert float(best(1e20).recipe.epochs) == pytest.approx(float(ready.recipe.epochs))
        slope = jax.grad(lambda c: best(c).loss)(1e20)
        central = (best(1.001e20).loss - best(0.999e20).loss) / 2e17
        assert float(slope) == pytest.approx(float(central), rel=1e-4)
        floor = coefficients["E"]
        slope = jax.grad(lambda floor: best(1e20, E=floor).loss)(floor)
        central = (best(1e20, E=floor + 1e-3).loss - best(1e20, E=floor - 1e-3).loss) / 2e-3
        assert float(slope) == pytest.approx(float(central), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("compute: expected a positive finite number, got nothing", {"target_tokens": 1e8}),
        ("unknown option 'epoch'; did you mean 'epochs'", {"compute": 1, "epoch": (1, 2)}),
        ("epochs: expected a pair", {"compute": 1e20, "target_tokens": 1e8, "epochs": 4}),
        ("n_params: expected a pair", {"compute": 1, "target_tokens": 1, "n_params": (1, 2, 3)}),
        ("either a question or compute", {"question": question_of(), "compute": 1e20}),
    ],
)
def test_what_is_asked_wrongly_is_told(words, asked):
    with pytest.raises(M3Error, match=words):
        best_recipe("m3", THETA, **asked)
