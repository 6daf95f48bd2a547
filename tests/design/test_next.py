"""Proposed runs: what they may be, what they cost, and that they tell more than random ones."""

import csv
import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.studies.next_runs import BOUNDS, COMPUTE, TARGET_TOKENS, study
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, fit, next_runs
from m3jax.cli import main
from m3jax.design import (
    Belief,
    expected_regret,
    normals,
    random_design,
    random_runs,
    run_space,
    write_sheet,
)
from m3jax.recipe import TWO_STAGE

LANGUAGE, RUNS = "language0000", 7  # sizes are few, so that little is compiled
QUESTION = {
    "language": LANGUAGE,
    "runs": RUNS,
    "compute": COMPUTE,
    "target_tokens": TARGET_TOKENS,
    **BOUNDS,
}
BUDGET = 3e19


@pytest.fixture(scope="module")
def fits():
    return fit(run_table(true_theta(4, 3), 33, 0.01, 4), "m3", huber_delta=0.01, draws=60)


@pytest.fixture(scope="module")
def found(fits):
    return next_runs(fits, budget=BUDGET, starts=1, **QUESTION)


def check_within(fits, recipe, budget):
    """The runs' own bounds are the scope's, but for rounding."""
    scope, slack = fits.scopes[0], 1.02
    assert 0.5 * budget < recipe.compute.sum() <= budget
    for name in ("n_params", "epochs", "target_ratio", "total_tokens"):
        low, high = scope.ranges[name]
        values = np.asarray(getattr(recipe, name))
        assert np.all((values >= low / slack) & (values <= high * slack)), name
    low = scope.ranges["target_tokens"][0]
    assert np.all((recipe.target_tokens >= low) & (recipe.target_tokens <= TARGET_TOKENS))
    two = np.asarray(recipe.regime) == TWO_STAGE
    low, high = scope.ranges["stage_fraction"]
    stage = np.asarray(recipe.stage_fraction)[two]
    assert np.all((stage >= low / slack) & (stage <= high * slack))


@pytest.mark.slow
def test_runs_keep_ranges_and_budget(fits, found):
    check_within(fits, found.recipe, BUDGET)
    assert len(found) == RUNS
    for one in (found.recipe.n_params, found.recipe.target_tokens):
        np.testing.assert_array_equal(one, np.round(one))
    again = next_runs(fits, budget=BUDGET, starts=1, **QUESTION)
    jax.tree.map(np.testing.assert_array_equal, again.recipe, found.recipe)


@pytest.mark.slow
def test_random_runs_keep_them_too(fits):
    for seed in range(5):
        recipe = random_runs(
            fits,
            budget=BUDGET,
            language=LANGUAGE,
            runs=RUNS,
            target_tokens=TARGET_TOKENS,
            seed=seed,
        )
        check_within(fits, recipe, BUDGET)


@pytest.mark.slow
def test_gains_are_reported_against_random_runs(found):
    assert 0 <= found.regret_after < found.regret_now
    assert found.information > found.information_random > 0
    assert np.all((found.worth >= 0) & (found.worth <= 1))
    assert np.all(np.isfinite(found.predicted_loss))
    assert np.all(found.predicted_spread > 0)


@pytest.mark.slow
def test_d_optimal_runs_tell_most_of_the_coefficients(fits, found):
    sure = next_runs(fits, budget=BUDGET, starts=1, criterion="coefficients", **QUESTION)
    assert sure.information > max(found.information, 1.2 * sure.information_random)


@pytest.mark.slow
def test_sizes_on_a_ladder(fits):
    sizes = (3e7, 1.6e8, 4.1e8)
    options = {"most_tokens": 1e8, "reach": 1.0, "bounds": {}}
    given = LANGUAGE, fits.law, fits.scopes[0]
    space, _ = run_space(*given, ladder=sizes, **options)
    with pytest.raises(M3Error, match="no size of the ladder"):
        run_space(*given, ladder=(1e3,), **options)
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        for _ in range(5):
            recipe = space.rounded(*random_design(space, BUDGET, RUNS, rng))
            assert set(recipe.n_params) <= set(sizes)
            assert recipe.compute.sum() <= BUDGET * 1.02


@pytest.mark.slow
def test_losses_under_a_cap_and_epochs_in_a_range(fits):
    ranges = {"epochs": (1.0, 8.0)}
    one = next_runs(fits, budget=BUDGET, starts=1, max_loss=4.5, ranges=ranges, **QUESTION)
    assert np.all((one.recipe.epochs >= 1) & (one.recipe.epochs <= 8))
    assert np.all(one.predicted_loss <= 4.5 * 1.02)


# What the numbers mean


def linear_belief(samples=20000, runs=3, noise=0.5):
    """A law that is linear in two coefficients, signal of by runs that see them or do not."""

    class Plain:
        @staticmethod
        def log_loss_theta(theta, recipe):
            return recipe @ theta

    rng = np.random.default_rng(0)
    theta = rng.standard_normal((samples, 2)) * [1.0, 2.0]
    stake = np.stack([0.01 * theta[:, 0], -0.01 * theta[:, 0]])[None]  # which sign has theta_0?
    own = stake.min(axis=1)
    return Belief(theta, np.float64(noise), stake, own, normals(8192, runs, 0), Plain())


def test_information_and_value_are_those_of_a_linear_gaussian_update():
    with jax.enable_x64(True):
        belief = linear_belief()
        design = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        signal = belief.signal(jnp.asarray(design))
        precision = design.T @ design / 0.25 + np.diag([1.0, 0.25])
        gained = np.linalg.slogdet(precision)[1] - np.log(0.25)
        assert float(belief.information(signal)) == pytest.approx(gained, rel=0.01)
        # E|posterior mean| of a normal is sd·√(2/π); the loss is about 1.
        left = np.linalg.inv(precision)[0, 0]
        value = 0.01 * np.sqrt((1 - left) * 2 / np.pi)
        assert float(belief.expected_gain(signal)) == pytest.approx(value, rel=0.03)
        now, after = expected_regret(belief, np.asarray(signal), 0, repeats=2)
        perfect = 0.01 * np.sqrt(2 / np.pi)
        assert now == pytest.approx(perfect, rel=0.05)
        assert after == pytest.approx(perfect - value, rel=0.1)


@pytest.mark.slow
def test_gradients_of_both_criteria_are_exact():
    with jax.enable_x64(True):
        belief = dataclasses.replace(linear_belief(200), normal=normals(64, 3, 0))
        design = np.array([[1.0, 0.3], [0.5, 1.0], [0.2, 1.0]])
        for gain in (belief.information, belief.expected_gain):
            slope = jax.grad(lambda d, gain=gain: gain(belief.signal(d)))(design)
            step = np.zeros_like(design)
            step[1, 0] = 1e-6
            up, down = (float(gain(belief.signal(jnp.asarray(design + s * step)))) for s in (1, -1))
            assert float(slope[1, 0]) == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-9)


@pytest.mark.slow
def test_designed_runs_beat_random_ones_of_the_same_budget():
    result = study(
        languages=4,
        runs=33,
        more=RUNS,
        budget=BUDGET,
        noise=0.01,
        randoms=2,
        seed=5,
        starts=1,
        draws=60,
    )
    means = result["means"]
    assert means["regret"]["regret"] < means["random"]["regret"]
    assert means["regret"]["loss_error"] < means["random"]["loss_error"]
    assert means["coefficients"]["loss_error"] < means["random"]["loss_error"]


# Files and the command line


@pytest.mark.slow
def test_the_sheet_filled_in_is_a_run_table(found, tmp_path):
    path = write_sheet(tmp_path / "sheet.csv", [found])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["loss"] for row in rows] == [""] * RUNS
    for row in rows:
        row["loss"] = row["predicted_loss"]
    with open(tmp_path / "filled.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    read = RunTable.read(tmp_path / "filled.csv")
    jax.tree.map(np.testing.assert_array_equal, read.recipe, found.recipe)
    content = json.loads(write_sheet(tmp_path / "sheet.json", [found]).read_text())
    assert content["languages"][0]["runs"] == found.records()
    with pytest.raises(M3Error, match=r"ending in \.csv or \.json"):
        write_sheet(tmp_path / "sheet.txt", [found])


@pytest.mark.slow
def test_the_command_prints_and_writes_the_sheet(fits, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    fits.save(tmp_path / "fits.json")

    def run(*arguments):
        typed = ["m3jax", "next", str(tmp_path / "fits.json"), "--budget", "3e19", *arguments]
        monkeypatch.setattr(sys, "argv", typed)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    sheet = tmp_path / "sheet.csv"
    code, out, err = run("--runs", "7", "-l", LANGUAGE, "--draws", "60", "-o", str(sheet))
    assert (code or 0, err) == (0, "")
    assert "Next runs for language0000" in out
    assert "ten times the largest run" in out
    assert len(sheet.read_text().splitlines()) == RUNS + 1
    code, out, err = run("--runs", "0")
    assert code == 2
    assert "runs: expected a whole number >= 1" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 1e10}, "the cheapest run within the ranges takes"),
        ({"budget": -1.0}, "budget: expected a positive finite number"),
        ({"runs": 2.5}, "runs: expected a whole number >= 1"),
        ({"criterion": "luck"}, "criterion: expected 'regret' or 'coefficients', got 'luck'"),
        ({"reach": 0.5}, "reach: expected a number >= 1"),
        ({"noise": 0.0}, "noise: expected a positive finite number, got 0.0"),
        ({"max_loss": 1e-3}, "max_loss 0.001: no run within the ranges"),
        ({"ranges": {"layers": (1, 2)}}, "unknown range 'layers'"),
        ({"ranges": {"epochs": (3.0, 2.0)}}, "ranges: expected pairs"),
        ({"language": "Klingon"}, "unknown language 'Klingon'"),
    ],
)
def test_bad_options_are_refused(fits, options, words):
    with pytest.raises(M3Error, match=words):
        next_runs(fits, **{"budget": BUDGET, "starts": 1, **QUESTION, **options})


@pytest.mark.slow
def test_fits_without_draws_are_refused(fits):
    bare = dataclasses.replace(fits, draws=fits.draws[:, :0], bends=fits.bends[:, :0])
    with pytest.raises(M3Error, match="needs at least 20 bootstrap draws"):
        next_runs(bare, budget=BUDGET, **QUESTION)
