"""The recipe optimiser: against a dense grid polished by scipy, limits, regimes, bad input."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, Recipe, RunTable, fit, optimize
from m3jax.optimization import LIMITS
from m3jax.recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE

BOUNDS = {
    "n_params": (1e7, 1e10),
    "epochs": (1.0, 40.0),
    "target_ratio": (0.05, 1.0),
    "final_ratio": (0.05, 1.0),
    "stage_fraction": (0.1, 0.6),
    "first_share": 0.0,
}


@pytest.fixture(scope="module")
def fits():
    """`m3` fitted to noisy runs of twenty made-up languages."""
    return fit(run_table(true_theta(20, 11), 60, 0.005, 12), "m3", draws=8, starts=32)


@cache
def compiled(law):
    """Log loss at (theta, target_tokens, z) and its gradient in z = log (N, k, r, r_f)."""

    def log_loss(theta, target_tokens, z):
        n, k, r, f = z[..., 0], z[..., 1], z[..., 2], z[..., 3]
        recipe = Recipe(
            jnp.exp(n), target_tokens, jnp.exp(k), jnp.exp(r), jnp.exp(f), 0.0 * jnp.exp(r)
        )
        return law.log_loss_theta(theta, recipe)

    return jax.jit(log_loss), jax.jit(jax.grad(log_loss, argnums=2))


def reference(law, theta, compute, target_tokens):
    """Best log loss under BOUNDS: dense grid in (N, k, r, r_f), the best polished by SLSQP."""
    low = np.log([1e7, 1.0, 0.05])
    high = np.log([1e10, 40.0, 1.0])

    value, gradient = (partial(f, theta, target_tokens) for f in compiled(law))
    budget = np.log(compute / (6 * target_tokens))
    axes = [np.linspace(a, b, 25) for a, b in zip(low, high, strict=True)]
    best = np.inf
    for stages in (1, 2):
        # One stage: r_f = r. Two, nothing of the target in the first: r_f = r / s.
        fraction = [1.0] if stages == 1 else np.geomspace(0.1, 0.6, 12)
        grid = np.stack(np.meshgrid(*axes, -np.log(fraction), indexing="ij"), -1).reshape(-1, 4)
        grid[:, 3] += grid[:, 2]
        losses = np.asarray(value(grid))
        ok = (grid[:, 0] + grid[:, 1] - grid[:, 2] <= budget) & (grid[:, 3] <= 1e-12)
        grid, losses = grid[ok], losses[ok]
        spread = (np.log(1 / 0.6), np.log(1 / 0.1)) if stages == 2 else (0.0, 0.0)
        limits = [
            {"type": "ineq", "fun": lambda z: budget - z[0] - z[1] + z[2]},
            {"type": "ineq", "fun": lambda z, s=spread: z[3] - z[2] - s[0]},
            {"type": "ineq", "fun": lambda z, s=spread: s[1] - z[3] + z[2]},
        ]
        for start in grid[np.argsort(losses)[:3]]:
            found = minimize(
                lambda z: float(value(z)),
                start,
                jac=lambda z: np.asarray(gradient(z)),
                bounds=[*zip(low, high, strict=True), (np.log(0.05), 0.0)],
                constraints=limits,
                method="SLSQP",
                options={"ftol": 1e-14, "maxiter": 300},
            )
            kept = min(float(np.min(c["fun"](found.x))) for c in limits) > -1e-9
            best = min(best, found.fun if kept else np.inf, float(losses.min()))
    return best


@pytest.mark.slow
@pytest.mark.parametrize(("compute", "target_tokens"), [(3e19, 1e8), (3e18, 1e9), (3e20, 2e7)])
def test_no_dense_grid_polished_by_scipy_does_better(fits, compute, target_tokens):
    found = optimize(fits, compute=compute, target_tokens=target_tokens, draws=0, **BOUNDS)
    assert found.kkt.max() < 1e-8
    with jax.enable_x64(True):
        expected = [
            reference(fits.law, jnp.asarray(theta), compute, target_tokens) for theta in fits.theta
        ]
    np.testing.assert_allclose(found.loss[:, 0, 0], np.exp(expected), rtol=1e-6)


def test_every_limit_is_kept(fits):
    found = optimize(
        fits,
        compute=[1e18, 1e20],
        target_tokens=[1e7, 1e8],
        epochs=(1.0, 10.0),
        n_params=(2e7, 5e8),
        final_ratio=(0.05, 0.8),
        max_total_tokens=2e10,
        max_source_tokens=3e9,
        draws=4,
    )
    slack = 1 + 1e-7
    r = found.recipe
    assert np.all(r.compute <= np.array([1e18, 1e20])[None, :, None] * slack)
    assert np.all((r.epochs >= 1 / slack) & (r.epochs <= 10 * slack))
    assert np.all((r.n_params >= 2e7 / slack) & (r.n_params <= 5e8 * slack))
    assert np.all(r.total_tokens <= 2e10 * slack)
    assert np.all(r.source_tokens <= 3e9 * slack)
    assert np.all(r.target_ratio <= r.final_ratio * slack)
    # A final ratio is that of a final stage; recipes without one keep their own.
    two = found.regime == TWO_STAGE
    assert two.any()
    assert np.all(r.final_ratio[two] <= 0.8 * slack)
    assert np.all(r.final_ratio[~two] == r.target_ratio[~two])
    for i, j, t in np.argwhere(found.regime == TWO_STAGE):
        low, high = fits.scopes[i].ranges["stage_fraction"]
        assert low / slack <= found.at(i, j, t).stage_fraction <= high * slack
    assert {name for p in np.ndindex(found.loss.shape) for name in found.active(*p)} <= set(LIMITS)
    assert np.all(found.kkt < 1e-6)


@pytest.mark.slow
def test_more_never_hurts(fits):
    found = optimize(
        fits, compute=np.geomspace(1e18, 1e21, 6), target_tokens=[1e7, 1e8], draws=0, **BOUNDS
    )
    assert np.all(np.diff(found.loss, axis=1) <= 1e-9)


def test_multipliers_are_the_price_of_compute(fits):
    budgets = 3e19 * np.exp([-1e-4, 0.0, 1e-4])
    found = optimize(fits, compute=budgets, target_tokens=1e8, draws=0, **BOUNDS)
    log_loss = np.log(found.loss[:, :, 0])
    slope = (log_loss[:, 2] - log_loss[:, 0]) / 2e-4
    np.testing.assert_allclose(-found.multipliers[:, 1, 0, 0], slope, rtol=1e-2, atol=1e-7)


def test_the_best_regime_is_the_best(fits):
    found = optimize(fits, compute=[3e18, 3e20], target_tokens=[1e7, 1e9], draws=8, **BOUNDS)
    np.testing.assert_allclose(found.loss, found.by_regime_loss.min(axis=-1), rtol=1e-8)
    assert np.all(found.by_regime.target_ratio[..., MONOLINGUAL] == 1.0)
    np.testing.assert_allclose(
        found.by_regime.final_ratio[..., SINGLE_STAGE],
        found.by_regime.target_ratio[..., SINGLE_STAGE],
    )
    assert np.all(found.regime_share.sum(axis=-1) == pytest.approx(1.0))
    assert np.all(found.regret >= 0)
    assert np.all(found.loss_low <= found.loss_high)
    assert np.all(found.recipe_low.epochs <= found.recipe_high.epochs)


def test_batches_agree_with_single_problems(fits):
    one = fits.languages[3]
    many = optimize(fits, compute=[1e19, 1e20], target_tokens=[1e8, 3e8], draws=4)
    alone = optimize(fits, compute=1e20, target_tokens=3e8, languages=[one], draws=4)
    assert alone.loss[0, 0, 0] == pytest.approx(many.loss[3, 1, 1], rel=1e-9)
    assert alone.loss_high[0, 0, 0] == pytest.approx(many.loss_high[3, 1, 1], rel=1e-6)


def test_corpus_sizes_by_language(fits):
    names = fits.languages[:2]
    sizes = {names[0]: 1e8, names[1]: 3e8}
    found = optimize(fits, compute=1e19, target_tokens=sizes, languages=names, draws=0)
    assert found.target_tokens.tolist() == [[1e8], [3e8]]
    with pytest.raises(M3Error, match="no entry for language"):
        optimize(fits, compute=1e19, target_tokens=sizes, draws=0)


# What the runs say nothing about


@pytest.fixture(scope="module")
def wikipedia(shared_data):
    runs = RunTable.read(
        shared_data / "repeat_aware" / "runs_wikipedia.csv",
        columns={
            "n_params": "params_nominal",
            "target_tokens": "hq_unique_tokens_approx",
            "target_ratio": "r_target",
            "loss": "hq_val_loss",
        },
    )
    return fit(runs, "m3", draws=4)


@pytest.mark.slow
def test_unvaried_variables_are_held_and_said(wikipedia):
    found = optimize(wikipedia, compute=1.4e18, target_tokens=1.17e8)
    assert found.recipe.n_params[0, 0, 0] == pytest.approx(1.24e8, rel=1e-9)
    assert found.regime[0, 0, 0] != TWO_STAGE
    assert not np.isfinite(found.by_regime_loss[0, 0, 0, TWO_STAGE])
    told = " ".join(found.notes[0])
    assert "n_params held at 1.24e+08: the runs do not vary it" in told
    assert "one stage only" in told
    record = found.records()[0]
    assert record["loss_two_stage"] is None


def test_bounds_that_exclude_what_was_run_are_refused(wikipedia):
    words = (
        r"n_params=\(1.00B, 10.0B\) lies 8.06× above .* 124M: they do not vary .* extrapolate=8.1"
    )
    with pytest.raises(M3Error, match=words):
        optimize(wikipedia, compute=1e19, target_tokens=1.17e8, n_params=(1e9, 1e10))


def test_extrapolation_on_demand(wikipedia):
    found = optimize(
        wikipedia, compute=1.4e18, target_tokens=1.17e8, n_params=(6e7, 6e7), extrapolate=3
    )
    assert found.recipe.n_params[0, 0, 0] == pytest.approx(6e7)
    assert np.isfinite(found.by_regime_loss[0, 0, 0, TWO_STAGE])


@pytest.mark.slow
def test_a_law_without_ratios_is_held_to_one_language(fits):
    plain = fit(run_table(true_theta(1, 2), 40, 0.005, 3), "chinchilla", draws=0, starts=16)
    found = optimize(plain, compute=1e19, target_tokens=1e8)
    assert found.recipe.target_ratio[0, 0, 0] == 1.0
    assert "law chinchilla does not see it" in " ".join(found.notes[0])


# Limits that cannot be kept


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute": 1e9}, r"compute: the least demanding .* needs .* FLOP, the limit is 1e\+09"),
        ({"compute": 1e19, "max_total_tokens": 1e3}, "total_tokens: the least demanding"),
        (
            {"compute": 1e19, "target_ratio": (0.1, 0.2), "max_source_tokens": 1e3},
            "source_tokens: the least demanding .* the limit is 1000",
        ),
    ],
)
def test_an_impossible_problem_names_the_limit(fits, options, words):
    with pytest.raises(M3Error, match=words):
        optimize(fits, target_tokens=1e8, draws=0, **options)


def test_some_impossible_problems_do_not_lose_the_others(fits):
    found = optimize(fits, compute=[1e9, 1e19], target_tokens=1e8, draws=4)
    assert found.feasible[:, :, 0].tolist() == [[False, True]] * len(fits.languages)
    assert "compute" in found.infeasible[0, 0, 0]
    row = found.records()[0]
    assert row["loss"] is None
    assert row["infeasible"]
    for leaf in jax.tree.leaves((found.recipe, found.recipe_low, found.recipe_high, found.loss)):
        assert not np.isnan(leaf).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute": -1.0}, "compute: expected positive"),
        ({"compute": float("nan")}, "compute: expected positive"),
        ({"compute": "much"}, "compute: expected positive"),
        ({"target_tokens": []}, "target_tokens: expected positive"),
        ({"epochs": (3.0, 2.0)}, "epochs: expected a pair .* 0 < low <= high, got"),
        ({"target_ratio": (0.1, 2.0)}, "target_ratio: expected a pair .* 0 < low <= high <= 1"),
        ({"n_params": 5.0}, "n_params: expected a pair"),
        ({"first_share": 1.0}, "first_share"),
        ({"max_source_tokens": 0.0}, "max_source_tokens"),
        ({"level": 2.0}, "level"),
        ({"languages": ["Klingon"]}, "unknown language 'Klingon'"),
        ({"languages": []}, "languages: expected one or more names"),
    ],
)
def test_bad_options_are_refused(fits, options, words):
    with pytest.raises(M3Error, match=words):
        optimize(fits, **{"compute": 1e19, "target_tokens": 1e8, **options})
