"""The case that pages, tables and figures are tested on."""

import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax.comparison import predict_held_out
from m3jax.optimization import optimize

from .cases import COMPARED_LAWS, ODD, Case, fits_of, runs_of, with_draws


@pytest.fixture(scope="package")
def case() -> Case:
    runs = runs_of((ODD, "日本語"))
    fits = fits_of(runs, draws=4)
    # The first budget is too small for even the smallest model on the least text.
    found = optimize(
        fits,
        compute=[1e4, 1e12, 4e12],
        target_tokens=[1e4, 4e4, 1e5, 4e5],
        epochs=(1, 32),
        draws=0,
    )
    assert not found.feasible.all()
    return Case(runs, fits, with_draws(found), found)


@pytest.fixture(scope="package")
def compared_runs():
    """Runs of two languages whose truth is known."""
    return run_table(true_theta(2, 3), 30, 0.003, 5)


@pytest.fixture(scope="package")
def held_out(compared_runs):
    """What three laws predict of those runs where they are held out."""
    return predict_held_out(
        compared_runs, COMPARED_LAWS, holdouts=["compute", "two-stage"], starts=2
    )
