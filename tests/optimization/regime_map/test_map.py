"""The regime map: thresholds against closed forms and dense searches, and honest verdicts."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, Recipe
from m3jax.cli import app
from m3jax.fitting import Fits
from m3jax.laws import get_law
from m3jax.optimization import RegimeMap, map_regimes
from m3jax.optimization.regime_map import (
    optimal_corpus,
)
from m3jax.output.figures import draw_regime_map, to_png
from m3jax.recipe import REGIMES

MONO, ONE, TWO = REGIMES
COMPUTE, SIZES = (1e18, 1e20), (1e7, 1e10)
GRID = {"budgets": 4, "sizes": 12}
# All questions have the same limits, which are compiled once.
LIMITS = {
    "stage_fraction": (0.02, 1.0),
    "epochs": (0.05, 20.0),
    "n_params": (1e7, 1e15),
    "first_share": 0.0,
}
BASE = {
    "E": 1.8, "A": 400.0, "alpha": 0.34, "B": 400.0, "beta": 0.28, "gamma": 0.06, "eta": 0.05,
    "P": 1e-60, "delta": 1.0, "kappa": 0.5, "omega": 0.6, "theta": 0.0, "R": 30.0, "tau": 0.1,
}  # fmt: skip
REPEATS = {"P": 5e-3}  # a penalty that matters


def fits_of(draws: int = 0, **changes: float) -> Fits:
    """One language whose coefficients are known, as if they had been fitted."""
    fits, law = _recipes.fits_of(1, 3, "m3"), get_law("m3")
    with jax.enable_x64(True):
        theta = np.asarray(law.to_theta(BASE | changes))[None]
    jitter = np.random.default_rng(0).normal(0, 0.01, (1, draws, len(law.names)))
    draws = theta[:, None] * (1 + jitter)
    return dataclasses.replace(
        fits, theta=theta, draws=draws, bends=np.zeros((*draws.shape[:2], 5))
    )


def mapped(fits: Fits, **options) -> RegimeMap:
    # Any stage is allowed, so that r_f > r is at every r < 1; two stages then dominate where eta
    # is positive, and one stage where it is negative.
    return map_regimes(
        fits, compute=COMPUTE, target_tokens=SIZES, **{**GRID, **LIMITS, "draws": 0, **options}
    )


@jax.jit
def dense(theta, compute, tokens, log_k, log_r):
    k, r = jnp.exp(log_k), jnp.exp(log_r)
    # With eta > 0 and theta = 0 the last stage is all target text.
    recipe = Recipe(compute * r / (6 * k * tokens), tokens + 0 * k, k, r, 1 + 0 * k, 0 * k)
    return get_law("m3").log_loss_theta(theta, recipe)


def best_losses(theta: np.ndarray, compute: float, tokens: float) -> np.ndarray:
    """Lowest log loss of the monolingual and the two-stage regime: a dense search, zoomed into."""
    bottom, top = np.log(0.05), np.log([20.0, 1.0])
    out = []
    with jax.enable_x64(True):
        for two in (False, True):
            low, high = np.full(2, bottom), top
            for _ in range(6):
                axes = [np.linspace(a, b, 201) for a, b in zip(low, high, strict=True)]
                log_k, log_r = np.meshgrid(*axes, indexing="ij")
                log_r = log_r if two else 0 * log_r
                loss = np.asarray(dense(theta, compute, tokens, log_k, log_r))
                i = np.unravel_index(np.argmin(loss), loss.shape)
                middle, width = np.array([log_k[i], log_r[i]]), (high - low) / 20
                low, high = (np.clip(middle + side * width, bottom, top) for side in (-1, 1))
            out.append(loss.min())
    return np.array(out)


@pytest.fixture(scope="module")
def direct() -> RegimeMap:
    return mapped(fits_of())


def test_direct_switch_is_found_where_the_closed_form_has_it(direct):
    # Without a penalty as many epochs as allowed are best, and all target text last. Source text
    # is worth it while d log(base)/d log D < −gamma at D = 20·D_T, with N = C/(6·D).
    assert direct.guidelines[0].holds
    assert {(c.above, c.below) for c in direct.crossings} == {(MONO, TWO)}
    assert len(direct.crossings) == GRID["budgets"]
    for crossing in direct.crossings:
        low, high = np.log(SIZES)
        for _ in range(60):
            x = (low + high) / 2
            d = 20 * np.exp(x)
            a = BASE["A"] * (crossing.compute / (6 * d)) ** -BASE["alpha"]
            b = BASE["B"] * d ** -BASE["beta"]
            slope = (BASE["alpha"] * a - BASE["beta"] * b) / (BASE["E"] + a + b)
            low, high = (x, high) if slope < -BASE["gamma"] else (low, x)
        assert crossing.target_tokens == pytest.approx(np.exp(x), rel=0.01)


def test_direct_switch_is_found_where_a_dense_search_has_it():
    fits = fits_of(**REPEATS)
    found = mapped(fits)
    assert found.guidelines[0].holds
    for crossing in (found.crossings[0], found.crossings[-1]):
        low, high = np.log(crossing.target_tokens) + np.array([-0.5, 0.5])
        for _ in range(9):  # to 0.2%
            x = (low + high) / 2
            mono, two = best_losses(fits.theta[0], crossing.compute, np.exp(x))
            low, high = (x, high) if two < mono - 1e-7 else (low, x)
        assert crossing.target_tokens == pytest.approx(np.exp((low + high) / 2), rel=0.01)


def test_direct_switch_is_not_claimed_where_concentration_hurts():
    found = mapped(fits_of(**REPEATS, eta=-0.02))
    assert found.guidelines[0].holds is False
    assert {(c.above, c.below) for c in found.crossings} == {(MONO, ONE)}
    assert "multilingual single-stage is best" in found.guidelines[0].evidence


def test_direct_switch_is_not_claimed_where_there_is_a_band():
    # Concentration makes repeats much worse: it pays only where source text stands in for them.
    found = mapped(fits_of(P=0.5, theta=2.0))
    assert {(c.above, c.below) for c in found.crossings} == {(MONO, ONE), (ONE, TWO)}
    assert len(found.crossings) == 2 * GRID["budgets"]
    assert found.guidelines[0].holds is False


def test_corpus_size_and_its_exponent(direct):
    # Without a penalty D* is Chinchilla's: (B·beta/(A·alpha))^(1/(alpha+beta))·(C/6)^(alpha/(…)).
    total = BASE["alpha"] + BASE["beta"]
    ratio = (BASE["B"] * BASE["beta"]) / (BASE["A"] * BASE["alpha"])
    expected = ratio ** (1 / total) * (direct.compute / 6) ** (BASE["alpha"] / total)
    np.testing.assert_allclose(direct.optimal_tokens, expected, rtol=1e-9)
    assert direct.exponent == pytest.approx(direct.expected_exponent, abs=1e-9)
    assert optimal_corpus(get_law("m3"), fits_of(B=1e-12).theta, np.array([1e18])) == pytest.approx(
        np.inf
    )


def test_epochs_at_a_bound_do_not_count_as_a_collapse(direct):
    # The most epochs allowed are best everywhere below D*.
    assert not direct.free[:, direct.relative_tokens < 0.03].any()


def test_draws_give_intervals_and_shares():
    found = map_regimes(
        fits_of(draws=3, **REPEATS),
        compute=COMPUTE,
        target_tokens=SIZES,
        budgets=2,
        sizes=8,
        **LIMITS,
    )
    assert found.n_draws == 3
    np.testing.assert_allclose(found.regime_share.sum(axis=-1), 1.0)
    assert 0 <= found.guidelines[0].share <= 1
    for c in found.crossings:
        assert c.low < c.target_tokens < c.high
        assert c.share > 0.5


def test_bad_ranges_are_refused():
    fits = fits_of()
    with pytest.raises(M3Error, match=r"compute: expected a pair .* 0 < low <= high"):
        map_regimes(fits, compute=(1e20, 1e18), target_tokens=SIZES)
    with pytest.raises(M3Error, match="budgets: expected a whole number >= 2"):
        map_regimes(fits, compute=COMPUTE, target_tokens=SIZES, budgets=1)
    with pytest.raises(M3Error, match=r"no recipe is allowed anywhere.*total_tokens"):
        mapped(fits, max_total_tokens=1.0)


def test_command_writes_tables_and_a_figure(tmp_path, direct):
    from typer.testing import CliRunner

    fits_of().save(tmp_path / "fits.json")
    line = ["map", str(tmp_path / "fits.json"), "-c", "1e18,1e20", "-t", "10M,10B"]
    line += ["--budgets", "4", "--sizes", "12", "--stage-fraction", "0.02,1", "--epochs", "0.05,20"]
    line += ["--n-params", "10M,1000T", "--first-share", "0", "-o", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, line)
    assert ended.exit_code == 0, ended.output
    assert "straight from monolingual to two stages: holds" in ended.output
    ended = CliRunner().invoke(app, [*line, "--json"])
    content = json.loads(ended.stdout)
    assert content["maps"][0]["guidelines"][0]["verdict"] == "holds"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"map.csv", "thresholds.csv", "epochs.csv", "map.png"}
    with open(tmp_path / "out" / "thresholds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["target_tokens"]) == pytest.approx(direct.crossings[0].target_tokens)


def test_figure_of_a_map_with_everything(direct):
    odd = dataclasses.replace(direct, language="$x^{ <b>", regime=direct.regime.copy())
    odd.regime[0, -1] = -1
    assert to_png(draw_regime_map(odd)).startswith(b"\x89PNG")
