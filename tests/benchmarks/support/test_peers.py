"""The peers: the same objective in NumPy, solvers that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import fit_tools
from benchmarks.support.peers import PEERS, Pool, minpack, robust
from benchmarks.support.synthetic import TRUE_LAWS
from benchmarks.support.work import Work, peer_problem
from m3jax.fitting import huber


def tiny_work(law="m3", runs=40):
    return Work(law, languages=2, runs=runs, noise=0.005, delta=1e-3, seed=0)


def tiny(law="m3", runs=40):
    return peer_problem(tiny_work(law, runs))


@pytest.mark.parametrize("law", TRUE_LAWS)
def test_the_peers_minimise_the_same_objective_with_an_exact_jacobian(law):
    problem = tiny(law)
    residuals = problem.residuals(1)
    recipe = jax.tree.map(lambda leaf: leaf[1], problem.recipe)
    with jax.enable_x64(True):

        @jax.jit
        def expected(x):
            predicted = problem.law.log_loss_theta(problem.centre[1] @ x, recipe)
            return predicted - problem.log_loss[1]

        exact = jax.jit(jax.jacfwd(expected))
        for x in problem.starts(3)[1]:
            np.testing.assert_allclose(residuals(x), expected(x), atol=1e-12)
            jacobian = exact(jnp.asarray(x))
            np.testing.assert_allclose(residuals.transposed_jacobian(x).T, jacobian, atol=1e-11)
            objective = jnp.sum(huber(expected(x), 1e-3))
            assert residuals.objective(x) == pytest.approx(float(objective), rel=1e-10)
            values, slope = robust(residuals, x)
            assert np.sum(values**2) / 2 == pytest.approx(float(objective), rel=1e-10)
            numeric = (np.abs(values + 1e-7 * slope) - np.abs(values)) / 1e-7
            np.testing.assert_allclose(numeric, np.sign(values) * slope, atol=1e-6)


def test_starts_lie_in_their_ranges_and_fewer_are_the_first_of_more():
    problem = tiny()
    starts = problem.starts(4)
    assert starts.shape == (2, 4, 14)
    np.testing.assert_array_equal(problem.starts(2), starts[:, :2])
    assert np.all((starts >= problem.start_low[:, None]) & (starts <= problem.start_high[:, None]))
    theta = np.einsum("lij,lj->li", problem.centre, starts[:, 0])
    np.testing.assert_allclose(problem.to_x(theta), starts[:, 0], atol=1e-9)


def test_scipys_solvers_agree():
    residuals, start = tiny(runs=60).residuals(0), tiny(runs=60).starts(1)[0]
    found = {
        name: PEERS[name].fit(residuals, start, PEERS[name].efforts[-1])
        for name in ("scipy_least_squares", "scipy_huber", "scipy_lbfgsb")
    }
    objective = [residuals.objective(x) for x in found.values()]
    assert max(objective) <= 1.001 * min(objective)
    assert min(objective) < 0.1 * residuals.objective(start[0])
    for x in found.values():
        assert np.all((x >= residuals.lower - 1e-9) & (x <= residuals.upper + 1e-9))


@pytest.mark.parametrize("peer", ["plain_vmap", "optimistix"])
def test_vmapped_solvers_agree_with_scipy(peer):
    if peer == "optimistix":
        pytest.importorskip("optimistix")
    problem = tiny("chinchilla")
    timed = fit_tools.run_tool(peer, tiny_work("chinchilla"), 2, 60)
    assert timed.seconds > 0
    for i, at in enumerate(timed.result):
        residuals = problem.residuals(i)
        best = residuals.objective(minpack(residuals, problem.starts(1)[i, 0], 1e-8))
        assert residuals.objective(at) <= 1.001 * best


@pytest.mark.parametrize("peer", ["chinchilla", "simple_scaling_laws"])
def test_packages_fit_the_chinchilla_law(peer):
    pytest.importorskip(PEERS[peer].package[0])
    problem = tiny("chinchilla")
    residuals = problem.residuals(0)
    # In a worker, since the package forks.
    pool = Pool([residuals], 1)
    try:
        x, seconds = pool.fit(peer, 0.0, problem.starts(1)[:1])
    finally:
        pool.close()
    assert seconds[0] > 0
    best = residuals.objective(minpack(residuals, problem.starts(1)[0, 0], 1e-8))
    # The one minimises this objective, the other squares.
    assert residuals.objective(x[0]) <= (1.001 if peer == "chinchilla" else 1.5) * best
