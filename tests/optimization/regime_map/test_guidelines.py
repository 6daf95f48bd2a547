"""The two guidelines: what is judged, and what cannot be."""

import numpy as np
import pytest

from m3jax.optimization.regime_map import collapse, crossings, direct_switch, rms_scatter
from m3jax.recipe import REGIMES


def test_direct_switch_is_not_judged_where_it_cannot_be_seen():
    none = crossings(lambda row, x: np.zeros((3, len(x))), np.zeros((2, 3), int), np.arange(3.0))
    assert none.row.size == 0
    compute = np.array([1e18, 1e20])
    missing = direct_switch(none, 1, compute, (1, 2), np.inf)
    assert missing.holds is None
    assert REGIMES[0] in missing.evidence
    assert direct_switch(none, 1, compute, (0, 1, 2), np.inf).holds is None


def test_collapse_is_judged_by_how_far_curves_are_apart():
    x = np.linspace(-3, 3, 20)
    curves = np.stack([-0.5 * x, -0.5 * x + 0.3])
    counts = np.ones_like(curves, dtype=bool)
    assert rms_scatter(curves, counts) == pytest.approx(0.15)
    assert rms_scatter(curves, counts & (np.arange(2) == 0)[:, None]) == np.inf
    assert collapse([0.05], [0.4], 0.5, 0.5).holds
    assert collapse([0.05], [0.06], 0.5, 0.5).holds is False
    assert collapse([0.3], [0.9], 0.5, 0.5).holds is False
    judged = collapse([np.inf, 0.1, 0.3], [0.4, 0.4, 0.4], 0.5, None)
    assert judged.holds is None
    assert judged.share == 0.5
