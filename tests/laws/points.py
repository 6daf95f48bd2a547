"""Laws under test, points to test them at, and their derivatives by differences."""

import numpy as np
import pytest

from m3jax.laws import Coefficient, Law, get_law, list_laws
from m3jax.recipe import Recipe

from ..conftest import mostly_slow

# A user's law, as the documentation would have it written.
SQUARE_ROOT = Law(
    name="square_root",
    coefficients=(
        Coefficient("floor", (0.5, 3.0), (1e-3, 10.0), log=True, neutral=1.0),
        Coefficient("size", (1e2, 1e4), (1e-3, 1e6), log=True, neutral=1e-3),
        Coefficient("slope", (-0.1, 0.1), (-1.0, 1.0), needs=("target_ratio",)),
    ),
    function=lambda c, recipe: (
        (c["floor"] + c["size"] / recipe.total_tokens**0.5) * recipe.target_ratio ** c["slope"]
    ),
    variables=("total_tokens", "target_ratio"),
)


BUILT_IN = [get_law(name) for name in list_laws()]


each_law = pytest.mark.parametrize("law", mostly_slow([*BUILT_IN, SQUARE_ROOT]))


each_built_in = pytest.mark.parametrize("law", mostly_slow(BUILT_IN))


def draw(law, size, field="start"):
    """Coefficient vectors, (size, p), uniform over the range of starts (or within the bounds)."""
    low, high = getattr(law, f"theta_{field}")()
    return np.random.default_rng(7).uniform(low, high, (size, len(low)))


def recipes(size, seed=3):
    rng = np.random.default_rng(seed)
    ratio = 10 ** rng.uniform(-6, 0, size)
    return Recipe.create(
        n_params=10 ** rng.uniform(5, 12, size),
        target_tokens=10 ** rng.uniform(3, 13, size),
        epochs=10 ** rng.uniform(-1, 4, size),
        target_ratio=ratio,
        final_ratio=ratio ** rng.uniform(0, 1, size),
        first_ratio=ratio * rng.uniform(0, 0.9, size),
    )
