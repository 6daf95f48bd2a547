"""Runs of languages side by side, padded."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

from m3jax.runs import RunBatch, RunTable

from .tables import frame, refused


def many(counts: dict[str, int]) -> RunTable:
    languages = [name for name, count in counts.items() for _ in range(count)]
    n = len(languages)
    return RunTable.from_frame(
        pd.DataFrame(
            {
                "language": languages,
                "n_params": 1e6 + np.arange(n),
                "target_tokens": 1e6,
                "epochs": 1.0,
                "loss": 2.0 + np.arange(n),
                "weight": 2.0,
            }
        ).sample(frac=1, random_state=0)
    )


def test_batch_pads_with_the_first_run() -> None:
    runs = many({"a": 3, "b": 9})
    batch = runs.batch(languages=["a", "b"])
    assert batch.languages == ("a", "b")
    for leaf in jax.tree.leaves(batch):
        assert leaf.shape == (2, 12)
    assert batch.mask.sum(axis=1).tolist() == [3, 9]
    assert batch.cluster.dtype == np.int32
    assert batch.mask.dtype == np.bool_
    for i, name in enumerate(batch.languages):
        own, mask = runs.for_language(name), batch.mask[i]
        np.testing.assert_array_equal(batch.loss[i, mask], own.loss)
        np.testing.assert_array_equal(batch.recipe.n_params[i, mask], own.recipe.n_params)
        np.testing.assert_array_equal(batch.loss[i, ~mask], own.loss[0])
        np.testing.assert_array_equal(batch.recipe.n_params[i, ~mask], own.recipe.n_params[0])
        np.testing.assert_array_equal(batch.weight[i], np.where(mask, 2.0, 0.0))
        np.testing.assert_array_equal(batch.cluster[i, mask], np.arange(len(own)))


@pytest.mark.parametrize(
    ("count", "width"), [(1, 8), (8, 8), (9, 12), (13, 16), (17, 20), (100, 112), (129, 160)]
)
def test_batch_widths(count: int, width: int) -> None:
    assert many({"a": count}).batch().loss.shape == (1, width)


def test_clusters_count_within_a_language() -> None:
    table = pd.concat([frame(language="b"), frame(language="a")], ignore_index=True)
    table["run_id"] = ["y", "x", "y", "x", "z", "x"]
    batch = RunTable.from_frame(table).batch()
    assert batch.languages == ("b", "a")
    assert batch.cluster[:, :3].tolist() == [[0, 1, 0], [0, 1, 0]]


def test_batch_of_some_languages() -> None:
    runs = many({"a": 3, "b": 9, "c": 4})
    batch = runs.batch(languages=["c", "a"])
    assert batch.languages == ("c", "a")
    np.testing.assert_array_equal(batch.loss[0, :4], runs.for_language("c").loss)
    assert batch.loss.shape == (2, 8)
    with refused("no language 'd'", "'a'"):
        runs.batch(languages=["d"])
    for names in ([], ["a", "a"]):
        with refused("batch: expected each language once"):
            runs.batch(languages=names)
    with refused("batch: expected each language once, got []"):
        runs.select(np.zeros(len(runs), dtype=bool)).batch()


def test_batch_is_a_pytree() -> None:
    batch = many({"a": 3, "b": 4}).batch()
    assert len(jax.tree.leaves(batch)) == 10
    doubled = jax.tree.map(lambda leaf: leaf[:, :2], batch)
    assert isinstance(doubled, RunBatch)
    assert doubled.languages == ("a", "b") or doubled.languages == ("b", "a")
    assert jax.jit(lambda value: value.loss.sum())(batch).shape == ()
