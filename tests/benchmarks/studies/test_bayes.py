"""`bayes` at a tiny size."""

import pytest

from benchmarks.studies import bayes

from ...conftest import call_script, is_finite


@pytest.mark.slow
def test_the_bootstrap_agrees_with_a_posterior():
    pytest.importorskip("numpyro")
    done = call_script(bayes, "--runs", 60, "--draws", 1500, "--samples", 300, "--json")
    assert done.code == 0
    result = done.json
    assert is_finite(result)
    assert set(result["intervals"]) == {"E", "A", "alpha", "B", "beta", "loss_at_1e10"}
    for row in result["intervals"].values():
        assert 0.6 < row["width_ratio"] < 1.6
        assert abs(row["centre_shift"]) < 0.7
