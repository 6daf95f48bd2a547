"""The study of pooled languages' recipes: it runs, and its regret is measured against the best."""

import json
import sys

import pytest

from benchmarks.studies import pooled_recipes


@pytest.mark.slow
def test_benchmark_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pooled_recipes", "--tiny", "--json"])
    assert pooled_recipes.main() == 0
    result = json.loads(capsys.readouterr().out)
    (kind,) = result["populations"]
    rows = {k: v for k, v in result["populations"][kind].items() if k != "fit_seconds"}
    assert len(rows) == 1 + len(pooled_recipes.QUESTIONS)
    for row in rows.values():
        # Nothing within the ground beats the truly best recipe on it.
        assert 0 <= row["regret_median"] <= row["regret_p90"] <= row["regret_worst"]
        assert all(0 <= share <= 1 for share in row["coverage"].values())
    # The fence of a language's own runs would hold epochs and ratios to what few of them had.
    assert rows["all"]["coverage"]["epochs"] > 0.7
    assert rows["all"]["regret_median"] < 0.1
