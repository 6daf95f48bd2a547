"""Beyond the runs the loss may bend."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import Recipe
from m3jax.fitting import BENDING, Spread, beyond, edges_of


def recipes(**values):
    standard = {
        "n_params": [1e7, 1e8],
        "target_tokens": [1e6, 1e8],
        "epochs": [2.0, 8.0],
        "target_ratio": [0.1, 0.4],
        "final_ratio": [0.2, 0.4],
    }
    return Recipe.create(**{k: np.array(v) for k, v in (standard | values).items()})


EDGES = edges_of(jax.tree.map(lambda leaf: leaf[None], recipes()), np.ones((1, 2), dtype=bool))[0]


def test_among_the_runs_nothing_bends():
    middle = {k: np.sqrt(np.prod(v)) for k, v in vars(recipes()).items() if k != "first_ratio"}
    assert beyond(Recipe.create(**middle), EDGES) == pytest.approx(np.zeros(5))
    assert beyond(recipes(), EDGES) == pytest.approx(np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("values", "variable", "distance"),
    [
        ({"n_params": [1e9, 1e6]}, "n_params", [np.log(10), np.log(10)]),
        ({"epochs": [16.0, 8.0]}, "epochs", [np.log(2), 0.0]),
        ({"target_tokens": [1e5, 1e9]}, "target_tokens", [np.log(10), np.log(10)]),
        ({"target_ratio": [0.05, 0.4], "final_ratio": [0.05, 0.4]}, "target_ratio", [np.log(2), 0]),
        ({"final_ratio": [0.8, 0.4]}, "concentration", [np.log(4), 0.0]),
    ],
)
def test_distance_grows_beyond_the_range_of_its_variable_alone(values, variable, distance):
    found = beyond(recipes(**values), EDGES)
    expected = np.zeros((2, 5))
    expected[:, BENDING.index(variable)] = distance
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with jax.enable_x64(True):
        traced = jax.jit(beyond)(jax.tree.map(jnp.asarray, recipes(**values)), jnp.asarray(EDGES))
    np.testing.assert_allclose(traced, found, atol=1e-12)


def test_text_that_is_not_read_is_no_part_of_a_recipe():
    part = beyond(recipes(target_tokens=[2e6, 1e8], epochs=[0.5, 4.0]), EDGES)
    whole = beyond(recipes(target_tokens=[1e6, 1e8], epochs=[1.0, 4.0]), EDGES)
    np.testing.assert_allclose(part, whole)


def test_padding_has_no_say_in_the_range():
    wide = jax.tree.map(lambda leaf: leaf[None], recipes(n_params=[1e7, 1e12]))
    narrow = edges_of(wide, np.array([[True, False]]))[0]
    assert narrow[:, 0] == pytest.approx(np.log([1e7, 1e7]))


def test_each_draw_bends_by_its_own_exponent():
    bends = np.zeros((1, 3, 5))
    bends[0, :, 0] = [-0.1, 0.0, 0.2]
    spread = Spread(np.zeros((1, 3, 2)), bends, EDGES[None], calibrated=True)
    found = spread.bent(0, recipes(n_params=[1e9, 1e8]))
    np.testing.assert_allclose(found, np.outer([-0.1, 0.0, 0.2], [np.log(10), 0.0]), atol=1e-12)
    assert spread.take(np.array([0, 0]), 2).bends.shape == (2, 2, 5)
