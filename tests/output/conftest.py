"""The case that pages, tables and figures are tested on."""

import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax.comparison import predict_held_out

from .cases import COMPARED_LAWS, Case, a_case


@pytest.fixture(scope="package")
def case() -> Case:
    return a_case()


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
