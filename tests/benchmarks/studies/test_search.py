"""`search` on a few made-up runs."""

import numpy as np
import pytest

from benchmarks.studies import search
from benchmarks.support.synthetic import run_table, true_theta

from ...conftest import call_script, is_finite

LANGUAGE = {
    "found", "worst", "best_objective", "brute_force_over_best", "mean_agreement",
    "largest_agreement", "huber_delta",
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    return {"small": run_table(true_theta(1, 4), 40, 0.005, 6)}


@pytest.mark.slow
def test_seeds_are_held_against_the_lowest_of_all(small, monkeypatch):
    monkeypatch.setattr(search, "tables", lambda folder: small)
    done = call_script(search, "--json", "--seeds", "2", "--candidates", "32", "--engine", "host")
    assert done.code == 0
    (table,) = done.json["tables"].values()
    (row,) = table["languages"].values()
    assert is_finite(done.json)
    assert set(row) == LANGUAGE
    assert done.json["found"] == row["found"]
    assert row["worst"] >= 1 - 1e-6
    assert row["brute_force_over_best"] >= 1
    assert (row["found"] == 1) == (row["worst"] <= 1 + search.CLOSE)
    assert "small language0000: found" in done.err


def test_the_shipped_tables_are_searched():
    by_name = search.tables(None)
    assert {name: len(runs.languages) for name, runs in by_name.items()} == {"pilot": 4, "tiny": 2}
    assert all(np.isfinite(runs.loss).all() for runs in by_name.values())
