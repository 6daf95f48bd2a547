"""The scripts in benchmarks: they run, print what they say they print, and give sane figures."""

import argparse
import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed import batch_fit, bootstrap, optimize
from benchmarks.studies import bayes, coverage, repeat_aware
from benchmarks.support import fit_tools, measure
from benchmarks.support.peers import PEERS, Pool, minpack, robust
from benchmarks.support.script import whole_numbers
from benchmarks.support.synthetic import TRUE_LAWS, draw_recipes, run_table, true_loss, true_theta
from benchmarks.support.work import Work, peer_problem
from m3jax.fitting import huber
from m3jax.laws import get_law

COVERAGE = {
    "scenario", "method", "fits", "not_fitted", "runs", "noise", "draws", "huber_delta", "level",
    "coverage", "median_abs_relative_error", "mean_relative_error", "seconds",
}  # fmt: skip
CELL = {
    "target_tokens", "total_tokens", "runs", "measured_ratio", "predicted_ratio", "abs_dlog_r",
}  # fmt: skip
AHEAD = {
    "fitted_runs", "horizon_runs", "recommended_ratio", "recommended_epochs", "tokens_spent",
    "predicted_loss", "loss_at_recommended", "best_measured_loss", "best_measured_ratio", "excess",
}  # fmt: skip
WORK = {"law", "runs", "noise", "huber_delta", "seed", "languages", "peers", "scaling", "machine"}
TOOL = {
    "reached_quality", "time_to_quality_s", "seconds", "compile_s", "fits_per_second", "starts",
    "effort", "within_share", "median_excess", "peak_memory_mb", "device_memory_mb", "measured_on",
}  # fmt: skip
BOOTSTRAP = {
    "languages", "draws", "seconds", "fit_seconds", "bootstrap_seconds", "compile_s",
    "peak_memory_mb", "device_memory_mb",
}  # fmt: skip


def finite(value) -> bool:
    """Whether every number in a JSON document is finite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    if value is None or isinstance(value, str):
        return True
    return math.isfinite(value)


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script's `main` with arguments: exit code, standard output, standard error."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        capsys.readouterr()
        code = module.main()
        return code, *capsys.readouterr()

    return run


# Made-up languages


def test_made_up_languages_are_the_same_for_the_same_seed():
    theta = true_theta(3, 1)
    assert theta.shape == (3, len(get_law("m3").names))
    np.testing.assert_array_equal(theta, true_theta(3, 1))
    assert not np.array_equal(theta, true_theta(3, 2))
    first, again = (run_table(theta, 20, 0.01, 4) for _ in range(2))
    np.testing.assert_array_equal(first.loss, again.loss)
    assert len(first.languages) == 3
    assert len(first) == 60


def test_without_noise_the_runs_are_the_truth():
    theta = true_theta(1, 1)
    runs = run_table(theta, 30, 0.0, 4)
    np.testing.assert_allclose(runs.loss, true_loss(theta[0], runs.recipe), rtol=1e-12)
    noisy = run_table(theta, 30, 0.05, 4)
    assert 0.01 < np.std(np.log(noisy.loss / runs.loss)) < 0.1


def test_made_up_runs_vary_in_everything():
    recipe = draw_recipes(200, np.random.default_rng(0))
    for name in ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio"):
        assert len(np.unique(getattr(recipe, name))) > 3
    assert 0.1 < np.mean(recipe.is_two_stage) < 0.6
    assert np.any(recipe.target_ratio == 1)


@pytest.mark.parametrize("law", TRUE_LAWS)
def test_a_simpler_law_is_the_truth_when_asked_for(law):
    theta = true_theta(2, 1, law)
    recipe = draw_recipes(40, np.random.default_rng(0))
    named = dict(zip(get_law("m3").names, theta[0], strict=True)) | {"zeta": 0.0}
    own = np.array([named[name] for name in get_law(law).names])
    with jax.enable_x64(True):
        expected = np.exp(get_law(law).log_loss_theta(own, recipe))
    np.testing.assert_allclose(true_loss(theta[0], recipe), expected, rtol=1e-4)


# Peers: the same objective in NumPy


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


def test_what_is_not_there_is_said(monkeypatch):
    assert fit_tools.absent("chinchilla", "m3") == "fits the chinchilla law only"
    assert fit_tools.absent("scipy_huber", "m3") is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    why = fit_tools.absent("simple_scaling_laws", "chinchilla")
    assert why == "not installed: pip install simple-scaling-laws"
    assert fit_tools.absent("optimistix", "m3") == "not installed: pip install optimistix"


# How fast a batch is fitted


class Scripted:
    """A tool whose objectives, (starts, effort) -> one a language, are written down."""

    effort = "iterations"

    def __init__(self, objectives):
        self.objectives = {key: np.array(value) for key, value in objectives.items()}
        self.efforts = sorted({effort for _, effort in objectives})
        self.languages = np.arange(2)

    def run(self, starts, effort):
        return fit_tools.ToolOutcome(
            starts, effort, self.objectives[starts, effort], starts * effort
        )

    def in_fresh_process(self, outcome):
        return outcome


def test_every_tool_gets_the_cheapest_setting_that_is_good_enough():
    slow = Scripted({(1, 9): [1.0, 1.0]})
    # Good enough by its own light at one start, by the other's only at two.
    quick = Scripted(
        {(1, 2): [2.0, 1.1], (1, 3): [1.1, 1.1], (2, 2): [1.2, 1.0], (2, 3): [1.0, 1.0005]}
        | {(4, 2): [1.0, 1.0], (4, 3): [1.0, 1.0]}
    )
    ladders = {"m3jax": fit_tools.Ladder(slow, 1), "quick": fit_tools.Ladder(quick, 4)}
    assert fit_tools.climb_all(ladders, 2, lambda text: None) == {}
    best = fit_tools.best_known(ladders.values(), 2)
    np.testing.assert_array_equal(best, [1.0, 1.0])
    assert ladders["quick"].climbed == 2  # twice the starts would cost 8, more than the 6 found
    row = ladders["quick"].report(best, 2)
    assert set(row) == TOOL
    assert (row["starts"], row["effort"], row["seconds"]) == (2, {"iterations": 3}, 6)
    assert (row["reached_quality"], row["within_share"], row["time_to_quality_s"]) == (True, 1, 6)


def test_a_tool_that_never_gets_there_has_no_time_to_quality():
    poor = fit_tools.Ladder(Scripted({(1, 1): [2.0, 1.0], (2, 1): [2.0, 1.0]}), 2)
    good = fit_tools.Ladder(Scripted({(1, 1): [1.0, 1.0]}), 1)
    fit_tools.climb_all({"m3jax": good, "poor": poor}, 2, lambda text: None)
    row = poor.report(fit_tools.best_known([good, poor], 2), 2)
    assert (row["reached_quality"], row["within_share"], row["time_to_quality_s"]) == (
        False,
        0.5,
        None,
    )
    assert row["starts"] == 1
    assert row["seconds"] == 1


def test_a_peer_that_fails_does_not_stop_the_others():
    ladders = {
        "m3jax": fit_tools.Ladder(Scripted({(1, 1): [1.0, 1.0]}), 1),
        "broken": fit_tools.Ladder(Scripted({(2, 1): [1.0, 1.0]}), 1),
    }
    failed = fit_tools.climb_all(ladders, 2, lambda text: None)
    assert failed == {"broken": "failed: KeyError: (1, 1)"}


def test_batch_fit(script, capsys):
    sizes = {"--languages": 2, "--runs": 24, "--law": "chinchilla", "--reference-starts": 2}
    arguments = [word for pair in sizes.items() for word in pair]
    arguments += ["--peers", "scipy_least_squares,scipy_huber", "--max-starts", 4]
    code, out, err = script(batch_fit, *arguments, "--json")
    assert code == 0
    result = json.loads(out)
    ratios = {"ratio_scipy_least_squares", "ratio_scipy_huber", "ratio_plain_vmap"}
    assert set(result) == WORK | TOOL | ratios | {"device"}
    assert finite(result)
    assert result["within_share"] == 1
    assert result["ratio_plain_vmap"] is None
    for name, row in result["peers"].items():
        assert set(row) == TOOL | {"available", "ratio"}
        assert row["within_share"] >= 0.5
        assert row["ratio"] == row["seconds"] / result["seconds"] == result[f"ratio_{name}"]
    assert list(result["peers"]) == ["scipy_least_squares", "scipy_huber"]
    assert result["peak_memory_mb"] > 50
    assert result["machine"]["cores"] >= 1
    assert "m3jax: timed" in err

    batch_fit.show(
        result
        | {
            "peers": result["peers"] | {"gone": {"available": False, "reason": "not here"}},
            "scaling": [result],
        }
    )
    out = capsys.readouterr().out
    assert "gone: not here" in out
    assert all(name in out for name in result["peers"])
    assert "m3jax, 2 languages" in out


def test_peers_are_known_names():
    assert batch_fit.peer_names("none") == []
    assert batch_fit.peer_names("all") == [*PEERS, "plain_vmap", "optimistix"]
    with pytest.raises(argparse.ArgumentTypeError, match="unknown peer 'nobody'; known: scipy_"):
        batch_fit.peer_names("plain_vmap,nobody")
    assert whole_numbers("10,100") == [10, 100]


# How fast the bootstrap is


def test_bootstrap(script, capsys):
    sizes = {"--languages": 2, "--runs": 24, "--law": "chinchilla", "--draws": 16, "--starts": 2}
    arguments = [word for pair in sizes.items() for word in pair]
    code, out, _ = script(bootstrap, *arguments, "--peer-draws", 30, "--json")
    assert code == 0
    result = json.loads(out)
    assert set(result) == WORK | BOOTSTRAP | {"ratio_scipy_least_squares", "scaling_exponent"}
    assert finite(result)
    assert result["bootstrap_seconds"] == result["seconds"] - result["fit_seconds"]
    peer = result["peers"]["scipy_least_squares"]
    assert peer["measured_on"] == {"languages": 2, "draws": 30}
    assert peer["within_share"] >= 0.9
    assert 0.5 < peer["spread_ratio"] < 2
    bootstrap.show(result | {"scaling": [result], "scaling_exponent": 1.0})
    out = capsys.readouterr().out
    assert out.count("2 languages × 16 draws") == 2
    assert "to the power 1.000" in out


def test_bootstrap_scaling(script, monkeypatch):
    def measured(work, draws, *_):
        timed = measure.Timed(None, 0.01 * work.languages**0.9, 1.0, 100.0, None)
        return bootstrap.Run(timed, timed._replace(seconds=0.001), "cpu")

    monkeypatch.setattr(measure.Fresh, "call", lambda self, _, *options: measured(*options))
    code, out, _ = script(
        bootstrap, "--peer-languages", 0, "--scaling", "10x5,100x5,1000x5", "--json"
    )
    result = json.loads(out)
    assert code == 0
    assert result["scaling_exponent"] == pytest.approx(0.9)
    assert [size["languages"] for size in result["scaling"]] == [10, 100, 1000]
    assert all(set(size) == BOOTSTRAP for size in result["scaling"])
    assert result["peers"] == {}
    assert result["ratio_scipy_least_squares"] is None


# How fast recipes are found


def test_optimize(script, capsys):
    sizes = {"--problems": 12, "--languages": 3, "--certified": 6, "--peer-problems": 4}
    arguments = [word for pair in sizes.items() for word in pair]
    code, out, err = script(optimize, *arguments, "--peers", "slsqp,cvxpy_dgp", "--json")
    assert code == 0
    result = json.loads(out)
    assert finite({**result, "machine": None})
    assert result["problems"] == 12
    assert result["infeasible"] == 0
    assert result["max_relative_gap"] <= 1e-6
    assert result["certified"]["max_relative_gap"] <= 1e-4
    slsqp = result["peers"]["slsqp"]
    assert result["ratio_slsqp"] == slsqp["ratio"]
    assert slsqp["success"] >= 0.75
    assert slsqp["m3jax_max_excess"] < 1e-6
    assert "slsqp: 8 problems" in err or "slsqp: 4 problems" in err
    gone = {"gone": {"available": False, "reason": "not here"}}
    optimize.show(result | {"peers": result["peers"] | gone})
    out = capsys.readouterr().out
    assert "gone: not here" in out
    assert "a second with" in out


# Coverage of the intervals


def test_coverage(script):
    sizes = {"--languages": 2, "--repeats": 2, "--runs": 60, "--draws": 10}
    arguments = [word for pair in sizes.items() for word in pair]
    code, out, err = script(coverage, *arguments, "--methods", "cluster,delta", "--json")
    assert code == 0
    results = json.loads(out)
    assert [(r["scenario"], r["method"]) for r in results] == [
        (s, m) for s in coverage.SCENARIOS for m in ("cluster", "delta")
    ]
    for result in results:
        assert set(result) == COVERAGE
        assert finite(result)
        assert result["fits"] + result["not_fitted"] == 4
        assert set(result["coverage"]) == {"runs", "ten_times", "best", "exponents"}
        assert all(0 <= share <= 1 for share in result["coverage"].values())
        assert 0 < result["median_abs_relative_error"] < 0.05
    assert "outliers runs, delta intervals" in err


def test_coverage_for_people(script, monkeypatch):
    monkeypatch.setattr(
        coverage, "study", lambda **options: {"coverage": {"runs": 0.9, "best": 0.8}, **options}
    )
    code, out, _ = script(coverage, "--repeats", 3)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 10
    assert lines[1].split() == ["independent", "cluster", "0.900", "0.800"]


def test_the_bootstrap_agrees_with_a_posterior(script):
    pytest.importorskip("numpyro")
    code, out, _ = script(bayes, "--runs", 60, "--draws", 200, "--samples", 300, "--json")
    assert code == 0
    result = json.loads(out)
    assert finite(result)
    assert set(result["intervals"]) == {"E", "A", "alpha", "B", "beta", "loss_at_1e10"}
    for one in result["intervals"].values():
        assert 0.6 < one["width_ratio"] < 1.6
        assert abs(one["centre_shift"]) < 0.7


# Repeat-aware data mixing


@pytest.fixture(scope="module")
def found(shared_data):
    return repeat_aware.study(shared_data)


def test_the_best_ratio_is_where_it_was_measured(found):
    assert found["objective"] <= 0.000180
    assert found["mean_abs_dlog_r"] <= 0.10
    assert finite(found)
    assert set(found) == {"runs", "objective", "r2", "mean_abs_dlog_r", "cells", "ahead"}
    cells = found["cells"]
    assert len(cells) == 9
    assert all(set(cell) == CELL for cell in cells)
    assert sum(cell["runs"] for cell in cells) == found["runs"]
    errors = [abs(math.log(c["predicted_ratio"] / c["measured_ratio"])) for c in cells]
    assert [cell["abs_dlog_r"] for cell in cells] == pytest.approx(errors)
    assert found["mean_abs_dlog_r"] == pytest.approx(np.mean(errors))


def test_the_recipe_for_twice_the_compute_is_nearly_the_best_measured(found):
    told = found["ahead"]
    assert set(told) == AHEAD
    assert (told["fitted_runs"], told["horizon_runs"]) == (47, 7)
    assert told["tokens_spent"] == pytest.approx(1, rel=1e-4)
    assert 0 <= told["excess"] <= 0.002
    assert told["loss_at_recommended"] == pytest.approx(3.1027 * (1 + told["excess"]))
    assert (told["best_measured_loss"], told["best_measured_ratio"]) == (3.1027, 0.35)


def test_repeat_aware_prints_what_it_found(found, shared_data, script, monkeypatch):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    monkeypatch.setattr(repeat_aware, "study", lambda folder: found)
    code, out, err = script(repeat_aware, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == found
    code, out, err = script(repeat_aware)
    assert (code, err) == (0, "")
    assert out.count("best r measured") == 9
    assert f"mean |Δ log r| {found['mean_abs_dlog_r']:.4f}" in out
    assert f"best measured 3.1027 at r 0.35: {found['ahead']['excess']:.2%} worse" in out


def test_without_the_tables_repeat_aware_says_what_is_missing(script, monkeypatch, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path / "nothing"))
    code, out, err = script(repeat_aware, "--json")
    assert code == 2
    assert out == ""
    assert err == "public run tables not found; set M3JAX_DATA to their folder\n"
