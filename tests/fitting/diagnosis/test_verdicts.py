"""Sentences to act on, and grades."""

import numpy as np
import pytest

from ..tables import NOISE, told


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


def test_a_language_that_was_not_fitted_says_why(simple):
    found = simple.found["few"]
    assert found.grade == "not fitted"
    assert found.verdicts[0].startswith("not fitted: too few runs: 2")
    assert found.coefficients == ()
    assert found.noise is None
