"""Fits: the file, predictions."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Coefficient, Fits, Law, M3Error, fit
from m3jax.fitting import SCHEMA_VERSION
from m3jax.laws import get_law

from .tables import noisy_runs


@pytest.fixture(scope="module")
def saved(tmp_path_factory, synthetic):
    path = tmp_path_factory.mktemp("fits") / "fits.json"
    few = np.r_[0:80, 80:82]
    table = synthetic.select(np.isin(np.arange(len(synthetic)), few))
    fits = fit(table, draws=4, starts=8)
    fits.save(path)
    return path, fits


@pytest.mark.slow
def test_a_saved_fit_comes_back(saved):
    path, fits = saved
    back = Fits.load(path)
    assert back.languages == fits.languages
    assert back.failed == fits.failed
    assert back.scopes == fits.scopes
    assert back.messages == fits.messages
    assert back.grades == fits.grades
    for name in ("theta", "draws", "frozen", "objective", "r2", "n_runs", "converged"):
        np.testing.assert_array_equal(getattr(back, name), getattr(fits, name))


def test_the_json_shape_is_the_public_one(saved):
    path, fits = saved
    content = json.loads(path.read_text())
    assert content["schema_version"] == SCHEMA_VERSION == 3
    assert content["law"] == "m3"
    entry = content["languages"][fits.languages[0]]
    assert {"status", "objective", "r2", "n_runs", "coefficients", "messages"} <= set(entry)
    assert set(entry["coefficients"]) == set(fits.law.names)
    alpha = entry["coefficients"]["alpha"]
    assert alpha["low"] <= alpha["high"]
    assert entry["status"] in ("good", "usable", "weak", "unusable")
    assert entry["converged"] is True
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
    with pytest.raises(M3Error, match="schema version 99, this m3jax reads version 3"):
        Fits.load(copy("new.json", json.dumps({**content, "schema_version": 99})))
    entry = content["languages"][next(iter(content["languages"]))]
    entry["objective"] = "abc"
    with pytest.raises(M3Error, match="not as m3jax wrote it"):
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
    runs = noisy_runs()
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


@pytest.mark.parametrize("delta", [1e-3, 1e-2, None])
def test_noise_is_what_runs_scatter_by(delta):
    fits = fit(run_table(true_theta(8, 3), 33, 0.01, 5), huber_delta=delta, draws=0)
    assert np.mean(fits.noise) == pytest.approx(0.01, rel=0.2)
