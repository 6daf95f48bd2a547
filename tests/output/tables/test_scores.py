"""Tables of scores: ranking, medians, and how sure the differences are."""

import pytest

from m3jax.comparison import Score
from m3jax.output.tables import holdout_table, medians_table, ranked

BEST = Score(
    "m3", "Ewe", "compute", 24, 8, n_coefficients=14, mae=0.01, mean_relative_error=0.004,
    r2=0.99, aic=-10.0, bic=-4.0, regret=0.0, n_slices=3, behind=0.0, behind_low=0.0,
    behind_high=0.0,
)  # fmt: skip
LEVEL = Score(
    "chinchilla", "Ewe", "compute", 24, 8, n_coefficients=5, mae=0.02, mean_relative_error=0.009,
    r2=0.9, aic=3.0, bic=4.0, regret=0.01, n_slices=3, behind=0.01, behind_low=-0.001,
    behind_high=0.03,
)  # fmt: skip
FAILED = Score("kaplan", "Ewe", "compute", 24, 8, message="too few runs")
SCORES = [LEVEL, FAILED, BEST]


def _by_header(table, view):
    headers = [column.heading(view) for column in table.shown(view)]
    return [dict(zip(headers, cells, strict=True)) for cells in table.cells(view)]


def test_the_best_law_is_first_and_those_without_figures_last():
    assert ranked(SCORES, "Ewe", "compute") == [BEST, LEVEL, FAILED]
    assert ranked(SCORES, "Ewe", "folds") == []


def test_a_holdout_says_how_far_behind_laws_are():
    table = holdout_table(SCORES, "Ewe", "compute")
    assert table.title == "Held-out runs: compute (24 fitted, 8 held out, regret over 3 choices)"
    brief, full = _by_header(table, "brief"), _by_header(table, "full")
    assert [row["behind best\n(90%)"] for row in brief[:2]] == ["best", "-0.0010 to 0.0300 ="]
    behind = [row["behind the best,\nnats [90%]"] for row in full]
    assert behind == ["0.0000", "0.0100\n-0.0010–0.0300", "–"]
    assert [row["message"] for row in full] == ["–", "–", "too few runs"]
    assert "message" not in brief[0]
    assert (full[0]["AIC of\nthe fit"], full[2]["AIC of\nthe fit"]) == ("-10.0", "–")
    assert brief[0] | full[0] == full[0] | brief[0]


def test_a_holdout_of_several_languages_names_its_own():
    other = Score("m3", "Fon", "compute", 20, 4)
    assert "compute, Ewe (24" in holdout_table([*SCORES, other], "Ewe", "compute").title


def test_medians_are_of_the_languages_where_a_law_could_be_tested():
    scores = [
        Score("m3", language, "compute", 9, 3, mae=mae, mean_relative_error=mae / 2, behind=behind)
        for language, mae, behind in (("a", 0.01, 0.0), ("b", 0.03, 0.0), ("c", 0.09, 0.05))
    ]
    scores += [Score("kaplan", "a", "compute", 9, 3), Score("m3", "a", "folds", 9, 3, mae=7.0)]
    scores += [Score("cmr", "c", "compute", 9, 3, mae=0.02, behind=0.0)]
    rows = medians_table(scores, "compute").rows
    assert [row["law"] for row in rows] == ["cmr", "m3"]
    assert rows[1]["languages"] == 3
    assert rows[1]["mae"] == pytest.approx(0.03)
    assert rows[1]["mean_relative_error"] == pytest.approx(0.015)
    assert rows[1]["best"] == 2
