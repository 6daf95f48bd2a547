"""More text, more compute or a wider limit never makes the best loss worse."""

import pytest

from m3jax.laws import get_law

from .monotone import rises


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("m3", 2000),
        pytest.param("m3_posynomial", 1000, marks=pytest.mark.slow),
        pytest.param("data_constrained", 100, marks=pytest.mark.slow),
        pytest.param("d_cpt", 150, marks=pytest.mark.slow),
    ],
)
def test_the_best_loss_never_rises_where_something_gets_wider(name, count):
    assert rises(get_law(name), count, seed=7) == []
