"""The case that pages, tables and figures are tested on."""

import pytest

from m3jax.optimization import optimize

from .cases import ODD, Case, fits_of, runs_of, with_draws


@pytest.fixture(scope="package")
def case() -> Case:
    runs = runs_of((ODD, "日本語"))
    fits = fits_of(runs, draws=4)
    # The first budget is too small for the larger corpora, even with the smallest model.
    found = optimize(
        fits,
        compute=[3e9, 1e12, 4e12],
        target_tokens=[1e4, 4e4, 1e5, 4e5],
        epochs=(1, 32),
        draws=0,
    )
    assert not found.feasible.all()
    return Case(runs, fits, with_draws(found), found)
