"""The second shipped run table: runs of its sheet, on the first one's texts and settings."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import m3jax
from m3jax import RunTable
from m3jax.pilot import (
    digest,
    from_recipes,
    read_card,
    read_pilot_config,
    recipes_from,
    seeds_from,
    shapes,
)

from ..conftest import ROOT

DATA = Path(m3jax.__file__).parent / "data"
TABLE, FIRST = DATA / "pilot_debian_2.csv", DATA / "pilot_debian.csv"
CONFIG = ROOT / "configs" / "pilot_debian_2.toml"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.read_csv(TABLE)


def test_every_run_is_one_of_the_sheet(rows):
    config, card = read_pilot_config(CONFIG), read_card(TABLE)
    assert set(card) == set(rows["language"])
    for language, told in card.items():
        assert told["setup"] == digest(told["settings"])
        trials = from_recipes(
            language,
            shapes(256),
            config["training"],
            recipes_from(config["recipes"])(language),
            seeds=seeds_from(config["recipes"])(language),
        )
        planned = {
            f"{language}-{digest([told['setup'], dataclasses.asdict(t)])}": t for t in trials
        }
        own = rows[rows["language"] == language].set_index("run_id")
        assert own.index.is_unique
        for name in ("target_ratio", "first_ratio", "final_ratio", "target_tokens", "seed"):
            told_so = [getattr(planned[run], name) for run in own.index]
            np.testing.assert_allclose(own[name], told_so)


def test_texts_and_settings_are_the_first_pilots():
    first, second = read_card(FIRST), read_card(TABLE)
    shared = set(first) & set(second)
    assert shared == set(first)
    for language in shared:
        assert first[language]["setup"] == second[language]["setup"]


def test_it_goes_where_the_first_one_does_not(rows):
    first = pd.read_csv(FIRST)
    assert rows["n_params"].max() > 5 * first["n_params"].max()
    compute = 6.0 * rows["n_params"] * rows["total_tokens"]
    assert 9.9e12 < compute.max() < 1.01e13
    assert (rows["epochs"] >= 12).sum() >= 8
    share = (rows["target_ratio"] - rows["first_ratio"]) / (
        rows["final_ratio"] - rows["first_ratio"]
    )
    assert (share < 0.195).sum() >= 4
    # To laws, source text is read once.
    source = (1 - rows["target_ratio"]) * rows["total_tokens"]
    assert source.max() < 2_528_384


def test_it_is_a_run_table(rows):
    table = RunTable.read(str(TABLE))
    assert len(table) == len(rows)
    assert not table.notes
