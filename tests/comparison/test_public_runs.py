"""What the comparison of laws on public runs came to."""

import numpy as np
import pytest

from m3jax import RunTable, compare


@pytest.mark.slow
def test_m3_is_first_or_level_on_two_of_three_public_holdouts(shared_data):
    columns = {"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"}
    runs = RunTable.read(shared_data / "muennighoff" / "fit_182.csv", columns=columns)
    laws = ("m3", "m3_posynomial", "chinchilla", "data_constrained", "overfit_penalty", "bounded")
    scores = compare(runs, laws, holdouts=["compute", "epochs", "n_params"])
    by_holdout = {s.holdout: s for s in scores if s.law == "m3"}
    assert by_holdout["epochs"].level_with_best
    assert by_holdout["n_params"].level_with_best
    np.testing.assert_allclose(
        [by_holdout[h].mean_relative_error for h in ("compute", "epochs", "n_params")],
        [0.0369, 0.0437, 0.0286],
        atol=0.001,
    )
