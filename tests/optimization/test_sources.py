"""Which source language helps most."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, best_sources, fit, optimize

HELP = {"English": 1.0, "Malay": 0.93, "Finnish": 1.05}  # of the loss wherever there is source text


@pytest.fixture(scope="module")
def table():
    """One language with three sources: they change the loss as far as there is source text."""
    frames = []
    for number, (source, factor) in enumerate(HELP.items()):
        frame = run_table(true_theta(1, 3), 60, 0.005, number).to_frame()
        frame["loss"] *= factor ** (1 - frame.target_ratio)
        frames.append(frame.assign(language="Indonesian", source=source, run_id=None))
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(run_id=[f"r{i}" for i in range(len(whole))])


@pytest.fixture(scope="module")
def recommendations(table):
    fits = fit(RunTable.from_frame(table), pool="partial", draws=60)
    return optimize(
        fits, compute=1e20, target_tokens=[1e8, 3e8], draws=60, target_ratio=(0.05, 0.6)
    )


def test_runs_with_several_sources_are_a_language_each(table):
    runs = RunTable.from_frame(table)
    assert runs.languages == tuple(f"Indonesian+{source}" for source in HELP)
    assert any("read by source" in note for note in runs.notes)
    one = RunTable.from_frame(table[table.source == "Malay"])
    assert one.languages == ("Indonesian",)
    none = RunTable.from_frame(table.drop(columns="source").drop_duplicates("run_id"))
    assert none.languages == ("Indonesian",)


def test_the_source_that_helps_is_found_and_how_surely(recommendations):
    choices = best_sources(recommendations)
    assert [choice.target_tokens for choice in choices] == [1e8, 3e8]
    for choice in choices:
        assert (choice.language, choice.source) == ("Indonesian", "Malay")
        assert choice.loss["Malay"] < choice.loss["English"] < choice.loss["Finnish"]
        assert sum(choice.probability.values()) == pytest.approx(1.0)
        assert choice.probability["Malay"] == max(choice.probability.values())


def test_a_prior_on_closeness_has_a_say(recommendations):
    (told, *_), (plain, *_) = (
        best_sources(recommendations, closeness=prior) for prior in ({"English": 1e6}, None)
    )
    assert told.source == "English"
    assert told.probability["English"] > plain.probability["English"]
    with pytest.raises(M3Error, match="closeness of 'English': expected a positive number"):
        best_sources(recommendations, closeness={"English": 0})


def test_without_several_sources_there_is_nothing_to_choose():
    fits = fit(run_table(true_theta(2, 3), 30, 0.005, 0), draws=20)
    answer = optimize(fits, compute=1e20, target_tokens=1e8, draws=20)
    assert best_sources(answer) == []
    assert np.all(answer.feasible)
