"""The closed loop on two made-up texts, and what it says of its results."""

import json

import numpy as np
import pytest

from benchmarks.studies import closed_loop

from ...conftest import call_script, made_up_text, ok

CONFIG = """
output = "{folder}/runs.csv"
source = "source.txt"
budget = 3e9
runs = 24
ensemble = 1
[targets]
Target = "target.txt"
[training]
length = 16
[design]
target_tokens = [512, 1e6]
"""


@pytest.mark.slow
def test_the_closed_loop_goes_round(tmp_path, monkeypatch):
    monkeypatch.setattr("m3jax.pilot._model._LADDER", ((1, 16), (1, 32)))
    monkeypatch.setattr("m3jax.pilot._design._FEWEST_STEPS", 4)
    (tmp_path / "target.txt").write_text(made_up_text(0, "abcdefghijklm"))
    (tmp_path / "source.txt").write_text(made_up_text(1, "nopqrstuvwxyz"))
    config = tmp_path / "pilot.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    ok("pilot", config)
    out = tmp_path / "loop"
    arguments = [config, "-o", out, "--law", "chinchilla", "--draws", 2, "--target-tokens", 4096]
    seeds, multiple = ["--seeds", 2], ["--multiple", 1.5]
    done = call_script(closed_loop, *arguments, *seeds, *multiple)
    assert done.code == 0
    result = json.loads((out / "result.json").read_text())["languages"]["Target"]
    names = {row["recipe"] for row in result["recipes"]}
    budget = json.loads((out / "result.json").read_text())["compute"]
    compute = {name: budget * closed_loop.CHEAPER.get(name, 1) for name in names}
    assert {"recommended", "recommended, half the compute", "uniform mix", "4 epochs"} <= names
    assert all(name in done.out for name in names)
    for row in result["recipes"]:
        assert len(row["losses"]) == 2
        assert np.isfinite([row["loss"], row["standard_error"], row["predicted"]]).all()
        assert 6 * row["n_params"] * row["total_tokens"] <= 1.3 * compute[row["recipe"]]
    recommended = next(row for row in result["recipes"] if row["recipe"] == "recommended")
    assert recommended["excess"] == 0
    # Again: nothing is decided or trained anew.
    before = (out / "runs.csv").read_bytes()
    monkeypatch.setattr(closed_loop, "fit", lambda *_, **__: pytest.fail("fitted again"))
    assert call_script(closed_loop, *arguments, *seeds, *multiple).code == 0
    assert (out / "runs.csv").read_bytes() == before
    done = call_script(closed_loop, *arguments, *seeds, "--multiple", 2)
    assert (done.code, "was decided for" in done.err) == (2, True)
    done = call_script(closed_loop, *arguments, "--seeds", 1, *multiple)
    assert (done.code, "--seeds: expected at least 2" in done.err) == (2, True)


def test_an_overview_says_why_a_recipe_is_not_there():
    def row(name, regime):
        return {"recipe": name, "regime": regime, "loss": 2.0, "standard_error": 0.1, "excess": 0}

    recommended = closed_loop.RECOMMENDED
    one, two = (closed_loop.best_of(regime) for regime in ("one", "two"))
    languages = {
        "A": {"recipes": [row(recommended, "one"), row(two, "two")]},
        "B": {"recipes": [row(recommended, "two"), row(one, "one")]},
        "C": {"recipes": [row(recommended, "two")]},
    }
    lines = closed_loop.overview({"languages": languages}).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines}
    assert [cell.strip() for cell in cells[two]][1:] == ["is the recommended"] * 2
    assert [cell.strip() for cell in cells[one]][::2] == ["is the recommended", "not possible"]


def test_compute_saved_is_read_off_the_cheaper_runs():
    losses = [2.0, 2.2, 2.5]  # at the budget, a half and a quarter of it
    assert closed_loop.saved_compute(losses, 2.0) == (1, "")
    assert closed_loop.saved_compute(losses, 2.2) == (pytest.approx(2), "")
    assert closed_loop.saved_compute(losses, (2.2 * 2.5) ** 0.5) == (pytest.approx(8**0.5), "")
    assert closed_loop.saved_compute(losses, 3.0) == (4, "at least")
    assert closed_loop.saved_compute(losses, 1.9) == (1, "at most")
    assert closed_loop.saved_compute(losses[:2], 2.3) == (2, "at least")
    # Noise: no reading is made below a cheaper run that happens to be better.
    assert closed_loop.saved_compute([2.0, 1.9, 2.5], 1.95) == (1, "at most")
