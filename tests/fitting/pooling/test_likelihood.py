"""Where a language's posterior has its mean, against what integration says."""

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import draw_recipes, true_theta
from m3jax import RunTable, get_law
from m3jax.fitting.engine import CompiledDescents, refine
from m3jax.fitting.pooling import fit_data, local_likelihood, volume_gradient
from m3jax.fitting.problem import Prior, prepare_problem

NOISE, DELTA = 0.05, 10.0  # within delta the likelihood is normal
SHARE = 0.3  # of the weak prior's sd
LANGUAGES, RUNS, SAMPLES = 4, 3, 400_000


@pytest.fixture(scope="module")
def posterior():
    """Languages of three runs under a prior: their modes, what is known there, and true means."""
    law, rng = get_law("chinchilla"), np.random.default_rng(3)
    recipe = draw_recipes(LANGUAGES * RUNS, rng)
    theta = true_theta(LANGUAGES, 1, "chinchilla")[:, : len(law.names)]
    with jax.enable_x64(True):
        log_loss = jax.vmap(law.log_loss_theta)(np.repeat(theta, RUNS, axis=0), recipe)
        table = pd.DataFrame(
            {
                "language": np.repeat([f"l{i}" for i in range(LANGUAGES)], RUNS),
                **vars(recipe),
                "loss": np.exp(log_loss + NOISE * rng.standard_normal(len(log_loss))),
            }
        )
        problem, _, _ = prepare_problem(
            law, RunTable.from_frame(table).batch(), {}, Prior(), "partial"
        )
        space = problem.space(law)
        mean = np.tile(space.to_x(theta).mean(axis=0), (LANGUAGES, 1))
        sd = SHARE * space.prior_sd
        precision = np.eye(sd.shape[1]) / sd[:, :, None] ** 2
        data = fit_data(
            problem, space, mean, precision, np.full(LANGUAGES, NOISE**2), np.full(LANGUAGES, DELTA)
        )
        descents = CompiledDescents(law, "float64", 1e-10)
        mode = refine(descents, mean[:, None], data).x
        noise = np.full(LANGUAGES, NOISE)
        likelihood = local_likelihood(descents, mode, data, noise)
        inverse = likelihood.information + precision
        tilt = volume_gradient(descents, mode, data, noise, inverse)
        covariance = np.linalg.inv(inverse)
        means = []
        for i in range(LANGUAGES):
            x, log_proposal = _around(mode[i], covariance[i], rng)
            own = problem.mask[i]
            runs = jax.tree.map(lambda leaf, i=i, own=own: np.asarray(leaf)[i, own], problem.recipe)
            predicted = jax.vmap(law.log_loss_theta, (0, None))(x @ space.centre[i].T, runs)
            misfit = np.sum((np.asarray(predicted) - problem.log_loss[i, own]) ** 2, axis=1)
            log_weight = -misfit / (2 * NOISE**2) - np.sum(((x - mean[i]) / sd[i]) ** 2, axis=1) / 2
            inside = np.all((x >= space.lower[i]) & (x <= space.upper[i]), axis=1)
            log_weight = np.where(inside, log_weight - log_proposal, -np.inf)
            weight = np.exp(log_weight - log_weight.max())
            assert weight.sum() ** 2 / np.sum(weight**2) > 400
            means.append(weight @ x / weight.sum())
    return mode, covariance, tilt, np.array(means)


def _around(mode, covariance, rng):
    """Points of a wide Student's t around a mode, and the logarithms of their densities."""
    p, freedom = len(mode), 5
    normal = rng.standard_normal((SAMPLES, p))
    t = normal / np.sqrt(rng.chisquare(freedom, (SAMPLES, 1)) / freedom)
    x = mode + 1.5 * t @ np.linalg.cholesky(covariance).T
    return x, -(freedom + p) / 2 * np.log1p(np.sum(t**2, axis=1) / freedom)


def test_the_tilt_moves_the_mode_to_the_mean(posterior):
    mode, covariance, tilt, mean = posterior
    sd = np.sqrt(np.einsum("lii->li", covariance))
    moved = mode - np.einsum("lij,lj->li", covariance, tilt)
    before, after = np.abs(mode - mean) / sd, np.abs(moved - mean) / sd
    assert np.all(mode[:, 0] > mean[:, 0])  # all to the same side
    assert before[:, 0].mean() > 0.2
    assert after.mean() < 0.3 * before.mean()
    assert after.max() < 0.1
