"""The study of coverage on real runs, on one language of the shipped table."""

from importlib import resources

import pandas as pd
import pytest

from benchmarks.studies import coverage_real

from ...conftest import call_script

PILOT = resources.files("m3jax") / "data" / "pilot_debian.csv"


@pytest.mark.slow
def test_all_methods_on_all_hold_outs_of_a_table(tmp_path, capsys):
    table = pd.read_csv(str(PILOT)).query("language == 'French'").rename(columns={"loss": "val"})
    table.to_csv(tmp_path / "french.csv", index=False)
    arguments = ["--runs", tmp_path / "french.csv", "--map", "loss=val", "--draws", 10, "--json"]
    done = call_script(coverage_real, *arguments)
    assert done.code == 0
    result = done.json
    assert result["holdouts"] == 6
    methods = {row["method"]: row for row in result["methods"]}
    assert {"calibrated", "bootstrap", "widened", "bent", "factor", "distance", "two_laws"} <= set(
        methods
    )
    for row in methods.values():
        assert [h["table"] for h in row["holdouts"]] == ["french"] * 6
        assert 0 <= row["worst_coverage"] <= row["mean_coverage"] <= 1
        assert 0 < row["width"] <= row["interval_score"]
    assert (
        result["coverage"] == methods["calibrated"]["coverage"] > methods["bootstrap"]["coverage"]
    )
    assert result["interval_score"] == methods["calibrated"]["interval_score"]
    assert result["interval_score_bootstrap"] == methods["bootstrap"]["interval_score"]
    coverage_real.show(result)
    assert "two-stage" in capsys.readouterr().out
