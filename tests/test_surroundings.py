"""A caller's settings of JAX and NumPy are about the caller's code: m3jax computes as it does."""

import jax
import numpy as np
import pytest

from m3jax import RunTable, diagnose, fit, next_runs, optimize
from m3jax.comparison import predict_held_out, score

from .conftest import ROOT

QUESTION = {"compute": 1e12, "target_tokens": 2**16}


def answers():
    """What everything finds on a table, as plain numbers and words."""
    runs = RunTable.read(ROOT / "m3jax" / "data" / "tiny_two_stage.csv")
    fits = fit(runs, starts=2, draws=20)
    language = fits.languages[0]
    held_out = predict_held_out(runs, ["chinchilla"], holdouts=["folds"], starts=2)
    return {
        "fitted": {name: [*map(float, fits.theta[i])] for i, name in enumerate(fits.languages)},
        "draws": fits.draws.tolist(),
        "predicted": np.asarray(fits.predict(runs.recipe, language=language)),
        "diagnosed": {name: found.to_dict() for name, found in diagnose(fits, runs).items()},
        "recommended": optimize(fits, **QUESTION).records(),
        "next": next_runs(fits, language=language, runs=2, budget=1e12, **QUESTION).records(),
        "compared": [one.to_dict() for one in score(runs, held_out)],
    }


def numbers(found):
    """All numbers in lists of objects of lists, in order."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list | tuple | np.ndarray):
        return [number for part in found for number in numbers(part)]
    return [found] if isinstance(found, int | float) else []


@pytest.mark.slow
def test_strict_settings_change_nothing():
    usual = answers()
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.debug_nans(True),
        jax.debug_infs(True),
        jax.enable_x64(True),
        np.errstate(all="raise"),
    ):
        strict = answers()
    assert list(strict) == list(usual)
    for name, found in strict.items():
        # Other code is compiled where other settings are.
        close = {"rtol": 1e-8, "atol": 1e-10, "err_msg": name}
        np.testing.assert_allclose(numbers(found), numbers(usual[name]), **close)
