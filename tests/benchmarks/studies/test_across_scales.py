"""The study across scales, on the cheap and the dear runs of one language of the shipped table."""

from importlib import resources

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import across_scales
from m3jax import Recipe, RunTable, fit, get_law

from ...conftest import call_script, is_finite

PILOT = resources.files("m3jax") / "data" / "pilot_debian.csv"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scales")
    table = pd.read_csv(str(PILOT)).query("language == 'French'")
    compute = table["n_params"] * table["total_tokens"]
    dear = compute > compute.quantile(0.6)
    other = table[dear].assign(language="Occitan", run_id=lambda t: "o" + t["run_id"])
    table[dear].head(20)[["run_id"]].to_csv(folder / "decided.csv", index=False)
    table[~dear].to_csv(folder / "small.csv", index=False)
    pd.concat([table[dear], other]).to_csv(folder / "large.csv", index=False)
    return folder


def test_all_of_it_on_one_language(tables, capsys):
    arguments = ["--small", tables / "small.csv", "--large", tables / "large.csv"]
    done = call_script(
        across_scales,
        *arguments,
        "--laws",
        "m3,chinchilla",
        "--draws",
        10,
        "--decided",
        tables / "decided.csv",
        "--json",
    )
    assert done.code == 0
    result = done.json
    assert is_finite(result)
    # A language that the small table lacks is not asked about.
    assert result["small"]["languages"] == result["large"]["languages"] == ["French"]
    assert result["small"]["runs"] + result["large"]["runs"] == 80
    by_law = {row["law"]: row for row in result["laws"] if row["of"] == "all"}
    assert by_law["m3"]["mean_relative_error"] < 0.04 < by_law["chinchilla"]["mean_relative_error"]
    assert by_law["m3"]["interval_score"] >= by_law["m3"]["width"] > 0
    assert 0 <= by_law["m3"]["regret"] <= by_law["m3"]["regret_blind"]
    scales = {(row["scale"], row["law"]) for row in result["coefficients"]}
    assert scales == {(s, n) for s in ("small", "large", "both") for n in ("m3", "m3_stages")}
    bands = result["eta_by_size"]
    assert sum(row["runs"] for row in bands) == 80
    assert all(row["low"] <= row["eta"] <= row["high"] for row in bands)
    parts = {(row["variant"], row["of"]): row["runs"] for row in result["decision"]}
    for name in across_scales.variants():
        assert parts[name, "French"] + parts[name, "trained afterwards"] == result["large"]["runs"]
    across_scales.show(result)
    assert "eta" in capsys.readouterr().out


def test_regret_is_of_recipes_not_of_seeds():
    frame = pd.DataFrame(
        {
            "run_id": list("abcd"), "n_params": 1e5, "target_tokens": 1e4,
            "epochs": [8.0, 8.0, 16.0, 32.0], "target_ratio": [0.1, 0.1, 0.2, 0.4],
            "seed": [0, 1, 0, 0], "loss": [1.0, 2.0, 1.2, 1.8],
        }
    )  # fmt: skip
    runs = RunTable.from_frame(frame)
    (language,) = runs.languages
    # Means are 1.5, 1.2 and 1.8; the first is chosen, and is not as good as its lucky seed.
    chosen, blind = across_scales.regrets(runs, language, np.array([1.0, 1.0, 1.3, 1.1]))[0]
    assert chosen == pytest.approx(1.5 / 1.2 - 1)
    assert blind == pytest.approx(1.5 / 1.2 - 1)


def test_stages_are_compared_with_all_else_equal():
    runs = RunTable.read(str(PILOT))
    fits = fit(runs.select(runs.language == "French"), "m3", draws=5)
    frame = pd.DataFrame(
        {
            "run_id": list("abcd"), "language": "French", "n_params": 1e5, "target_tokens": 5e4,
            "epochs": 4.0, "target_ratio": 0.2, "final_ratio": [0.2, 0.6, 1.0, 0.6],
            "first_ratio": [0.2, 0.0, 0.1, 0.0], "seed": [0, 0, 0, 1],
            "loss": [2.0, 1.9, 1.8, 1.7],
        }
    )  # fmt: skip
    rows = across_scales.stage_effects(fits, RunTable.from_frame(frame))
    # The last has another seed, and none to compare it with.
    assert [round(row["share"], 3) for row in rows] == [0.333, 0.111]
    assert {row["base_share"] for row in rows} == {1.0}
    assert rows[0]["measured"] == pytest.approx(np.log(1.9 / 2.0))
    eta = fits.coefficients("French")["eta"]
    assert -eta * np.log(3) < rows[0]["foreseen"] < 0 < rows[0]["measured"] - rows[1]["measured"]


def test_variants_are_m3_without_what_changed():
    variants = across_scales.variants()
    law = get_law("m3")
    theta = np.mean(law.theta_start(), axis=0)
    theta[law.names.index("eta")] = 0.1
    one, two = (
        Recipe.create(n_params=1e8, target_tokens=1e7, epochs=40.0, target_ratio=0.2, final_ratio=f)
        for f in (0.2, 1.0)
    )
    losses = {
        name: [float(variant.log_loss_theta(theta, recipe)) for recipe in (one, two)]
        for name, variant in variants.items()
    }
    assert losses["both: `m3`"] == [float(law.log_loss_theta(theta, r)) for r in (one, two)]
    # Undiluted, harm is worse; whole, a stage matters more. With one stage there is none.
    assert losses["as before"][0] == losses["short stages count less"][0]
    assert losses["as before"][0] > losses["harm dilutes"][0] == losses["both: `m3`"][0]
    moved = {name: abs(after - before) for name, (before, after) in losses.items()}
    assert moved["harm dilutes"] > moved["both, s0 = 0.05"] > moved["both: `m3`"]
    assert moved["both: `m3`"] > moved["both, s0 = 0.3"] > 0


def test_short_final_stages_are_told_from_long_ones():
    frame = pd.DataFrame(
        {
            "run_id": list("abc"), "n_params": [1e5, 1e6, 1e6], "target_tokens": 1e4,
            "epochs": [8.0, 20.0, 4.0], "target_ratio": 0.2, "final_ratio": [0.2, 0.6, 1.0],
            "first_ratio": [0.2, 0.1, 0.1], "loss": 1.0,
        }
    )  # fmt: skip
    parts = across_scales.kinds(RunTable.from_frame(frame))
    assert parts["final stages under 20%"].tolist() == [False, False, True]
    assert parts["two stages"].tolist() == [False, True, True]
    assert parts["12 epochs and more"].tolist() == [False, True, False]
    assert parts["larger"].tolist() == [False, True, True]
