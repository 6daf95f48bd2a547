"""What laws and coefficients declare, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import M3Error
from m3jax.laws import Coefficient, Law

from .points import SQUARE_ROOT, draw, each_built_in, each_law

pytestmark = pytest.mark.usefixtures("strict_promotion")


@pytest.mark.usefixtures("x64")
@each_law
def test_theta_round_trip(law):
    theta = draw(law, 6).reshape(2, 3, -1)
    named = law.from_theta(jnp.asarray(theta))
    assert set(named) == set(law.names)
    np.testing.assert_allclose(law.to_theta(named), theta, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_theta_is_the_logarithm_where_declared():
    theta = SQUARE_ROOT.to_theta({"floor": 2.0, "size": 100.0, "slope": 0.5})
    np.testing.assert_allclose(theta, [np.log(2), np.log(100), 0.5], rtol=1e-15)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_wrong_coefficient_names_are_refused(change):
    named = {"floor": 1.0, "size": 1.0, "slope": 0.0}
    if change == "missing":
        del named["slope"]
    else:
        named["slop"] = 0.0
    with pytest.raises(M3Error, match="law square_root: expected coefficients floor, size, slope"):
        SQUARE_ROOT.to_theta(named)


@each_law
def test_starts_and_neutral_values_lie_within_bounds(law):
    low, high = law.theta_bounds()
    start_low, start_high = law.theta_start()
    neutral = law.theta_neutral()
    assert np.all((low <= start_low) & (start_low < start_high) & (start_high <= high))
    assert np.all((low <= neutral) & (neutral <= high))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (-1, 1), "bounds": (0, 2)}, "start .* leaves bounds"),
        ({"start": (1, 3), "bounds": (0, 2)}, "start .* leaves bounds"),
        ({"start": (2, 1), "bounds": (0, 3)}, "start .* leaves bounds"),
        ({"start": (1, 2), "bounds": (1, 2)}, "neutral 0.0 leaves"),
        ({"start": (1, 2), "bounds": (0, 2), "log": True}, "log=True needs positive bounds"),
        ({"start": (1, 2), "bounds": (0, 2), "needs": ("size",)}, r"needs \['size'\]"),
    ],
)
def test_misdeclared_coefficient_is_refused(options, message):
    with pytest.raises(M3Error, match=f"coefficient x: {message}"):
        Coefficient("x", **options)


def test_repeated_coefficient_names_are_refused():
    one = Coefficient("x", (0, 1), (0, 1))
    with pytest.raises(M3Error, match="names repeat"):
        Law("twice", (one, one), function=lambda c, recipe: c["x"])


def test_unknown_variables_are_refused():
    one = Coefficient("x", (0, 1), (0, 1))
    with pytest.raises(M3Error, match=r"variables \['depth'\]"):
        Law("deep", (one,), function=lambda c, recipe: c["x"], variables=("depth",))


@each_built_in
def test_built_in_law_is_described(law):
    assert law.formula.startswith("L = ")
    assert law.source
    assert all(c.meaning for c in law.coefficients)
    assert all(name in law.formula for name in law.names)


@each_law
def test_coefficients_need_only_what_the_law_depends_on(law):
    assert {need for c in law.coefficients for need in c.needs} <= set(law.variables)


@each_built_in
def test_published_coefficients_lie_within_bounds(law):
    for published in law.published.values():
        assert set(published) == set(law.names)
        for c in law.coefficients:
            assert c.bounds[0] <= published[c.name] <= c.bounds[1]
