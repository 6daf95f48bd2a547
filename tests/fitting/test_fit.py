"""The fit: published numbers, recovery of known coefficients, what cannot be determined, files."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Coefficient, Fits, Law, M3Error, RunTable, fit
from m3jax.fitting import huber
from m3jax.laws import get_law

MUENNIGHOFF = {"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"}
BASE = {
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "E": float(np.exp(0.6254804)),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}


@pytest.fixture(scope="module")
def muennighoff(shared_data):
    return RunTable.read(shared_data / "muennighoff" / "fit_182.csv", columns=MUENNIGHOFF)


@pytest.fixture(scope="module")
def synthetic():
    """Two made-up languages, 80 runs each."""
    return run_table(true_theta(2, 3), 80, 0.003, 5)


# Published numbers


@pytest.mark.slow
def test_m3_on_muennighoff(muennighoff):
    fits = fit(muennighoff, "m3", draws=0)
    assert fits.objective[0] <= 0.00347
    assert fits.r2[0] >= 0.985
    assert fits.converged.all()


@pytest.mark.slow
def test_data_constrained_on_muennighoff(muennighoff):
    free = fit(muennighoff, "data_constrained", draws=0)
    assert free.objective[0] <= 0.0066
    frozen = fit(muennighoff, "data_constrained", fixed=BASE, draws=0)
    assert frozen.objective[0] <= 0.015826
    assert {n: frozen.coefficients()[n] for n in BASE} == pytest.approx(BASE, rel=1e-12)


def test_data_constrained_at_the_published_coefficients(muennighoff):
    published = {**BASE, "R_D": 15.387756, "R_N": 5.309743}
    fits = fit(muennighoff, "data_constrained", fixed=published, draws=0)
    assert fits.objective[0] == pytest.approx(0.0158259366, rel=1e-6)
    assert fits.r2[0] == pytest.approx(0.7722046, rel=1e-5)


@pytest.mark.slow
def test_chinchilla_is_reproduced(shared_data):
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv").drop_highest(5)
    assert len(runs) == 240
    fits = fit(runs, "chinchilla", draws=200)
    assert fits.objective[0] == pytest.approx(0.001018274, rel=1e-4)
    published = {"E": 1.817236, "A": 477.842, "alpha": 0.347313, "B": 2143.864, "beta": 0.367183}
    assert {k: f"{v:.3g}" for k, v in fits.coefficients().items()} == {
        k: f"{v:.3g}" for k, v in published.items()
    }
    exact = fit(runs, "chinchilla", draws=0, prior="none")
    assert exact.coefficients() == pytest.approx(published, rel=3e-4)
    assert exact.objective[0] <= 0.001018274 * (1 + 1e-6)
    # The published intervals come from another likelihood: ours must overlap and be as wide.
    low, high = fits.intervals()["alpha"]
    assert 0.31 < low < 0.347 < high < 0.38


@pytest.mark.slow
def test_m3_contains_chinchilla(shared_data):
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv").drop_highest(5)
    fits = fit(runs, "m3", draws=0)
    assert fits.objective[0] == pytest.approx(0.001018274, rel=1e-4)
    told = " ".join(fits.messages[0])
    assert "no run goes beyond one epoch" in told
    assert "all runs have one target ratio" in told
    assert fits.frozen[0].sum() == 9


# Recovery, determinism, independence


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
    options = {"draws": 0, "starts": 16, "prior": "none"}
    np.testing.assert_allclose(
        fit(double, **options).objective, fit(repeated, **options).objective, rtol=1e-6
    )


@pytest.mark.slow
def test_checkpoints_of_a_run_are_drawn_together(synthetic):
    one = synthetic.for_language(synthetic.languages[0])
    few = dataclasses.replace(one, run_id=np.array([f"run{i // 4}" for i in range(len(one))]))
    apart, together = (fit(t, draws=60, starts=16) for t in (one, few))
    np.testing.assert_array_equal(apart.theta, together.theta)
    assert not np.array_equal(apart.draws, together.draws)
    assert np.all(np.isfinite(together.draws))


def test_huber_is_quadratic_then_linear():
    with jax.enable_x64(True):
        e = jnp.array([0.0, 5e-4, -5e-4, 1e-3, 1.0])
        expected = [0.0, 1.25e-7, 1.25e-7, 5e-7, 1e-3 * (1 - 5e-4)]
        np.testing.assert_allclose(huber(e, 1e-3), expected, rtol=1e-12)


# What the runs cannot determine


def simple(n=40, seed=0, **held):
    """Noisy Chinchilla-like runs of one language, columns overridden by `held`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "n_params": 10 ** rng.uniform(7, 9, n),
            "target_tokens": 10 ** rng.uniform(7, 9, n),
            "epochs": 10 ** rng.uniform(0, 1.5, n),
            "target_ratio": 10 ** rng.uniform(-1.3, 0, n),
        }
    ).assign(**held)
    frame["final_ratio"] = frame.target_ratio
    d = frame.epochs * frame.target_tokens / frame.target_ratio
    loss = (1.8 + 400 * frame.n_params**-0.34 + 1000 * d**-0.36) * frame.target_ratio**-0.05
    text = frame.target_tokens * (1 + 0.3 * frame.epochs * (1 / frame.target_ratio - 1))
    penalty = 0.02 * frame.epochs**0.7 * (frame.n_params / 1e8) ** 0.3 * (text / 1e8) ** -0.5
    loss = loss + penalty * frame.final_ratio**0.5
    return RunTable.from_frame(frame.assign(loss=loss * np.exp(0.003 * rng.standard_normal(n))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "frozen", "words"),
    [
        ({}, {"eta"}, "no two-stage runs"),
        ({"n_params": 1e8}, {"A", "alpha", "kappa", "eta"}, "all runs have one model size"),
        (
            {"target_ratio": 1.0},
            {"gamma", "eta", "theta", "tau"},
            "all runs have one target ratio",
        ),
        (
            {"epochs": 1.0},
            {"P", "delta", "kappa", "omega", "theta", "R", "tau", "eta"},
            "no run goes beyond one epoch",
        ),
    ],
)
def test_undetermined_coefficients_are_frozen_and_named(held, frozen, words):
    fits = fit(simple(**held), "m3", draws=0, starts=16)
    names = fits.law.names
    assert {names[i] for i in np.flatnonzero(fits.frozen[0])} == frozen
    assert any(words in message for message in fits.messages[0])
    assert "eta" not in frozen or fits.coefficients()["eta"] == 0.0


@pytest.mark.slow
def test_two_coefficients_that_do_the_same_are_told_apart_by_neither():
    double = Law(
        name="double",
        coefficients=(
            Coefficient("a", (0.5, 3.0), (1e-3, 1e3), log=True, neutral=1.0),
            Coefficient("b", (0.5, 3.0), (1e-3, 1e3), log=True, neutral=1.0),
            Coefficient("c", (0.0, 0.5), (-2.0, 2.0)),
        ),
        function=lambda c, recipe: c["a"] * c["b"] * recipe.n_params ** -c["c"],
    )
    fits = fit(simple(), double, draws=4, starts=8, prior="none")
    assert fits.frozen[0].tolist() == [False, True, False]
    assert fits.coefficients()["b"] == pytest.approx(1.0)
    assert "b cannot be told" in " ".join(fits.messages[0])


def test_too_few_runs_is_a_status_of_that_language_alone(synthetic):
    name = synthetic.languages[1]
    keep = (synthetic.language != name) | (np.arange(len(synthetic)) < 90)
    fits = fit(synthetic.select(keep), draws=0, starts=8)
    assert fits.languages == (synthetic.languages[0],)
    n_runs, reason = fits.failed[name]
    assert n_runs == 10
    assert "too few runs: 10" in reason
    with pytest.raises(M3Error, match="too few runs"):
        fits.coefficients(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"law": "m4"}, "unknown law 'm4'; known laws: m3"),
        ({"fixed": {"zz": 1.0}}, "no coefficient 'zz'"),
        ({"fixed": {"alpha": -1.0}}, "alpha = -1.0: expected"),
        ({"huber_delta": 0.0}, "huber_delta"),
        ({"starts": 0}, "starts: expected a whole number >= 1, got 0"),
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
        fits = fit(runs, name, draws=0, starts=16)
        assert fits.converged.all()
        assert 0 < fits.r2[0] < 1


# The file


@pytest.fixture(scope="module")
def saved(tmp_path_factory, synthetic):
    path = tmp_path_factory.mktemp("fits") / "fits.json"
    few = np.r_[0:80, 80:90]
    table = synthetic.select(np.isin(np.arange(len(synthetic)), few))
    fits = fit(table, draws=4, starts=8)
    fits.save(path)
    return path, fits


def test_a_saved_fit_comes_back(saved):
    path, fits = saved
    back = Fits.load(path)
    assert back.languages == fits.languages
    assert back.failed == fits.failed
    assert back.scopes == fits.scopes
    assert back.messages == fits.messages
    for name in ("theta", "draws", "frozen", "objective", "r2", "n_runs", "converged"):
        np.testing.assert_array_equal(getattr(back, name), getattr(fits, name))


def test_the_json_shape_is_the_public_one(saved):
    path, fits = saved
    content = json.loads(path.read_text())
    assert content["schema_version"] == 1
    assert content["law"] == "m3"
    entry = content["languages"][fits.languages[0]]
    assert {"status", "objective", "r2", "n_runs", "coefficients", "messages"} <= set(entry)
    assert set(entry["coefficients"]) == set(fits.law.names)
    alpha = entry["coefficients"]["alpha"]
    assert alpha["low"] <= alpha["high"]
    failed = next(iter(fits.failed))
    assert content["languages"][failed]["status"] == "not fitted"
    assert "NaN" not in path.read_text()


def test_broken_fit_files_are_refused(saved, tmp_path):
    path, _ = saved

    def copy(name, text=None, arrays=True):
        target = tmp_path / name
        target.write_text(path.read_text() if text is None else text)
        if arrays:
            target.with_name("fits.npz").write_bytes(path.with_suffix(".npz").read_bytes())
        return target

    with pytest.raises(M3Error, match="no such file"):
        Fits.load(tmp_path / "nothing.json")
    with pytest.raises(M3Error, match="perhaps cut short"):
        Fits.load(copy("cut.json", path.read_text()[:500]))
    with pytest.raises(M3Error, match="no schema_version"):
        Fits.load(copy("other.json", "{}"))
    content = json.loads(path.read_text())
    with pytest.raises(M3Error, match="schema version 99, this m3jax reads version 1"):
        Fits.load(copy("new.json", json.dumps({**content, "schema_version": 99})))
    with pytest.raises(M3Error, match="not a complete fit file"):
        Fits.load(copy("part.json", json.dumps({"schema_version": 1, "law": "m3"})))
    entry = content["languages"][next(iter(content["languages"]))]
    entry["objective"] = "abc"
    with pytest.raises(M3Error, match="not a complete fit file: ValueError"):
        Fits.load(copy("text.json", json.dumps(content)))
    broken = copy("arrays.json")
    broken.with_name("fits.npz").write_bytes(b"PK")
    with pytest.raises(M3Error, match="does not belong to the fit file"):
        Fits.load(broken)


def test_nothing_is_written_half(saved, tmp_path, monkeypatch):
    _, fits = saved

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(M3Error, match="No space left"):
        fits.save(tmp_path / "fits.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_law_of_the_user_goes_all_the_way(tmp_path):
    power = Law(
        name="power",
        coefficients=(
            Coefficient("E", (0.5, 3.0), (1e-3, 1e2), log=True, neutral=1.0),
            Coefficient("A", (1.0, 1e4), (1e-6, 1e9), log=True, neutral=1e-6),
            Coefficient("a", (0.1, 0.8), (0.0, 3.0)),
        ),
        function=lambda c, recipe: c["E"] + c["A"] * recipe.n_params ** -c["a"],
        variables=("n_params",),
    )
    runs = simple()
    fits = fit(runs, power, draws=4, starts=16)
    fits.save(tmp_path / "power.json")
    with pytest.raises(M3Error, match="unknown law 'power'"):
        Fits.load(tmp_path / "power.json")
    back = Fits.load(tmp_path / "power.json", law=power)
    np.testing.assert_allclose(
        back.predict(runs.recipe), np.exp(get_log(power, fits, runs)), rtol=1e-12
    )


def get_log(law, fits, runs):
    with jax.enable_x64(True):
        recipe = jax.tree.map(jnp.asarray, runs.recipe)
        return np.asarray(law.log_loss_theta(jnp.asarray(fits.theta[0]), recipe))


def test_prediction_matches_the_law(saved):
    _, fits = saved
    runs = run_table(true_theta(2, 3), 12, 0.0, 1)
    one = runs.for_language(runs.languages[0])
    predicted = fits.predict(one.recipe, fits.languages[0])
    np.testing.assert_allclose(predicted, np.exp(get_log(get_law("m3"), fits, one)), rtol=1e-12)
    assert fits.predict_draws(one.recipe, fits.languages[0]).shape == (4, 12)
