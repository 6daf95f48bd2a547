"""Runs that stand out, and runs that decide."""

import dataclasses

import numpy as np
import pytest

from m3jax import diagnose

from ..tables import told


def test_a_planted_outlier_is_found_by_name(simple):
    found = simple.found["odd"]
    assert [run.name for run in found.outliers] == ["run 'odd-17'"]
    run = found.outliers[0]
    assert run.residual == pytest.approx(np.log(1.06), abs=0.015)
    assert run.standardised > 6
    assert run.message.startswith("run 'odd-17' lies 5.") or "lies 6" in run.message
    assert "above the fit" in run.message
    assert any(v.startswith(run.message) for v in found.verdicts)
    assert max(r.influence for r in found.runs) == found.influential[0].influence
    # One run of sixty must not spoil the rest.
    assert {c.determined for c in found.coefficients} == {"well"}


def test_runs_without_names_are_rows(simple):
    unnamed = dataclasses.replace(simple.runs, run_id=simple.runs.row.astype(str))
    row = int(simple.runs.row[simple.runs.run_id == "odd-17"][0])
    found = diagnose(simple.fits, unnamed)["odd"]
    assert [(run.name, run.row) for run in found.outliers] == [(f"row {row}", row)]


def test_a_lonely_run_has_the_leverage(simple):
    found = simple.found["lonely"]
    top = max(found.runs, key=lambda run: run.leverage)
    assert top.name == "run 'lonely-5'"
    assert top.leverage > 0.9 > 3 * sorted(run.leverage for run in found.runs)[-2]
    assert f"{top.name} stands alone" in told(simple, "lonely")
