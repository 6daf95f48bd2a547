"""Diagnostics: what runs determine, runs that stand out, trends, and how sure coefficients are."""

import contextlib
import dataclasses
import io
import json
import sys
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from m3jax import M3Error, Recipe, RunTable, covariance, delta_interval, diagnose, fit, get_law
from m3jax.cli import main
from m3jax.fitting import Fits, Prior
from m3jax.fitting.uncertainty import linearise, student_quantile
from m3jax.output import determined_section
from m3jax.output.figures import residuals_by_variable, to_png

NOISE = 0.004
LARGE = np.tile([1.6e8, 6.4e8], 30)
CHINCHILLA = {"E": 1.8, "A": 400.0, "alpha": 0.34, "B": 1500.0, "beta": 0.36}
M3 = {
    **CHINCHILLA, "gamma": 0.05, "eta": 0.01, "P": 0.0004, "delta": 1.2, "kappa": 0.5, "omega": 0.5,
    "theta": 0.3, "R": 20.0, "tau": 0.2,
}  # fmt: skip


def frame(language, seed, n=60, law="chinchilla", **columns):
    """Noisy runs that determine everything; `columns` replaces some of theirs."""
    rng = np.random.default_rng(seed)
    two = rng.random(n) < 0.4
    ratio = np.where(rng.random(n) < 0.3, 1.0, np.exp(rng.uniform(np.log(0.1), 0.0, n)))
    values = {
        "n_params": rng.choice([1e7, 4e7, 1.6e8, 6.4e8], n),
        "target_tokens": rng.choice([1e7, 1e8, 1e9], n),
        "epochs": np.exp(rng.uniform(np.log(0.5), np.log(40.0), n)),
        "target_ratio": ratio,
    } | columns
    if "target_ratio" not in columns:
        values["final_ratio"] = np.where(two, np.minimum(2.5 * ratio, 1.0), ratio)
        if law == "chinchilla" or columns.get("final_ratio") == "same":
            values["final_ratio"] = ratio
    table = pd.DataFrame(values)
    recipe = Recipe.create(**{c: table[c].to_numpy(dtype=float) for c in table})
    with jax.enable_x64(True):
        loss = np.asarray(get_law(law).loss(CHINCHILLA if law == "chinchilla" else M3, recipe))
    return table.assign(
        language=language,
        run_id=[f"{language}-{i}" for i in range(n)],
        loss=loss * np.exp(NOISE * rng.standard_normal(n)),
    )


def odd():
    table = frame("odd", 11)
    table.loc[17, "loss"] *= 1.06
    return table


def trend():
    table = frame("trend", 12)
    table.loc[table.epochs > 10, "loss"] *= 1.012
    return table


def lonely():
    return frame("lonely", 13, n_params=np.where(np.arange(60) == 5, 1e6, LARGE))


def together():
    size = np.repeat([1e7, 3e7, 1e8, 3e8, 1e9], 12)
    return frame("together", 14, n_params=size, target_tokens=20 * size, epochs=1.0, target_ratio=1)


def doubled():
    """The first half of the runs twice, as two checkpoints with one and the same error."""
    table = frame("doubled", 15)
    again = table.iloc[:30].assign(seed=1)
    return pd.concat([table.assign(seed=0), again])


@dataclasses.dataclass(frozen=True)
class Case:
    runs: RunTable
    fits: object
    found: dict


def case(frames, law, **options):
    runs = RunTable.from_frame(pd.concat(frames), source="runs.csv")
    fits = fit(runs, law, huber_delta=0.004, **{"draws": 0, "starts": 8} | options)
    return Case(runs, fits, diagnose(fits, runs))


@pytest.fixture(scope="module")
def simple():
    """Runs of the Chinchilla law, one language for everything that can be wrong with them."""
    clean = [frame(f"clean{i}", i) for i in range(6)]
    two = frame("two sizes", 17, n_params=np.tile([1e8, 4e8], 30))
    few = frame("few", 16, n=5)
    tables = [*clean, odd(), trend(), lonely(), together(), doubled(), two, few]
    return case(tables, "chinchilla")


@pytest.fixture(scope="module")
def full():
    """Runs of m3, one language for everything that can be missing."""
    tables = [
        frame("whole", 1, law="m3", n=80),
        frame("one stage", 2, law="m3", n=80, final_ratio="same"),
        frame("one epoch", 3, law="m3", n=80, epochs=np.tile([0.25, 0.5, 1.0, 1.0], 20)),
        frame("one size", 4, law="m3", n=80, n_params=1e8),
        frame("two epochs", 5, law="m3", n=80, epochs=np.tile([1.0, 4.0], 40)),
    ]
    return case(tables, "m3", starts=16)


@pytest.fixture(scope="module")
def many():
    """The same Chinchilla runs over and over, with new noise each time."""
    design = frame("", 0, n=48).drop(columns=["loss", "language", "run_id"])
    recipe = Recipe.create(**{c: design[c].to_numpy() for c in design})
    with jax.enable_x64(True):
        loss = np.asarray(get_law("chinchilla").loss(CHINCHILLA, recipe))
    rng = np.random.default_rng(1)
    frames = [
        design.assign(language=f"l{i:03d}", loss=loss * np.exp(NOISE * rng.standard_normal(48)))
        for i in range(64)
    ]
    runs = RunTable.from_frame(pd.concat(frames).assign(seed=lambda f: np.arange(len(f))))
    return runs, fit(runs, "chinchilla", huber_delta=0.004, starts=4, draws=48)


def told(case, language):
    return " | ".join(case.found[language].verdicts)


# What the runs determine


def test_a_good_table_is_called_good(simple):
    for i in range(6):
        found = simple.found[f"clean{i}"]
        assert found.grade == "good", found.verdicts
        assert {c.determined for c in found.coefficients} == {"well"}
        assert found.noise == pytest.approx(NOISE, rel=0.5)
        assert 0 < found.prediction_error < NOISE
        assert 1 < found.condition_number < 1e4
        assert found.correlation.shape == (5, 5)
        np.testing.assert_allclose(np.diagonal(found.correlation), 1.0)


@pytest.mark.slow
def test_what_the_runs_lack_is_said_first_with_what_to_add(full):
    assert "no two-stage runs: the final ratio is not determined (eta); add runs with r_f > r" in (
        told(full, "one stage")
    )
    text = told(full, "one epoch")
    assert "no run goes beyond one epoch: repetition is not determined (P, delta, " in text
    assert "add runs of several epochs" in text
    first = full.found["one size"].verdicts[0]
    assert first.startswith("all runs have one model size: the effect of model size is not")
    assert "(A, alpha, kappa)" in first
    for name in ("one stage", "one epoch", "one size"):
        held = [c for c in full.found[name].coefficients if c.standard_error is None]
        assert held
        assert all(c.determined == "not" and c.note.startswith("held: ") for c in held)
        assert full.found[name].grade != "good"
    assert not any("not determined" in v for v in full.found["whole"].verdicts)


@pytest.mark.slow
def test_few_model_sizes_are_told(simple, full):
    words = "only 2 model sizes (100M and 400M): alpha rests on them; add others, further out"
    assert words in told(simple, "two sizes")
    # E + A·N^-alpha has three coefficients for two sizes.
    assert "alpha held: these runs do not tell it from the others" in told(simple, "two sizes")
    assert "only 2 numbers of epochs (1 and 4): " in told(full, "two epochs")


def test_variables_that_move_together_are_told(simple):
    found = simple.found["together"]
    text = told(simple, "together")
    assert "N and D_T move together in these runs (correlation 1.00): alpha and beta cannot" in text
    assert "vary one at a time" in text
    assert text.count("move together") == 1
    assert found.grade == "weak"
    assert "B and beta held: these runs do not tell them from the others" in text


def test_a_language_that_was_not_fitted_is_unusable_and_says_why(simple):
    found = simple.found["few"]
    assert found.grade == "unusable"
    assert found.verdicts[0].startswith("not fitted: too few runs: 5")
    assert found.coefficients == ()
    assert found.noise is None


def test_held_coefficients_are_fixed_by_the_user(simple):
    frozen, settings = simple.fits.frozen.copy(), {**simple.fits.settings, "fixed": {"alpha": 0.34}}
    frozen[:, 2] = True
    fits = dataclasses.replace(simple.fits, frozen=frozen, settings=settings)
    alpha = diagnose(fits, simple.runs)["clean0"].coefficients[2]
    assert (alpha.name, alpha.determined, alpha.note) == ("alpha", "fixed", "held: by you")
    assert alpha.standard_error is None
    assert alpha.share is None


def test_without_a_prior_nothing_is_called_prior_only(simple):
    bare = fit(simple.runs, "chinchilla", huber_delta=0.004, starts=8, draws=0, prior="none")
    for diagnosis in diagnose(bare, simple.runs).values():
        assert {c.determined for c in diagnosis.coefficients} <= {"well", "weakly", "not"}
        json.dumps(diagnosis.to_dict(), allow_nan=False)


# Runs and trends


def test_a_prior_of_your_own_is_what_the_runs_are_judged_against(simple, tmp_path):
    runs = simple.runs.select(simple.runs.language == "clean0")
    prior = Prior({"alpha": (0.3399, 0.3401), "A": (0.01, 1.0)}, "a guess")
    fits = fit(runs, "chinchilla", huber_delta=0.004, draws=0, prior=prior)
    loaded = Fits.load(fits.save(tmp_path / "fits.json"))
    for given in (fits, loaded):
        found = {c.name: c for c in diagnose(given, runs)["clean0"].coefficients}
        assert found["alpha"].determined == "prior only"
        assert found["alpha"].standard_error == pytest.approx(1e-4, rel=0.05)
        assert found["beta"].determined == "well"
    free = {c.name: c for c in simple.found["clean0"].coefficients}
    assert free["alpha"].determined != "prior only"


def test_no_false_alarm_on_clean_runs(simple):
    for i in range(6):
        found = simple.found[f"clean{i}"]
        assert not found.outliers
        assert not any(trend.flagged for trend in found.trends)
        assert {t.variable for t in found.trends} >= {"n_params", "epochs", "total_tokens"}


def test_a_planted_outlier_is_found_by_name(simple):
    found = simple.found["odd"]
    assert [run.name for run in found.outliers] == ["run 'odd-17'"]
    run = found.outliers[0]
    assert run.residual == pytest.approx(np.log(1.06), abs=0.015)
    assert run.standardised > 6
    assert run.message.startswith("run 'odd-17' lies 5.") or "lies 6" in run.message
    assert "above the fit" in run.message
    assert any(v.startswith(run.message) for v in found.verdicts)
    assert max(r.influence for r in found.runs) == found.influential[0].influence
    # One run of sixty must not spoil the rest.
    assert {c.determined for c in found.coefficients} == {"well"}


def test_runs_without_names_are_rows(simple):
    unnamed = dataclasses.replace(simple.runs, run_id=simple.runs.row.astype(str))
    row = int(simple.runs.row[simple.runs.run_id == "odd-17"][0])
    found = diagnose(simple.fits, unnamed)["odd"]
    assert [(run.name, run.row) for run in found.outliers] == [(f"row {row}", row)]


def test_a_planted_trend_is_found_where_it_is(simple):
    flagged = [trend for trend in simple.found["trend"].trends if trend.flagged]
    assert "epochs" in {trend.variable for trend in flagged}
    first = next(trend for trend in flagged if trend.variable == "epochs")
    assert first.p_value < 0.001
    assert first.correlation > 0.3
    assert first.slope > 0
    said = first.message
    assert said.startswith(
        ("losses at large numbers of epochs", "losses at small numbers of epochs")
    )
    assert "under-predicted by" in said if "large" in said else "over-predicted by" in said
    assert f"{said}: law chinchilla knows nothing of that" in told(simple, "trend")
    assert simple.found["trend"].grade == "weak"


def test_a_lonely_run_has_the_leverage(simple):
    found = simple.found["lonely"]
    top = max(found.runs, key=lambda run: run.leverage)
    assert top.name == "run 'lonely-5'"
    assert top.leverage > 0.9 > 3 * sorted(run.leverage for run in found.runs)[-2]
    assert f"{top.name} stands alone" in told(simple, "lonely")


def test_leverage_adds_up_to_the_coefficients(simple):
    one = linearise(simple.fits, simple.runs, ["clean0"])[0]
    assert one.effective_parameters == 5
    assert one.leverage.sum() == pytest.approx(5, abs=0.1)
    assert np.all((one.leverage >= 0) & (one.leverage <= 1))


# Covariance


@pytest.mark.slow
def test_intervals_agree_with_the_bootstrap_and_with_the_truth(many):
    runs, fits = many
    law = fits.law
    recipe = Recipe.create(n_params=3e9, target_tokens=1e9, epochs=4.0)

    def predict(theta):
        return law.log_loss_theta(theta, recipe)

    z = NormalDist().inv_cdf(0.95)
    drawn = np.log(np.array([fits.predict_draws(recipe, name) for name in fits.languages]))
    boot = np.median((np.quantile(drawn, 0.95, 1) - np.quantile(drawn, 0.05, 1)) / (2 * z))
    ends = [delta_interval(fits, runs, predict, name) for name in fits.languages[:32]]
    width = np.median([(high - low) / (2 * z) for low, high in ends])
    values = np.log(np.array([fits.predict(recipe, name) for name in fits.languages]))
    assert width == pytest.approx(boot, rel=0.35)
    assert width == pytest.approx(np.std(values), rel=0.35)
    # Coefficients, one by one.
    error = np.median(
        [np.sqrt(np.diagonal(one.covariance)) for one in linearise(fits, runs, fits.languages)], 0
    )
    low, high = np.quantile(fits.draws, [0.05, 0.95], axis=1)
    np.testing.assert_allclose(error, np.median(high - low, axis=0) / (2 * z), rtol=0.35)
    np.testing.assert_allclose(error, np.std(fits.theta, axis=0), rtol=0.35)


@pytest.mark.slow
def test_covariance_of_held_coefficients_is_zero(full):
    matrix = covariance(full.fits, full.runs, "one stage")
    names = full.fits.law.names
    eta = names.index("eta")
    assert matrix.shape == (14, 14)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9)
    assert np.all(np.linalg.eigvalsh(matrix) > -1e-6 * np.trace(matrix))
    assert np.all(matrix[eta] == 0)
    assert np.all(np.delete(np.diagonal(matrix), eta) > 0)


def test_two_checkpoints_with_one_error_count_once(simple):
    """Without `run_id` the doubled half would look like independent confirmation."""
    assert simple.found["doubled"].n_runs == 90
    assert simple.found["doubled"].n_independent == 60
    apart = dataclasses.replace(simple.runs, run_id=simple.runs.row.astype(str))
    clustered = covariance(simple.fits, simple.runs, "doubled")
    independent = covariance(simple.fits, apart, "doubled")
    ratio = np.sqrt(np.diagonal(clustered) / np.diagonal(independent))
    assert np.all((ratio > 1.05) & (ratio < 1.6))


def test_delta_interval_of_any_shape(simple):
    grid = Recipe.create(n_params=np.full((2, 3), 1e8), target_tokens=1e8, epochs=2.0)

    def predict(theta):
        return jnp.exp(simple.fits.law.log_loss_theta(theta, grid))

    low, high = delta_interval(simple.fits, simple.runs, predict, "clean0", 0.5)
    wide = delta_interval(simple.fits, simple.runs, predict, "clean0", 0.99)
    value = simple.fits.predict(grid, "clean0")
    assert low.shape == high.shape == (2, 3)
    np.testing.assert_allclose((low + high) / 2, value, rtol=1e-12)
    assert np.all(wide[0] < low)
    assert np.all(high < wide[1])


@pytest.mark.parametrize(("freedom", "expected"), [(5, 2.015), (10, 1.812), (60, 1.671)])
def test_student_quantiles(freedom, expected):
    assert student_quantile(0.95, freedom) == pytest.approx(expected, abs=2e-3)


# Bad input


def test_other_runs_are_refused(simple):
    runs, fits = simple.runs, simple.fits
    with pytest.raises(M3Error, match=r"runs.csv: no runs of 'odd', which the fits hold"):
        diagnose(fits, runs.select(runs.language != "odd"))
    new = runs.to_frame().iloc[:9].assign(language="new")
    more = RunTable.from_frame(pd.concat([runs.to_frame(), new]), source="runs.csv")
    with pytest.raises(M3Error, match="runs of 'new', which the fits do not hold"):
        diagnose(fits, more)
    fewer = np.ones(len(runs), dtype=bool)
    fewer[0] = False
    with pytest.raises(M3Error, match="'clean0': found 59 runs, the fit was made from 60"):
        diagnose(fits, runs.select(fewer))
    bits = dataclasses.replace(runs, loss=runs.loss / np.log(2))
    with pytest.raises(M3Error, match="give the table, names and units of the fit"):
        diagnose(fits, bits)
    with pytest.raises(M3Error, match="unknown language 'xx'"):
        diagnose(fits, runs, languages=["xx"])
    with pytest.raises(M3Error, match="name a language"):
        covariance(fits, runs)
    with pytest.raises(M3Error, match="'few' was not fitted"):
        covariance(fits, runs, "few")
    with pytest.raises(M3Error, match="level"):
        delta_interval(fits, runs, lambda theta: theta, "odd", 1.0)
    with pytest.raises(M3Error, match="not finite"):
        delta_interval(fits, runs, lambda theta: jnp.log(-jnp.exp(theta)), "odd")


# What comes out


@pytest.mark.slow
def test_json_has_no_nan(simple, full):
    for case in (simple, full):
        for diagnosis in case.found.values():
            content = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
            assert content["grade"] in ("good", "usable", "weak", "unusable")
            assert content["verdicts"]


def test_languages_can_be_picked(simple):
    assert list(diagnose(simple.fits, simple.runs, languages=["odd", "few"])) == ["odd", "few"]


@pytest.fixture(scope="module")
def files(simple, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnose")
    simple.runs.to_frame().to_csv(folder / "runs.csv", index=False)
    simple.fits.save(folder / "fits.json")
    return folder


def call(files, monkeypatch, *arguments):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(files / "cache"))
    names = ["m3jax", "diagnose", str(files / "fits.json"), str(files / "runs.csv"), *arguments]
    monkeypatch.setattr(sys, "argv", names)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def test_command_line_of_one_language(files, monkeypatch):
    code, out, err = call(files, monkeypatch, "-l", "odd")
    assert (code, err) == (0, "")
    for words in ("odd, law chinchilla: good", "alpha", "±", "×/÷", "well", "run 'odd-17' (+6%)"):
        assert words in out
    assert "- run 'odd-17' lies" in out


def test_command_line_of_many_languages(files, monkeypatch):
    code, out, _ = call(files, monkeypatch)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "unusable" in lines["few"]
    assert "good" in lines["clean0"]
    assert "alpha" not in lines["clean0"]


def test_command_line_as_json(files, monkeypatch):
    code, out, err = call(files, monkeypatch, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["odd"]["outliers"][0]["name"] == "run 'odd-17'"
    code, out, err = call(files, monkeypatch, "--drop-highest", "1")
    assert (code, out) == (2, "")
    assert "the fit was made from" in err


def test_residuals_are_drawn(simple):
    for name in ("odd", "trend", "together"):
        png = to_png(residuals_by_variable(simple.found[name], simple.runs), dpi=40)
        assert png.startswith(b"\x89PNG")
    with pytest.raises(M3Error, match="'few' was not fitted"):
        residuals_by_variable(simple.found["few"], simple.runs)


def test_the_report_has_the_verdicts(simple):
    few = "".join(determined_section({name: simple.found[name] for name in ("odd", "few")}))
    assert "What the runs determine" in few
    assert "odd: good, 60 runs" in few
    assert "run &#x27;odd-17&#x27; lies" in few
    assert "Coefficients determined well: E, A, alpha, B, beta." in few
    all_of_them = "".join(determined_section(simple.found))
    assert "first of all" in all_of_them
    assert "not fitted: too few runs" in all_of_them
    assert "".join(determined_section({})) == ""
