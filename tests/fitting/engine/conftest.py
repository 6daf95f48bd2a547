"""Made-up runs and what one fit of them sees."""

import jax
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax.fitting import fit_data_with_weak_prior
from m3jax.fitting.problem import prepare_problem


@pytest.fixture(scope="module")
def table():
    return run_table(true_theta(2, 4), 60, 0.005, 6)


def one_language(law, table, fixed=None):
    problem, _, _ = prepare_problem(law, table.batch(), fixed or {}, None, "none")
    data = fit_data_with_weak_prior(
        problem, problem.space(law), "weak", np.full(2, 1e-6), np.full(2, 1e-3)
    )
    rng = np.random.default_rng(0)
    x = problem.space(law).draw(1, rng)[0, 0]
    held = problem.space(law).to_x(problem.held)[0]
    return np.where(problem.free[0], x, held), jax.tree.map(lambda leaf: leaf[0], data)
