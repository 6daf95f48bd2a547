"""The run table that comes with the package: what its card says made it made it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import m3jax
from m3jax import RunTable, fit
from m3jax.pilot import (
    Shape,
    digest,
    read_card,
    read_pilot_config,
    read_rows,
    seed_noise,
    shapes,
    space_filling,
)

from ..conftest import ROOT

TABLE = Path(m3jax.__file__).parent / "data" / "pilot_debian.csv"
CONFIG = ROOT / "configs" / "pilot_debian.toml"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.read_csv(TABLE)


@pytest.fixture(scope="module")
def card() -> dict:
    return read_card(TABLE)


def test_it_is_as_large_as_the_readme_says(rows):
    counts = rows.groupby("language").size()
    assert dict(counts) == dict.fromkeys(("French", "German", "Indonesian", "Japanese"), 80)
    assert (rows["first_ratio"] < rows["final_ratio"]).sum() == 124
    assert len(rows["run_id"].unique()) == 320


def test_the_committed_configuration_made_it(rows, card):
    config = read_pilot_config(CONFIG)
    for language in config["targets"]:
        told = card[language]
        training, settings = config["training"], told["settings"]
        assert {name: settings[name] for name in vars(training)} == vars(training)
        assert settings["precision"] == config["precision"]
        assert told["setup"] == digest(settings)
        assert told["plan"]["budget"] == config["budget"]
        assert told["plan"]["runs"] == config["runs"]
        trials = space_filling(
            language,
            shapes(256),
            training,
            config["design"],
            budget=told["plan"]["budget"],
            runs=told["plan"]["runs"],
            target_windows=told["target"]["training_tokens"] // training.length,
            source_windows=told["source"]["training_tokens"] // training.length,
            seed=told["plan"]["seed"],
        )
        mine = rows[rows["language"] == language]
        assert list(mine["run_id"]) == [
            f"{language}-{digest([told['setup'], dataclasses.asdict(t)])}" for t in trials
        ]
        for name in ("epochs", "target_ratio", "first_ratio", "final_ratio"):
            np.testing.assert_allclose(mine[name], [getattr(t, name) for t in trials])
        assert list(mine["target_tokens"]) == [t.target_tokens for t in trials]


def test_tokens_and_parameters_add_up(rows):
    assert (rows["total_tokens"] == rows["steps"] * rows["batch"] * rows["length"]).all()
    assert (rows["target_tokens"] % rows["length"] == 0).all()
    seen = rows["target_tokens"] * rows["epochs"]
    np.testing.assert_allclose(seen, (seen / rows["length"]).round() * rows["length"])
    np.testing.assert_allclose(seen / rows["target_ratio"], rows["total_tokens"])
    sizes = [Shape(n, d).n_params for n, d in zip(rows["layers"], rows["width"], strict=True)]
    assert list(rows["n_params"]) == sizes


def test_texts_are_told_apart_and_noise_is_measured(card):
    for told in card.values():
        assert told["overlap"] < 0.005
        assert told["target"]["held_out_tokens"] == 65_536
    noise = seed_noise(read_rows(TABLE))
    assert set(noise) == set(card)
    for sd, freedom in noise.values():
        assert 0.003 < sd < 0.03
        assert freedom >= 8


@pytest.mark.slow
def test_m3_fits_it():
    fits = fit(RunTable.read(TABLE), "m3", huber_delta=0.01, draws=0)
    assert not fits.failed
    assert min(fits.r2) > 0.94


def test_the_card_is_plain_json():
    content = json.loads(TABLE.with_suffix(".pilot.json").read_text(encoding="utf-8"))
    assert {told["machine"]["m3jax"] for told in content.values()} == {m3jax.__version__}
