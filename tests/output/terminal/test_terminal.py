"""What is printed: names with brackets as they are, notes whole, tables within 80 columns."""

import dataclasses

import numpy as np
import pytest

from m3jax.comparison import Score
from m3jax.design import NextRuns
from m3jax.optimization import NO_STANDING, BudgetSplit, Distance, SharedModel, Standing
from m3jax.output import (
    show_fits,
    show_next_runs,
    show_pilot_result,
    show_recommendations,
    show_scores,
    show_shared_model,
    show_split,
    show_worth,
)
from m3jax.pilot import PilotResult
from m3jax.recipe import Recipe

from ..cases import ODD

BRACKETS = "Ewe [bold]"
STANDING = Standing(
    compute=1e18, budget_used=0.029, held_by=("n_params ≤ 3.00M (--n-params)",),
    outside=(Distance("n_params", 3.0, "above"),), next_runs="",
)  # fmt: skip
RECIPE = Recipe.create(
    n_params=[1e6, 2e6],
    target_tokens=[1e5, 1e6],
    epochs=[4.0, 2.0],
    target_ratio=[0.2, 1.0],
    final_ratio=[0.8, 1.0],
)


def test_fits_name_languages_that_failed(case, capsys):
    show_fits(case.fits, ["2 runs dropped"])
    out = capsys.readouterr().out
    assert "Law m3: fit of runs.csv" in out
    assert "note: 2 runs dropped" in out
    assert f"note: {ODD}: R < 1 is at its lower bound" in out
    assert "note: Rare & <new>: 3 runs are too few for 14 coefficients" in out
    assert out.count("not fitted") == 1
    assert f"Coefficients of {ODD}" in out
    assert out.count("90% interval") == 2
    show_fits(case.fits, brief=True)
    assert "Coefficients" not in capsys.readouterr().out


def test_recipes_of_each_language_fit_the_terminal(case, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show_recommendations(case.found)
    lines = capsys.readouterr().out.splitlines()
    assert sum("Best recipes for" in line for line in lines) == 2
    assert max(len(line) for line in lines if "note:" not in line) <= 80


def test_a_narrow_terminal_gets_a_block_a_row(case, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    show_recommendations(case.found)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(len(line) for line in lines if "note:" not in line) <= 60
    assert sum(line.startswith("FLOP 1e+12") for line in lines) == 2 * 4
    block = lines[lines.index("FLOP 1e+12") :][:9]
    heads = ["used", "text (read)", "model size", "epochs", "ratio (final)", "loss nats/token"]
    for line, head in zip(block[1:], heads, strict=False):
        assert line.startswith(f"  {head} ")
    recipe = case.found.records()[4]
    assert block[1].endswith("100%")
    assert block[6].split()[-2] == f"{recipe['loss']:.4f}"
    show_fits(case.fits)
    assert "coefficient alpha\n" in capsys.readouterr().out.replace(" \n", "\n")


def test_proven_recipes_say_so(case, capsys):
    gap = np.where(case.found.feasible, 2e-5, np.inf)
    show_recommendations(dataclasses.replace(case.found, gap=gap))
    proven = "note: proven best: no allowed recipe has a loss lower by more than 0.002%"
    assert capsys.readouterr().out.count(proven) == 2
    gap[:, 1] = np.inf
    show_recommendations(dataclasses.replace(case.found, gap=gap))
    assert capsys.readouterr().out.count("note: proven best (4 of 8): no allowed") == 2
    show_recommendations(case.found)
    assert "proven" not in capsys.readouterr().out


def test_messages_of_scores_name_the_laws_unless_all(capsys):
    scores = [
        Score("m3", "Ewe", "compute", 9, 3, n_coefficients=14, mae=0.1, behind=0.0),
        Score("kaplan", "Ewe", "compute", 9, 3, message="too few runs"),
        *(Score(law, "Ewe", "folds", 9, 0, message="no runs held out") for law in ("m3", "kaplan")),
    ]
    show_scores(scores)
    out = capsys.readouterr().out
    assert "note: kaplan, Ewe: too few runs" in out
    assert "note: Ewe: no runs held out" in out
    assert "Held-out runs: folds" not in out


@pytest.fixture
def next_runs() -> NextRuns:
    return NextRuns(
        language=BRACKETS, criterion="regret", recipe=RECIPE, predicted_loss=np.array([2.0, 3.0]),
        predicted_spread=np.array([0.01, 0.02]), worth=np.array([0.9, 0.1]), budget=1e15,
        noise=0.0123, regret_now=0.2, regret_after=0.1, regret_random=0.15, information=3.0,
        information_random=1.0, compute=np.array([1e18]), target_tokens=np.array([1e6]),
        notes=("a [note]",),
    )  # fmt: skip


def test_next_runs_say_what_they_bring(next_runs, capsys):
    show_next_runs([next_runs, dataclasses.replace(next_runs, language="Fon")])
    out = capsys.readouterr().out
    assert f"Next runs for {BRACKETS}" in out
    assert "Next runs for Fon" in out
    assert "2.000 ± 0.020" in out
    assert "0.2 now, 0.1 after these runs, 0.15 after as dear random ones." in out
    assert "Noise reckoned with: 1.23%." in out
    assert "note: a [note]" in out


def test_a_pilot_says_what_it_did_and_what_is_missing(tmp_path, capsys):
    result = PilotResult(
        output=tmp_path / "runs.csv", planned=9, trained=5, kept=3, diverged=("x1",),
        noise={BRACKETS: 0.01, "Fon": None}, repeats={BRACKETS: 4, "Fon": 0},
        overlap={BRACKETS: 0.0, "Fon": 0.0}, seconds=12.3,
    )  # fmt: skip
    show_pilot_result(result)
    printed = capsys.readouterr()
    assert f"{result.output}: 8 of 9 runs (5 trained now in 12 s, 3 before)" in printed.out
    assert f"{BRACKETS}: seeds differ by 1.00% (sd of the loss, 4 degrees" in printed.out
    assert "Fon" not in printed.out
    assert printed.err == "without a finite loss, not in the table: x1\n"


def test_a_split_budget(capsys):
    split = BudgetSplit(
        languages=(BRACKETS, "Fon"), weight=np.array([0.25, 0.75]), compute=np.array([1e15, 3e15]),
        recipe=RECIPE, standings=(STANDING,) * 2, regime=np.array([2, 0]),
        loss=np.array([2.0, 1.0]), mean_loss=1.25,
        equal_loss=np.inf, price=1e-18, kkt=0.0, gap=0.0, convex=True,
    )  # fmt: skip
    show_split(split)
    out = capsys.readouterr().out
    assert "4e+15 FLOP over 2 languages" in out
    assert "two stages" in out
    assert "N ≤ 3.00M" in out
    assert "note: Fon: only 2.9% of the 1e+18 FLOP is used; held by n_params ≤ 3.00M (--n-p" in out
    assert "Weighted mean loss: 1.2500 nats/token; with equal shares out of reach" in out
    assert "The next 1% of compute lowers the mean loss by 4e-05 nats/token." in out
    show_split(dataclasses.replace(split, equal_loss=1.5))
    assert "with equal shares 1.5000." in capsys.readouterr().out


def test_a_shared_model(capsys):
    shared = SharedModel(
        languages=(BRACKETS, "Fon"), weight=np.array([0.5, 0.5]), n_params=1e6, total_tokens=2e6,
        recipe=RECIPE, standings=(STANDING,) * 2, source_ratio=0.4, regime="multilingual two-stage",
        loss=np.array([2.0, 1.0]), mean_loss=1.5, kkt=0.0, gap=0.0, agreement=1.0,
    )  # fmt: skip
    show_shared_model(shared)
    out = capsys.readouterr().out
    assert "One model for 2 languages, two stages" in out
    sizes = "1.00M parameters, 2.00M tokens in all, 40% of them source text."
    assert f"{sizes} Weighted mean loss: 1.5000 nats/token." in out
    assert BRACKETS in out
    assert "same" in out


def test_what_limits_and_regimes_are_worth(capsys):
    record = {
        "language": BRACKETS, "compute": 1e18, "target_tokens": 1e6, "loss": 2.0,
        "regime": "multilingual two-stage", "lost_monolingual": 0.25, "lost_single_stage": None,
        "lost_two_stage": 0.0, "compute_gain_monolingual": 2.3, "compute_gain_single_stage": None,
        "compute_gain_two_stage": 1.0, "prices": ["10% more compute lowers the loss by 0.01"],
        "kinks": ["at one epoch, where repetition begins"], "infeasible": None,
        "sway": "hangs on run 'a'", **STANDING.record(),
    }  # fmt: skip
    none = dict.fromkeys(record) | {
        "language": "Fon", "compute": 1e9, "target_tokens": 1e6, "prices": [], "kinks": [],
        "infeasible": "compute 1e+09 is too little", **NO_STANDING,
    }  # fmt: skip
    show_worth([record, none])
    out = capsys.readouterr().out
    assert "+0.2500" in out
    assert "×2.30" in out
    assert "none allowed" in out
    place = f"{BRACKETS}, 1e+18 FLOP, 1.00M tokens"
    assert f"{place}: 10% more compute lowers" in out
    assert f"{place}: at one epoch" in out
    assert f"{place}: hangs on run 'a'" in out
    assert f"note: {place}: only 2.9% of the 1e+18 FLOP is used" in out
    assert "note: Fon, 1e+09 FLOP, 1.00M tokens: no recipe: compute 1e+09 is too little" in out
