"""How results show themselves: lines, tables, notebooks."""

from importlib import resources

import pandas as pd
import pytest

from m3jax import M3Error, RunTable, compare, fit, optimize

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
