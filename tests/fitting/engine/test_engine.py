"""The parts of the batched solver, each against something known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support.synthetic import draw_recipes, run_table, true_theta
from m3jax import M3Error, fit, list_laws, profile
from m3jax.fitting import fit_data_with_weak_prior
from m3jax.fitting.engine import (
    evaluate,
    feature_matrix,
    log_loss_and_jacobian,
    misfit,
    pack_rows,
    solve_spd,
    with_best_amplitudes,
)
from m3jax.fitting.problem import prepare, undetermined
from m3jax.fitting.uncertainty import cluster_table, weight_power
from m3jax.laws import LogSpaceLaw, get_law

from ...conftest import mostly_slow


@pytest.fixture(scope="module")
def table():
    return run_table(true_theta(2, 4), 60, 0.005, 6)


def one_language(law, table, fixed=None):
    problem, _, _ = prepare(law, table.batch(), fixed or {}, None, "none")
    data = fit_data_with_weak_prior(problem, problem.space(law), "weak", np.full(2, 1e-6))
    rng = np.random.default_rng(0)
    x = problem.space(law).draw(1, rng)[0, 0]
    held = problem.space(law).to_x(problem.held)[0]
    return np.where(problem.free[0], x, held), jax.tree.map(lambda leaf: leaf[0], data)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_small_systems_are_solved(dtype):
    rng = np.random.default_rng(1)
    root = rng.standard_normal((3, 5, 7, 20)).astype(dtype)
    matrix, right = root @ root.swapaxes(-1, -2), rng.standard_normal((3, 5, 7)).astype(dtype)
    with jax.enable_x64(True):
        found = jax.vmap(jax.vmap(solve_spd))(matrix, right)
        # Only one of the two has the axis.
        shared = jax.vmap(solve_spd, in_axes=(None, 0))(matrix[0, 0], right[0])
    assert found.dtype == dtype
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == np.float32 else 1e-10)
    np.testing.assert_allclose(
        shared, np.linalg.solve(matrix[0, 0], right[0].T).T, rtol=2e-3, atol=1e-5
    )


def test_an_indefinite_system_is_nan():
    assert np.all(np.isnan(solve_spd(jnp.diag(jnp.array([1.0, -1.0])), jnp.ones(2))))


@pytest.mark.parametrize("name", mostly_slow(list_laws()))
@pytest.mark.parametrize("held", [False, True])
def test_the_jacobian_is_the_derivative(name, held, table):
    law = get_law(name)
    values = {"E": 1.7, "alpha": 0.3} if held else {}
    fixed = {name: value for name, value in values.items() if name in law.names}
    with jax.enable_x64(True):
        x, data = one_language(law, table, fixed)
        features = feature_matrix(law, data)
        assert (features is None) == (isinstance(law, LogSpaceLaw) and law.shapes is None)
        predicted, jacobian = log_loss_and_jacobian(law, x, data, features)

        def log_loss(x):
            return law.log_loss_theta(data.centre @ x, data.recipe)

        np.testing.assert_allclose(predicted, log_loss(x), atol=1e-12)
        np.testing.assert_allclose(jacobian.T, jax.jacfwd(log_loss)(x), atol=1e-9)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_objective(table):
    law = get_law("m3")
    with jax.enable_x64(True):
        x, data = one_language(law, table)
        point = evaluate(law, x, data, feature_matrix(law, data), 1e-3)

        def objective(x):
            off = x - data.prior_mean
            prior = 0.5 * off @ data.prior_precision @ off
            return misfit(law, x, data, 1e-3) + data.prior_weight * prior

        np.testing.assert_allclose(point.value, objective(x), rtol=1e-12)
        np.testing.assert_allclose(point.gradient, jax.grad(objective)(x), rtol=1e-8, atol=1e-14)


def test_amplitudes_are_the_best_for_their_exponents(table):
    law = get_law("m3")
    with jax.enable_x64(True):
        x, data = one_language(law, table)
        features = feature_matrix(law, data)
        better = np.asarray(with_best_amplitudes(law, jnp.asarray(x), data, features))

        def squares(x):
            predicted, _ = log_loss_and_jacobian(law, x, data, features)
            return float(jnp.sum(data.weight * jnp.expm1(predicted - data.log_loss) ** 2))

        moved = [law.names.index(name) for name in law.terms]
        assert np.array_equal(np.delete(better, moved), np.delete(x, moved))
        assert squares(better) < squares(x)
        for i in moved:
            for step in (-0.01, 0.01):
                worse = better.copy()
                worse[i] += step
                assert squares(worse) > squares(better) * (1 - 1e-3)


def test_rows_hold_one_language_each():
    language = np.array([1, 0, 0, 0, 2, 0, 0])
    tasks, whose = pack_rows(np.array([0, 1, 2, 3, 5, 6]), language, 4)
    assert whose.tolist() == [0, 0, 1]
    assert all(set(language[row]) == {who} for row, who in zip(tasks, whose, strict=True))
    assert set(tasks.ravel()) == {0, 1, 2, 3, 5, 6}


def test_rank_is_found_column_by_column():
    rng = np.random.default_rng(2)
    jacobian = rng.standard_normal((2, 30, 5))
    jacobian[1, :, 2] = 0.0
    jacobian[1, :, 4] = jacobian[1, :, 0] - 2 * jacobian[1, :, 1]
    idle, redundant = undetermined(jacobian, np.ones((2, 5), dtype=bool))
    assert np.argwhere(idle).tolist() == [[1, 2]]
    assert np.argwhere(redundant).tolist() == [[1, 4]]


@pytest.mark.slow
def test_single_precision_meets_double(table):
    double = fit(table, draws=0)
    single = fit(table, draws=0, precision="float32")
    np.testing.assert_allclose(single.theta, double.theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(single.objective, double.objective, rtol=1e-4)


def test_clusters_are_listed_by_member():
    cluster = np.array([[0, 1, 0, 2, 1, 0]])
    table = cluster_table(cluster, np.array([[1.0, 1, 1, 1, 1, 0]]))
    assert table["size"][0].tolist() == [2, 2, 1, 0, 0, 0]
    for run in range(5):
        c, place = cluster[0, run], table["place"][0, run]
        assert table["member"][0, table["first"][0, c] + place] == run


def test_few_clusters_of_many_runs_widen_the_weights():
    clusters, runs, free = np.array([100, 33, 10]), np.array([100, 99, 100]), np.array([14, 14, 14])
    power = weight_power(clusters, runs, free)
    assert power[0] == pytest.approx(1.0)
    assert 1.0 < power[1] < power[2] <= 2.0


@pytest.mark.slow
def test_residual_draws_agree_with_cluster_draws():
    table = run_table(true_theta(1, 5), 150, 0.005, 7)
    spread = {}
    for kind in ("cluster", "residual"):
        fits = fit(table, draws=150, bootstrap=kind)
        recipe = draw_recipes(20, np.random.default_rng(3))
        spread[kind] = np.log(fits.predict_draws(recipe)).std(axis=0)
    assert 0.6 < np.median(spread["residual"] / spread["cluster"]) < 1.2
    with pytest.raises(M3Error, match="'cluster' or 'residual'"):
        fit(table, bootstrap="pairs")


@pytest.mark.slow
def test_a_profile_closes_around_the_fit_where_the_runs_decide():
    theta = true_theta(1, 6)
    table = run_table(theta, 100, 0.003, 8)
    fits = fit(table, draws=100)
    found = profile(fits, table, ["alpha", "gamma"])
    for name, one in found.items():
        value = fits.coefficients()[name]
        low, high = fits.intervals()[name]
        assert one.closed == (True, True)
        assert one.low < value < one.high
        assert 0.5 < (one.high - one.low) / (high - low) < 2.0
        assert one.values[0] < one.low
        assert one.high < one.values[-1]
        assert np.all(np.isfinite(one.statistic))
        assert one.statistic.min() < 0.5
    wider = profile(fits, table, ["alpha"], level=0.99)["alpha"]
    assert wider.low < found["alpha"].low
    assert found["alpha"].high < wider.high


@pytest.mark.slow
def test_a_profile_stays_open_where_the_runs_say_little():
    # Few and noisy: what a source token is worth as unique text could be next to nothing.
    few = run_table(true_theta(1, 7), 24, 0.03, 9)
    fits = fit(few, draws=0, prior="none")
    (one,) = profile(fits, few, ["tau"]).values()
    assert one.closed == (False, True)
    assert one.low == pytest.approx(1e-8)


@pytest.mark.slow
def test_profile_errors(table):
    fits = fit(table, draws=0, fixed={"tau": 0.2})
    name = fits.languages[0]
    for arguments, told in (
        ((["zeta"], name), "no coefficient 'zeta'"),
        ((["tau"], name), "tau was held"),
        ((["alpha"], None), "name a language"),
    ):
        with pytest.raises(M3Error, match=told):
            profile(fits, table, *arguments)
    with pytest.raises(M3Error, match="points"):
        profile(fits, table, ["alpha"], name, points=3)
