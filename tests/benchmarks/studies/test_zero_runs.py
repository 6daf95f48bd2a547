"""The studies of recipes without runs, at a tiny size."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import designed_runs, zero_runs
from m3jax.fitting import Evidence, fit_without_runs

from ...conftest import call_script, is_finite


def alternatives():
    """One budget, four mixes: the best measured one reads the text eight times."""
    return pd.DataFrame(
        {
            "language": "x",
            "n_params": 1e8,
            "target_tokens": 1e8,
            "epochs": [1.0, 4.0, 8.0, 16.0],
            "target_ratio": [0.0625, 0.25, 0.5, 1.0],
            "final_ratio": [0.0625, 0.25, 0.5, 1.0],
            "first_ratio": [0.0625, 0.25, 0.5, 1.0],
            "loss": [3.6, 3.3, 3.2, 3.4],
            "run_id": list("abcd"),
        }
    )


def test_cells_are_alternatives_of_equal_cost_averaged_over_seeds():
    runs = alternatives()
    again = runs.assign(loss=runs.loss + 0.2)
    dearer = runs.assign(n_params=1e9)
    found = zero_runs.cells(pd.concat([runs, again, dearer]), 0.1)
    assert [len(cell) for cell in found] == [4, 4]
    assert found[0].loss.tolist() == pytest.approx([3.7, 3.4, 3.3, 3.5])
    assert zero_runs.cells(runs.assign(loss=3.0), 0.1) == []


def test_a_choice_is_judged_by_what_was_measured():
    (cell,) = zero_runs.cells(alternatives(), 0.1)
    evidence = Evidence.public()
    row = zero_runs.judge(cell, fit_without_runs(evidence, "x", draws=40), evidence.width)
    assert row["four epochs"] == pytest.approx(np.log(3.3 / 3.2))
    assert row["natural mix"] == pytest.approx(np.log(3.6 / 3.2))
    assert row["plan"] in [pytest.approx(np.log(loss / 3.2)) for loss in cell.loss]
    assert 0 <= row["held"] <= 1
    whole = zero_runs.summary([row, row])
    assert whole["cells"] == 2
    assert whole["plan"] == pytest.approx(row["plan"])


@pytest.mark.slow
def test_a_table_left_out(shared_data, monkeypatch, capsys):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    done = call_script(
        zero_runs,
        *("--left-out", "Wikipedia", "tiny", "--counts", "4"),
        *("--draws", 60, "--repeats", 1, "--json"),
    )
    assert done.code == 0
    assert is_finite(done.json)
    rows = done.json["tiny"]
    assert set(rows) == {"0", "4"}
    # Which tables they are was chosen for their size; the study's figures are in the documentation.
    assert rows["0"]["cells"] == 36
    assert rows["0"]["plan"] < rows["0"]["four epochs"] < rows["0"]["natural mix"]
    # Wikipedia is unlike the others: what these say of it is bad, and a few runs mend it.
    rows = done.json["Wikipedia"]
    assert rows["0"]["cells"] == 9
    assert rows["0"]["four epochs"] < rows["0"]["natural mix"]
    assert rows["4"]["plan"] < rows["0"]["plan"] / 2
    zero_runs.show(done.json)
    assert "Wikipedia" in capsys.readouterr().out


@pytest.mark.slow
def test_sheets_beside_grids(capsys):
    arguments = ("--truths", 4, "--runs", 6, "--draws", 60, "--share", 0.002, "--json")
    done = call_script(designed_runs, *arguments)
    assert done.code == 0
    result = done.json
    assert result["truths"] == 4
    low, high = result["ratio_interval"]
    assert 0 < low <= result["ratio"] <= high
    assert all(regret >= -1e-6 for regret in result["mean_regret"].values())
    designed_runs.show(result)
    assert "designed over grid" in capsys.readouterr().out
