"""The fit: published numbers, recovery of known coefficients, options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, fit
from m3jax.fitting import huber

MUENNIGHOFF = {"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"}


BASE = {
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "E": float(np.exp(0.6254804)),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}


PUBLISHED = {"huber_delta": 1e-3, "draws": 0}  # as the objectives that were published


@pytest.fixture(scope="module")
def muennighoff(shared_data):
    return RunTable.read(shared_data / "muennighoff" / "fit_182.csv", columns=MUENNIGHOFF)


@pytest.mark.slow
def test_m3_on_muennighoff(muennighoff):
    fits = fit(muennighoff, "m3", **PUBLISHED)
    assert fits.objective[0] <= 0.00365
    assert fits.r2[0] >= 0.98
    assert fits.converged.all()


@pytest.mark.slow
def test_data_constrained_on_muennighoff(muennighoff):
    free = fit(muennighoff, "data_constrained", **PUBLISHED)
    assert free.objective[0] <= 0.0066
    frozen = fit(muennighoff, "data_constrained", fixed=BASE, **PUBLISHED)
    assert frozen.objective[0] <= 0.015826
    assert {n: frozen.coefficients()[n] for n in BASE} == pytest.approx(BASE, rel=1e-12)


@pytest.mark.slow
def test_data_constrained_at_the_published_coefficients(muennighoff):
    published = {**BASE, "R_D": 15.387756, "R_N": 5.309743}
    fits = fit(muennighoff, "data_constrained", fixed=published, **PUBLISHED)
    assert fits.objective[0] == pytest.approx(0.0158259366, rel=1e-6)
    assert fits.r2[0] == pytest.approx(0.7722046, rel=1e-5)


@pytest.mark.slow
def test_chinchilla_is_reproduced(shared_data):
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv").drop_highest(5)
    assert len(runs) == 240
    fits = fit(runs, "chinchilla", **PUBLISHED | {"draws": 200, "intervals": "bootstrap"})
    assert fits.objective[0] == pytest.approx(0.001018274, rel=1e-4)
    published = {"E": 1.817236, "A": 477.842, "alpha": 0.347313, "B": 2143.864, "beta": 0.367183}
    assert {k: f"{v:.3g}" for k, v in fits.coefficients().items()} == {
        k: f"{v:.3g}" for k, v in published.items()
    }
    exact = fit(runs, "chinchilla", prior="none", **PUBLISHED)
    assert exact.coefficients() == pytest.approx(published, rel=3e-4)
    assert exact.objective[0] <= 0.001018274 * (1 + 1e-6)
    # The published intervals come from another likelihood: ours must overlap and be as wide.
    low, high = fits.intervals()["alpha"]
    assert 0.31 < low < 0.347 < high < 0.38


@pytest.mark.slow
def test_m3_contains_chinchilla(shared_data):
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv").drop_highest(5)
    fits = fit(runs, "m3", **PUBLISHED)
    assert fits.objective[0] == pytest.approx(0.001018274, rel=1e-4)
    told = " ".join(fits.messages[0])
    assert "no run goes beyond one epoch" in told
    assert "no run has source text" in told
    assert fits.frozen[0].sum() == 9


@pytest.mark.slow
def test_noiseless_coefficients_are_recovered():
    theta = true_theta(2, 1)
    fits = fit(run_table(theta, 120, 0.0, 2), "m3", draws=0, prior="none")
    assert fits.theta == pytest.approx(theta, rel=1e-4, abs=1e-4)
    assert np.all(fits.objective < 1e-12)


@pytest.mark.slow
def test_the_seed_decides_and_nothing_else(synthetic):
    options = {"draws": 4, "starts": 16}
    both = fit(synthetic, seed=1, **options)
    again = fit(synthetic, seed=1, **options)
    np.testing.assert_array_equal(both.theta, again.theta)
    np.testing.assert_array_equal(both.draws, again.draws)
    name = both.languages[1]
    alone = fit(synthetic.for_language(name), seed=1, **options)
    np.testing.assert_allclose(alone.theta[0], both.theta[1], rtol=1e-7, atol=1e-7)
    other = fit(synthetic, seed=2, **options)
    assert not np.array_equal(both.draws, other.draws)


@pytest.mark.slow
def test_weights_are_repeats(synthetic):
    name = synthetic.languages[0]
    one = synthetic.for_language(name)
    double = dataclasses.replace(one, weight=np.where(np.arange(len(one)) < 40, 2.0, 1.0))
    frame = one.to_frame()
    repeated = RunTable.from_frame(
        pd.concat([frame, frame.iloc[:40].assign(run_id=lambda f: f.run_id + "b")])
    )
    # By weight as many runs, but fewer to say what they scatter by.
    options = {"draws": 0, "starts": 16, "prior": "none", "huber_delta": 1e-3}
    np.testing.assert_allclose(
        fit(double, **options).objective, fit(repeated, **options).objective, rtol=1e-6
    )


def test_huber_is_quadratic_then_linear():
    with jax.enable_x64(True):
        e = jnp.array([0.0, 5e-4, -5e-4, 1e-3, 1.0])
        expected = [0.0, 1.25e-7, 1.25e-7, 5e-7, 1e-3 * (1 - 5e-4)]
        np.testing.assert_allclose(huber(e, 1e-3), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"law": "m4"}, "unknown law 'm4'; known: m3"),
        ({"fixed": {"zz": 1.0}}, "no coefficient 'zz'"),
        ({"fixed": {"alpha": -1.0}}, "alpha = -1.0: expected"),
        ({"huber_delta": 0.0}, "huber_delta"),
        ({"starts": 0}, "starts: expected a whole number >= 1, got 0"),
        ({"starts": 2**63}, r"starts: expected at most 1e\+06, got 9223372036854775808"),
        ({"draws": 2**40}, r"draws: expected at most 1e\+06, got 1099511627776"),
        ({"draws": 1}, "draws: expected 0 or a whole number >= 2, got 1"),
        ({"start": 8}, "fit: unknown option 'start'; did you mean 'starts'?"),
        ({"level": 1.0}, "level"),
        ({"prior": "strong"}, "prior: expected 'weak', 'none', 'public' or the path"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
    ],
)
def test_bad_options_are_refused(synthetic, options, words):
    with pytest.raises(M3Error, match=words):
        fit(synthetic, **options)


@pytest.mark.slow
def test_every_law_fits_its_own_runs():
    theta = true_theta(1, 7)
    runs = run_table(theta, 60, 0.003, 8)
    for name in ("m3_posynomial", "chinchilla", "data_constrained"):
        fits = fit(runs, name, draws=0, starts=16, engine="batch")
        assert fits.converged.all()
        assert 0 < fits.r2[0] < 1
