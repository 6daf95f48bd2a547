"""Refits to resampled runs."""

import numpy as np
import pytest

from benchmarks.support.synthetic import draw_recipes, run_table, true_theta
from m3jax import M3Error, fit
from m3jax.fitting.uncertainty import cluster_table, weight_power


def test_clusters_are_listed_by_member():
    cluster = np.array([[0, 1, 0, 2, 1, 0]])
    table = cluster_table(cluster, np.array([[1.0, 1, 1, 1, 1, 0]]))
    assert table["size"][0].tolist() == [2, 2, 1, 0, 0, 0]
    for run in range(5):
        c, place = cluster[0, run], table["place"][0, run]
        assert table["member"][0, table["first"][0, c] + place] == run


def test_few_clusters_of_many_runs_widen_the_weights():
    clusters, runs, free = np.array([100, 33, 10]), np.array([100, 99, 100]), np.array([14, 14, 14])
    power = weight_power(clusters, runs, free, np.ones((3, 1)))[:, 0]
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
