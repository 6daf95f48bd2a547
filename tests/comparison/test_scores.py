"""Scores against what `fit` and `predict` give by hand."""

import dataclasses
import json

import jax
import numpy as np
import pandas as pd
import pytest

from m3jax import Coefficient, Law, M3Error, RunTable, compare, fit, holdout_mask, laws
from m3jax.comparison import (
    extrapolation_distance,
    information_criteria,
    predict_held_out,
    slices,
    splits,
)
from m3jax.comparison import score as scored_from

from .tables import FEW, POWER, table


def with_third(runs: RunTable, mask: np.ndarray) -> RunTable:
    """The runs and a third language, with those of them that `mask` picks."""
    third = runs.select(mask).to_frame().assign(language="third")
    return RunTable.from_frame(pd.concat([runs.to_frame(), third]))


def test_runs_of_weight_zero_are_not_scored(runs):
    free = dataclasses.replace(runs, weight=np.ones(len(runs)))
    far = np.flatnonzero(holdout_mask(runs, "compute", fraction=0.25))
    none = dataclasses.replace(free, weight=np.where(np.arange(len(runs)) == far[0], 0.0, 1.0))
    before, after = (compare(t, [POWER], fraction=0.25, **FEW)[0] for t in (free, none))
    assert after.n_test == before.n_test - 1
    assert after.mae != before.mae


def test_scores_are_those_computed_by_hand(runs):
    told = []
    scores = compare(
        runs,
        ["chinchilla", POWER],
        holdouts=["compute", "target_ratio"],
        fraction=0.25,
        seed=3,
        progress=lambda *step: told.append(step),
        **FEW,
    )
    assert [(s.law, s.holdout, s.language) for s in scores] == [
        (law, holdout, language)
        for law in ("chinchilla", "power")
        for holdout in ("compute", "target_ratio")
        for language in runs.languages
    ]
    assert told == [("comparing", i, 2) for i in range(3)]
    by_name = {"chinchilla": "chinchilla", "power": POWER}
    for score in scores:
        far = holdout_mask(runs, score.holdout, fraction=0.25)
        fits = fit(runs.select(~far), by_name[score.law], draws=0, seed=3, engine="host", **FEW)
        test = runs.select(far & (runs.language == score.language))
        predicted = fits.predict(test.recipe, score.language)
        assert score.message is None
        assert score.n_train == fits.n_runs[fits.index(score.language)]
        assert score.n_test == len(test)
        assert score.n_train + score.n_test == 24
        objective = fits.objective[fits.index(score.language)]
        assert score.objective == pytest.approx(objective, rel=1e-6)
        assert score.mae == pytest.approx(np.mean(np.abs(predicted - test.loss)), rel=1e-3)
        relative = np.mean(np.abs(predicted - test.loss) / test.loss)
        assert score.mean_relative_error == pytest.approx(relative, rel=1e-3)
        left = np.mean((predicted - test.loss) ** 2) / np.var(test.loss)
        assert score.r2 == pytest.approx(1 - left, abs=1e-3)
        assert score.n_coefficients == np.sum(~fits.frozen[fits.index(score.language)])


def test_the_same_call_gives_the_same_scores(runs):
    assert compare(runs, [POWER], **FEW) == compare(runs, [POWER], **FEW)


def test_scores_are_ready_for_json(runs):
    for score in compare(runs, [POWER], **FEW):
        assert json.loads(json.dumps(score.to_dict(), allow_nan=False)) == dataclasses.asdict(score)


def test_one_held_out_run_has_no_variance_to_explain(runs):
    for score in compare(runs, [POWER], fraction=0.01, **FEW):
        assert score.n_test == 1
        assert score.r2 is None
        assert score.mae > 0


def test_a_language_with_nothing_held_out_says_so_and_the_others_go_on(runs):
    single = with_third(runs, ~np.asarray(runs.recipe.is_two_stage))
    *scored, without = compare(single, [POWER], holdouts=["two-stage"], **FEW)
    assert without.language == "third"
    assert without.message == "nothing is held out: two-stage does not vary"
    assert without.n_test == 0
    assert without.mae is without.r2 is without.objective is None
    for score in scored:
        assert score.message is None
        assert score.n_test > 0
        assert score.mae > 0


def test_where_nothing_is_left_to_fit_the_score_says_so(runs):
    both = runs.select(np.asarray(runs.recipe.is_two_stage))
    for score in compare(both, [POWER], holdouts=["two-stage"], **FEW):
        assert score.message.startswith("nothing is left to fit")
        assert score.n_train == 0
        assert score.mae is None


def test_too_few_runs_to_fit_is_told_of_that_language_alone(runs):
    few = with_third(runs, np.arange(len(runs)) < 3)
    *fitted, failed = compare(few, [POWER], fraction=0.25, **FEW)
    assert [score.message for score in fitted] == [None, None]
    assert (failed.language, failed.n_train, failed.n_test) == ("third", 2, 1)
    assert failed.message.startswith("too few runs: 2; a fit needs at least 3")
    assert failed.mae is failed.objective is None


def test_the_order_of_the_table_does_not_matter(runs):
    # Languages mixed up in the table: every score is still about its own language's runs.
    order = np.random.default_rng(0).permutation(len(runs))
    mixed = dataclasses.replace(
        runs,
        language=runs.language[order],
        run_id=runs.run_id[order],
        recipe=jax.tree.map(lambda leaf: leaf[order], runs.recipe),
        loss=runs.loss[order],
        seed=runs.seed[order],
        row=runs.row[order],
    )
    expected = {s.language: s for s in compare(runs, [POWER], **FEW)}
    for score in compare(mixed, [POWER], **FEW):
        assert score.mae == pytest.approx(expected[score.language].mae, rel=1e-4)
        assert score.n_test == expected[score.language].n_test


def test_bad_comparisons_are_refused(runs):
    with pytest.raises(M3Error, match="unknown law 'm4'; known: m3"):
        compare(runs, ["chinchilla", "m4"])
    with pytest.raises(M3Error, match=r"holdouts: expected 'compute' or .*, got 'size'"):
        compare(runs, ["chinchilla"], holdouts=["size"])
    with pytest.raises(M3Error, match="fraction"):
        compare(runs, ["chinchilla"], fraction=2.0)
    assert compare(runs, []) == ()


@pytest.mark.slow
def test_folds_and_languages_are_scored(runs):
    found = compare(runs, [POWER], holdouts=["folds", "language"], **FEW)
    assert [(s.holdout, s.n_test) for s in found] == [
        ("folds", 24),
        ("folds", 24),
        ("language", 21),
        ("language", 21),
    ]
    assert all(s.message is None and s.mae > 0 for s in found)
    alone = compare(runs.for_language(runs.languages[0]), [POWER], holdouts=["language"], **FEW)
    assert alone[0].message.startswith("nothing to learn from")


def test_regret_is_the_price_of_the_run_that_was_predicted_best():
    #                 one corpus and budget    | another corpus | alone
    runs = table(
        n_params=[1e8, 1e8, 1e8, 1e8, 2e8, 1e8],
        target_tokens=[1e8, 1e8, 1e8, 3e8, 3e8, 9e8],
        epochs=[2.0, 4.0, 8.0, 4.0, 2.0, 2.0],
        target_ratio=[0.1, 0.2, 0.4, 0.5, 0.5, 0.5],
        loss=[3.0, 2.8, 2.9, 2.5, 2.6, 2.0],
    )
    groups = [group.tolist() for group in slices(runs, np.arange(6))]
    assert groups == [[0, 1, 2], [3, 4]]
    # Compute of both groups is the same to rounding; copies of a recipe are no choice.
    same = table(epochs=[2.0, 2.0, 2.0], seed=[1, 2, 3], loss=[3.0, 3.1, 3.2])
    assert slices(same, np.arange(3)) == []

    fewest = Law(
        name="fewest_epochs",
        coefficients=(Coefficient("a", (1.0, 5.0), (1e-3, 1e3), log=True, neutral=1.0),),
        function=lambda c, recipe: c["a"] * recipe.epochs**0.1,
        variables=("epochs",),
    )
    found = predict_held_out(runs, [fewest], holdouts=["folds"], **FEW)
    everyone = dataclasses.replace(
        found[0], predicted=np.asarray(runs.recipe.epochs), held=np.ones(6, dtype=bool)
    )
    (one,) = scored_from(runs, [everyone])
    # It takes run 0 in the first group (0.2 too much) and run 4 in the second (0.1).
    assert one.n_slices == 2
    assert one.regret == pytest.approx(0.15)


def test_information_criteria_of_small_errors_are_those_of_normal_ones():
    error = np.random.default_rng(0).normal(0, 1e-3, 500)
    aic, bic = information_criteria(0.5 * np.sum(error**2), 500, 3, 1.0)
    deviance = 500 * np.log(2 * np.pi * np.mean(error**2)) + 500
    assert aic == pytest.approx(deviance + 2 * 4, abs=0.01)
    assert bic == pytest.approx(deviance + 4 * np.log(500), abs=0.01)


def test_information_criteria_of_large_errors_are_those_of_laplaces():
    error = np.random.default_rng(0).laplace(0, 1.0, 500)
    aic, _ = information_criteria(1e-6 * np.sum(np.abs(error)), 500, 3, 1e-6)
    deviance = 2 * 500 * (np.log(2 * np.mean(np.abs(error))) + 1)
    assert aic == pytest.approx(deviance + 2 * 4, abs=0.01)


def test_distance_is_to_the_nearest_fitted_run():
    runs = table(n_params=[1e7, 1e8, 1e10], language=["x", "x", "x"])
    (part,) = splits(runs, "n_params")
    np.testing.assert_allclose(extrapolation_distance(runs, part), [np.nan, np.nan, 2.0])
    other = table(n_params=[1e7, 1e8, 1e10], language=["x", "x", "y"])
    assert np.isnan(extrapolation_distance(other, part)).all()


def test_all_laws_can_be_asked_for(runs, monkeypatch):
    known = {name: laws._REGISTRY[name] for name in ("chinchilla", "kaplan")}
    monkeypatch.setattr(laws, "_REGISTRY", known)
    one = runs.for_language(runs.languages[0])
    with pytest.raises(M3Error, match="unknown law 'al'"):
        compare(one, "al")
    found = [s.law for s in compare(one, ["kaplan", "all", POWER], starts=1)]
    assert found == ["kaplan", "chinchilla", "power"]
