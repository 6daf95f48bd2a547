"""How results show themselves: lines, tables, notebooks."""

import sys
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from m3jax import Coefficient, Law, M3Error, RunTable, compare, diagnose, fit, optimize, profile

PILOT = str(resources.files("m3jax") / "data" / "pilot_debian.csv")


@pytest.fixture(scope="module")
def runs():
    return RunTable.read(PILOT)


@pytest.fixture(scope="module")
def fits(runs):
    return fit(runs, draws=10)


def test_lines_are_short_and_say_what_there_is(runs, fits):
    assert repr(runs) == (
        "<RunTable: 320 runs, 124 of them with two stages, of 'Indonesian', 'Japanese', 'German',"
        " 'French'; 32.9K–246K parameters, up to 1.55e+12 FLOP (pilot_debian.csv)>"
    )
    assert repr(fits).startswith("<Fits of m3: 4 languages ('Indonesian', 'Japanese', ")
    answer = optimize(fits, compute=1e12, target_tokens=65536, draws=10)
    assert repr(answer).startswith("<Recommendations: 4 of 4 recipes for 'Indonesian', ")
    for shown in (runs, fits, answer):
        assert len(repr(shown)) < 300
        html = shown._repr_html_()
        assert shown.summary().split("'")[0] in html
        assert "<table" in html
        assert len(html) < 10_000


@pytest.fixture(scope="module")
def answer(fits):
    return optimize(fits, compute=[1e11, 1e12], target_tokens=[16384, 65536, 262144], draws=10)


@pytest.fixture(scope="module")
def shown(runs, fits, answer):
    """One of each kind of result."""
    german = {"languages": "German"}
    return {
        "RunTable": runs,
        "Fits": fits,
        "Recommendations": answer,
        "Diagnosis": diagnose(fits, runs, **german)["German"],
        "Profile": profile(fits, runs, "alpha", "German", points=5)["alpha"],
        "Scores": compare(runs, ["chinchilla", "kaplan"], holdouts="compute", starts=2),
    }


BEGINNINGS = {
    "Diagnosis": "<Diagnosis: German: usable, 80 runs, noise 1.",
    "Profile": "<Profile: alpha of German: 0.",
    "Scores": "<Scores: 2 laws on runs of 'Indonesian', 'Japanese', 'German', 'French' held out by"
    " compute; ",
}


def test_every_result_shows_itself(shown):
    for kind, result in shown.items():
        assert type(result).__name__ == kind
        assert repr(result).startswith(BEGINNINGS.get(kind, f"<{kind}"))
        assert len(repr(result)) < 400
        assert "\n" not in repr(result)
        assert "<table" in result._repr_html_()
        assert len(result.to_frame()) > 2


def test_every_result_has_a_figure(shown, runs, fits, answer):
    pytest.importorskip("matplotlib")
    from m3jax.plotting import plot

    titles = {
        "RunTable": "pilot_debian.csv: 320 runs",
        "Fits": "Law m3: coefficients and their 90% intervals",
        "Diagnosis": "German: runs that stand out",
        "Profile": "Profile of alpha, German",
        "Scores": "Held-out runs: mean error behind the best law",
    }
    for kind, title in titles.items():
        assert shown[kind].plot().get_suptitle() == title
    assert fits.plot(runs).get_suptitle().startswith("Law m3: 320 runs, median R²")
    assert "robust sd" in shown["Diagnosis"].plot(runs).get_suptitle()
    assert answer.plot("German").get_suptitle() == "German: the best recipe"
    with pytest.raises(M3Error, match="name a language: there are Indonesian, Japanese"):
        answer.plot()
    with pytest.raises(M3Error, match="float has no figure of its own"):
        plot(3.0)


def test_coefficients_with_coordinates(fits):
    pytest.importorskip("xarray")
    data = fits.to_xarray()
    assert dict(data.sizes) == {"chain": 1, "draw": 10, "language": 4, "coefficient": 14}
    german = data.sel(language="German", coefficient="R")
    assert float(german.best) == fits.coefficients("German")["R"]
    ends = fits.intervals("German")["R"]
    quantiles = german.coefficients.quantile([0.05, 0.95]).values
    assert tuple(quantiles) == pytest.approx(ends, rel=0.2)
    theta = fits.draws[2, :, fits.law.names.index("R")]
    assert german.coefficients.values[0] == pytest.approx(np.exp(theta))
    assert not data.frozen.any()


def test_arviz_reads_the_draws(fits):
    pytest.importorskip("xarray")
    arviz = pytest.importorskip("arviz")
    table = arviz.summary(fits.to_xarray(), kind="stats")
    assert len(table) == 4 * 14
    row = table.loc["coefficients[German, alpha]"]
    alpha = fits.to_xarray().coefficients.sel(language="German", coefficient="alpha")
    assert row["mean"] == pytest.approx(float(alpha.mean()), abs=1e-3)


def test_recipes_with_coordinates(fits, answer):
    pytest.importorskip("xarray")
    data = answer.to_xarray()
    assert dict(data.sizes) == {"language": 4, "compute": 2, "target_tokens": 3}
    place = data.sel(language="French", compute=1e12, target_tokens=65536)
    row = answer.to_frame().query("language == 'French' and compute == 1e12").iloc[1]
    for name in ("loss", "loss_low", "loss_high", "n_params", "epochs_high", "budget_used"):
        assert float(place[name]) == row[name]
    assert str(place.regime.values) == row["regime"]
    own = {name: [2**14 * (i + 1)] for i, name in enumerate(fits.languages)}
    other = optimize(fits, compute=[1, 1e12], target_tokens=own, draws=0).to_xarray()
    assert other.loss.dims == ("language", "compute", "corpus")
    assert other.target_tokens.sel(language="German", corpus=0) == 3 * 2**14
    assert np.isnan(other.loss.sel(compute=1)).all()
    assert (other.regime.sel(compute=1) == "").all()


def test_without_xarray_the_error_says_what_to_install(fits, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(M3Error, match=r"pip install 'm3jax\[xarray\]'"):
        fits.to_xarray()


def test_text_is_one_name_where_names_are_meant(runs, fits, shown):
    assert list(diagnose(fits, runs, languages="German")) == ["German"]
    assert runs.batch(languages="German").languages == ("German",)
    assert list(profile(fits, runs, "alpha", "German", points=5)) == ["alpha"]
    assert fits["German"].languages == ("German",)
    assert {score.holdout for score in shown["Scores"]} == {"compute"}
    answer = optimize(fits, compute="1e12", target_tokens="65K", languages="German", draws=0)
    assert (answer.compute[0], answer.target_tokens[0, 0]) == (1e12, 65e3)
    law = Law("one", (Coefficient("E", (1, 2), (0, 9), needs="epochs"),), None, "epochs")
    assert (law.variables, law.coefficients[0].needs) == (("epochs",), ("epochs",))


def test_one_language_of_many(fits):
    german = fits["German"]
    assert german.languages == ("German",)
    assert german.coefficients() == fits.coefficients("German")
    assert german.grades == (fits.grades[2],)
    assert [len(fits), len(german), len(fits[["French", "German"]])] == [4, 1, 2]
    one, many = (
        optimize(f, compute=1e12, target_tokens=65536, languages="German", draws=10)
        for f in (german, fits)
    )
    assert one.records() == many.records()
    with pytest.raises(M3Error, match="unknown language 'Germn'; did you mean 'German'"):
        fits["Germn"]


def test_tables_of_results_are_frames(fits):
    frame = fits.to_frame()
    assert len(frame) == 4 * 14
    row = frame[(frame.language == "German") & (frame.coefficient == "alpha")].iloc[0]
    assert row["value"] == fits.coefficients("German")["alpha"]
    assert row["low"] < row["high"]
    answer = optimize(fits, compute=[1e11, 1e12], target_tokens=65536, draws=0)
    assert answer.to_frame().to_dict("records")[3]["loss"] == answer.records()[3]["loss"]


def test_a_frame_is_as_good_as_a_table(runs, fits):
    frame = pd.read_csv(PILOT)
    again = fit(frame, draws=0)
    assert again.coefficients("German") == pytest.approx(fits.coefficients("German"), rel=1e-6)
    german = frame[frame.language == "German"]
    (score,) = compare(german, "chinchilla", holdouts="compute")
    assert score.law == "chinchilla"

    class Columns:
        """What polars offers."""

        def to_dict(self, *, as_series):
            assert not as_series
            return frame.to_dict("list")

    assert len(RunTable.of(Columns())) == len(runs)
    with pytest.raises(M3Error, match="expected a RunTable or a DataFrame, got int"):
        fit(3)
