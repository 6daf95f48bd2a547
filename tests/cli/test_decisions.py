"""Questions that spend a training budget, asked of tables as people have them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ..conftest import call, ok

TEXT = ("2e9", "2e10", "2e11", "2e12", "2e13")


def optimised(*arguments):
    """Records, from the command line."""
    return ok("optimize", "fits.json", *arguments, "--draws", 0, "--json").json


@pytest.fixture
def isoflop(tmp_path, monkeypatch):
    """Runs of three budgets, one epoch each, with a measured GFLOP column and names of its own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    budget = np.repeat([1e18, 1e19, 1e20], 7)
    size = np.tile(np.geomspace(0.2, 5.0, 7), 3) * np.sqrt(budget) / 20
    tokens = budget / 6 / size
    loss = 1.8 + 400 * size**-0.34 + 1200 * tokens**-0.33
    frame = pd.DataFrame(
        {
            "Name": [f"run {i}" for i in range(len(size))],
            "parameter_count": size.round(),
            "throughput/total_tokens": tokens.round(),
            "throughput/total_gflops": budget / 1e9 * rng.uniform(0.9, 1.1, len(size)),
            "eval/loss": loss * np.exp(rng.normal(0, 1e-3, len(size))),
        }
    )
    frame.to_csv("export.csv", index=False)
    columns = (
        "n_params=parameter_count,total_tokens=throughput/total_tokens,"
        "compute=throughput/total_gflops,loss=eval/loss,run_id=Name"
    )
    law = ("--law", "chinchilla", "--draws", 0, "-o", "fits.json")
    return ok("fit", "export.csv", "--map", columns, "--units", "compute=1e9", *law)


def test_measured_compute_beside_size_and_tokens_is_said(isoflop):
    assert "taken as measured" in isoflop.out
    assert "6 * n_params * total_tokens" in isoflop.out


def test_more_text_than_the_budget_reads_changes_nothing(isoflop):
    records = optimised("-c", "3e20", "-t", ",".join(TEXT))
    losses = np.array([row["loss"] for row in records])
    assert np.all(np.diff(losses) <= 1e-9)
    # Where there is plenty the recipe is the law's own optimum, for which a part of it is read.
    named = json.loads(Path("fits.json").read_text())["languages"]["all"]["coefficients"]
    e, a, alpha, b, beta = (named[name]["value"] for name in ("E", "A", "alpha", "B", "beta"))
    size = np.geomspace(1e8, 1e11, 100_001)
    best = np.min(e + a * size**-alpha + b * (3e20 / 6 / size) ** -beta)
    for row in records[2:]:
        read = row["share_read"] * row["target_tokens"]
        assert read == pytest.approx(row["total_tokens"], rel=1e-6)
        assert row["loss"] == pytest.approx(best, rel=1e-8)
        assert row["budget_used"] == pytest.approx(1.0, abs=1e-6)


def test_a_budget_that_the_limits_leave_unspent_is_said(isoflop):
    limits = ("--n-params", "1e8,3e9", "--draws", 0)
    out = " ".join(ok("optimize", "fits.json", "-c", "1e23", "-t", "1e10", *limits).out.split())
    assert "only 0.18% of the 1e+23 FLOP is used" in out
    assert "n_params ≤ 3.00B (--n-params)" in out
    assert "all target text read" in out


def test_what_no_run_comes_near_is_refused_in_one_line(isoflop):
    sizes = ("--n-params", "1e13,2e13")
    result = call("optimize", "fits.json", "-c", "1e24", "-t", "1e12", *sizes)
    assert result.code == 2
    assert "--extrapolate" in result.err
    assert result.err.count("\n") == 1
