"""Many fits packed in rows of few compiled calls."""

import numpy as np

from m3jax.fitting.engine import pack_rows


def test_rows_hold_one_language_each():
    language = np.array([1, 0, 0, 0, 2, 0, 0])
    tasks, whose = pack_rows(np.array([0, 1, 2, 3, 5, 6]), language, 4)
    assert whose.tolist() == [0, 0, 1]
    assert all(set(language[row]) == {who} for row, who in zip(tasks, whose, strict=True))
    assert set(tasks.ravel()) == {0, 1, 2, 3, 5, 6}
