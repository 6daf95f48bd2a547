"""The Levenberg–Marquardt step: alike from a compiled loop and from Python, for any objective."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax.fitting import fit_data_with_weak_prior
from m3jax.fitting.engine import (
    Box,
    Evaluation,
    StepControl,
    advance,
    first_state,
    minimise,
    minimise_on_host,
    solve_spd,
)
from m3jax.fitting.problem import prepare_problem
from m3jax.laws import get_law

DELTA, TOLERANCE = 1e-3, 1e-9
FLOAT64 = np.dtype("float64")


def solve_by_lapack(matrix, right):
    return np.linalg.solve(matrix, right[..., None])[..., 0]


LIBRARIES = {"numpy": (np, solve_by_lapack), "jax": (jnp, solve_spd)}


# Rounding grows from step to step: tenfold in three steps of the law with fourteen coefficients.
@pytest.mark.parametrize(
    ("name", "iterations"), [("chinchilla", 31), pytest.param("m3", 12, marks=pytest.mark.slow)]
)
def test_the_compiled_and_the_host_driver_take_the_same_iterates(name, iterations):
    law, table = get_law(name), run_table(true_theta(3, 4), 60, 0.005, 6)
    with jax.enable_x64(True):
        problem, _, _ = prepare_problem(law, table.batch(), {}, None, "none")
        space = problem.space(law)
        data = fit_data_with_weak_prior(problem, space, "weak", np.full(3, 1e-2), np.full(3, DELTA))
        start = space.draw(1, np.random.default_rng(0))[:, 0]
        start = np.where(problem.free, start, space.to_x(problem.held))
        fit = partial(minimise, law, tolerance=TOLERANCE)
        compiled = jax.jit(jax.vmap(lambda x, d, n: fit(x, d, max_iterations=n), (0, 0, None)))

        def on_host(iterations, control):
            return minimise_on_host(law, start, data, max_iterations=iterations, control=control)

        control = StepControl.of(TOLERANCE, FLOAT64, xp=np)
        for number in range(1, iterations + 1):
            there, here = compiled(start, data, number), on_host(number, control)
            np.testing.assert_allclose(here.x, there.x, rtol=0, atol=1e-9)
            np.testing.assert_allclose(here.value, there.value, rtol=1e-9)
            np.testing.assert_array_equal(here.iterations, there.iterations)
            np.testing.assert_array_equal(here.converged, there.converged)
        assert np.all(np.abs(here.x - start).max(axis=1) > 0.1)
        # A step that differs by a millionth would have been seen.
        other = control._replace(first_damping=control.first_damping * (1 + 1e-6))
        assert np.abs(on_host(iterations, other).x - there.x).max() > 1e-8


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_quadratic_is_minimised_within_bounds(library):
    """Two problems side by side, of which one is held at a bound and at a variable not free."""
    xp, solve = LIBRARIES[library]
    hessian = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    centre = np.array([[1.0, -2.0, 0.5], [1.0, -2.0, 0.5]])
    box = Box(
        np.full((2, 3), -10.0),
        np.array([[10.0, 10.0, 10.0], [0.5, 10.0, 10.0]]),
        np.array([[True, True, True], [True, True, False]]),
    )
    with jax.enable_x64(True), np.errstate(invalid="ignore", divide="ignore"):
        control = StepControl.of(TOLERANCE, FLOAT64, xp=xp)
        state = first_state(xp.zeros((2, 3)), box, control, xp)
        for _ in range(60):
            off = state.trial - centre
            gradient = off @ hessian
            # Not below zero, where a gain relative to the objective would mean little.
            value = 1.0 + 0.5 * (off * gradient).sum(axis=-1)
            told = Evaluation(value, gradient, xp.asarray(np.stack([hessian, hessian])))
            state = advance(state, told, box, control, solve=solve, xp=xp)
    # x₀ at its bound and x₂ at its start: ∂F/∂x₁ = 0 gives x₁.
    held = -2.0 - (0.5 * (0.5 - 1.0) + 0.2 * (0.0 - 0.5)) / 1.0
    assert np.all(state.converged)
    np.testing.assert_allclose(state.x, [centre[0], [0.5, held, 0.0]], atol=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_start_without_a_finite_objective_is_lost(library):
    xp, solve = LIBRARIES[library]
    one = np.ones((1, 2))
    box = Box(-one, one, one > 0)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        control = StepControl.of(1e-3, FLOAT64, xp=xp)
        state = first_state(xp.zeros((1, 2)), box, control, xp)
        told = Evaluation(xp.full(1, np.nan), xp.zeros((1, 2)), xp.zeros((1, 2, 2)))
        state = advance(state, told, box, control, solve=solve, xp=xp)
    assert bool(state.done[0])
    assert not bool(state.converged[0])
    assert np.isposinf(state.current.value[0])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_step_uphill_is_refused_and_damped(library):
    xp, solve = LIBRARIES[library]
    one = np.ones((1, 1))
    box = Box(-10 * one, 10 * one, one > 0)
    with jax.enable_x64(True):
        control = StepControl.of(TOLERANCE, FLOAT64, xp=xp)
        state = first_state(xp.zeros((1, 1)), box, control, xp)
        downhill = Evaluation(xp.ones(1), xp.ones((1, 1)), xp.ones((1, 1, 1)))
        state = advance(state, downhill, box, control, solve=solve, xp=xp)
        first = state
        uphill = Evaluation(xp.full(1, 2.0), xp.ones((1, 1)), xp.ones((1, 1, 1)))
        state = advance(state, uphill, box, control, solve=solve, xp=xp)
    assert float(first.trial[0, 0]) == pytest.approx(-1.0, rel=1e-3)
    assert float(state.x[0, 0]) == 0.0
    assert float(state.damping[0]) == pytest.approx(4 * float(first.damping[0]))
    assert -1.0 < float(state.trial[0, 0]) < 0.0
